package allow

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// addressOf reads a host that is an address in any spelling that a resolver, a proxy or a library
// may take for one: 169.254.169.254, 2852039166, 0xa9fe.0xa9fe, 0251.0376.0251.0376, and IPv6. It
// returns why a host may not be asked whatever it is.
func addressOf(host string) (addr netip.Addr, isAddr bool, err error) {
	host = canonical(host)
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr, true, nil
	}
	if !isASCII(host) { // libraries turn some characters into digits and dots
		return addr, false, fmt.Errorf("%q may not be asked: write it in its ASCII form (as in xn--...)", host)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, isNumber := numberOf(last); !isNumber {
		return netip.Addr{}, false, nil
	}
	addr, isAddr = spelledOddly(host)
	if !isAddr { // no name ends in a number
		return addr, false, fmt.Errorf("%q may not be asked: it is neither a name nor an address", host)
	}
	return addr, true, nil
}

func isASCII(host string) bool {
	for i := 0; i < len(host); i++ {
		if host[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// spelledOddly reads an IPv4 address as inet_aton does: of 1 to 4 numbers, each decimal, octal or
// hexadecimal, the last fills the bytes that are left.
func spelledOddly(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	value := uint64(0)
	for i, part := range parts {
		number, ok := numberOf(part)
		bits := uint(8)
		if i == len(parts)-1 {
			bits = uint(8 * (5 - len(parts)))
		}
		if !ok || number >= uint64(1)<<bits {
			return netip.Addr{}, false
		}
		value = value<<bits | number
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

// tooLarge is no part of an address.
const tooLarge = uint64(1) << 32

// numberOf reads a part of an address. It reports whether the text is a number, which may be too
// large for any part.
func numberOf(text string) (uint64, bool) {
	digits, base := text, 10
	switch {
	case strings.HasPrefix(text, "0x"):
		digits, base = text[2:], 16
		if digits == "" {
			return 0, true
		}
	case len(text) > 1 && text[0] == '0':
		digits, base = text[1:], 8
	}
	for i := 0; i < len(digits); i++ {
		isDigit := digits[i] >= '0' && digits[i] <= '9'
		if !isDigit && (base != 16 || digits[i] < 'a' || digits[i] > 'f') {
			return 0, false
		}
	}
	number, err := strconv.ParseUint(digits, base, 32)
	if err != nil {
		return tooLarge, digits != ""
	}
	return number, true
}

// Metadata services that clouds document outside of the link-local addresses: AWS, Google Cloud and
// Scaleway by IPv6, Azure's WireServer, Alibaba Cloud, Oracle Cloud; and their names.
var (
	metadataAddrs = []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("fd20:ce::254"), netip.MustParseAddr("fd00:42::42"),
		netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("192.0.0.192"),
	}
	metadataNames = []string{
		"metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
		"metadata.azure.internal", "metadata.tencentyun.com",
	}
)

// isMetadata reports whether only the machine itself has business with an address.
func isMetadata(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
		return true
	}
	for _, known := range metadataAddrs {
		if addr == known {
			return true
		}
	}
	if inner, ok := embedded(addr); ok {
		return isMetadata(inner)
	}
	return false
}

// embeddings are IPv6 prefixes behind which an IPv4 address stands, and the byte where it begins:
// compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052, RFC 8215) and 6to4 (RFC 3056).
var embeddings = []embedding{
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12},
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

type embedding struct {
	prefix netip.Prefix
	at     int
}

// embedded returns the IPv4 address that an IPv6 address leads to where it is translated.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	if addr.Is4() || addr.IsLoopback() {
		return netip.Addr{}, false
	}
	for _, e := range embeddings {
		if e.prefix.Contains(addr) {
			bytes := addr.As16()
			return netip.AddrFrom4([4]byte{bytes[e.at], bytes[e.at+1], bytes[e.at+2], bytes[e.at+3]}), true
		}
	}
	return netip.Addr{}, false
}
