package core

import (
	"strings"
	"unicode/utf8"
)

// Host names are compared in one form: lower-case, without the final dot of an absolute name, and
// in ASCII (RFC 4343, RFC 1034 section 3.1, RFC 5890). Clients nearly always send internationalised
// names in ASCII already; policies are written by people.

// Hostname returns a request's host without its port and without the brackets of an IPv6 address.
func Hostname(host string) string {
	if strings.HasPrefix(host, "[") {
		if end := strings.IndexByte(host, ']'); end > 0 {
			return strings.ToLower(host[1:end])
		}
		return strings.ToLower(host)
	}
	if colon := strings.IndexByte(host, ':'); colon >= 0 && strings.IndexByte(host[colon+1:], ':') < 0 {
		host = host[:colon]
	}
	host = strings.ToLower(host)
	// As isASCII, which would be a further call: calls are dear in the interpreter.
	if utf8.RuneCountInString(host) != len(host) {
		host = asciiHost(host)
	}
	return withoutFinalDot(host)
}

// authority returns a request's host with its port, as `header Host` compares it.
func authority(host string) string {
	host = strings.ToLower(host)
	if utf8.RuneCountInString(host) != len(host) {
		host = asciiHost(host)
	}
	if colon := strings.LastIndexByte(host, ':'); colon > 1 && host[colon-1] == '.' {
		host = host[:colon-1] + host[colon:]
	}
	return withoutFinalDot(host)
}

func withoutFinalDot(host string) string {
	if len(host) > 1 && host[len(host)-1] == '.' {
		return host[:len(host)-1]
	}
	return host
}

// isHost reports whether an attribute's values are host names.
func isHost(kind attributeKind) bool { return kind == fromHost || kind == fromAuthority }

// asHost brings an operand into the form that hosts are compared in. A part of a name keeps its
// dots, unless it is the end of one; see endsHost.
func asHost(kind attributeKind, op, operand string) string {
	operand = asciiHost(strings.ToLower(operand))
	if op == "prefix" || op == "contains" {
		return operand
	}
	if kind == fromAuthority {
		return authority(operand)
	}
	return withoutFinalDot(operand)
}

// endsHost reports whether an operand of prefix or contains is the end of a host that is written
// without its final dot: shop.example.com has the prefix shop.example.com. too.
func endsHost(host string, c *condition) bool {
	end := len(c.operand) - 1
	if !isHost(c.attribute.kind) || end < 1 || c.operand[end] != '.' {
		return false
	}
	if c.op == "prefix" {
		return host == c.operand[:end]
	}
	return strings.HasSuffix(host, c.operand[:end])
}

// asciiHost writes each label that is not ASCII as Punycode. It maps no characters beyond their
// case, so a name in another normalisation form than NFC stays a different name.
func asciiHost(host string) string {
	if isASCII(host) || !utf8.ValidString(host) {
		return host
	}
	host = strings.NewReplacer("\u3002", ".", "\uff0e", ".", "\uff61", ".").Replace(host)
	port := ""
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		port = host[colon:]
		host = host[:colon]
	}
	labels := strings.Split(host, ".")
	for i, label := range labels {
		if !isASCII(label) {
			labels[i] = "xn--" + punycode(label)
		}
	}
	return strings.Join(labels, ".") + port
}

// isASCII is true of bytes that are not UTF-8, too. Counting is one call in the interpreter, where
// a loop over the bytes would be slow.
func isASCII(s string) bool { return utf8.RuneCountInString(s) == len(s) }

// Parameters of Punycode: RFC 3492, section 5.
const (
	punycodeBase        = 36
	punycodeTMin        = 1
	punycodeTMax        = 26
	punycodeSkew        = 38
	punycodeDamp        = 700
	punycodeInitialBias = 72
)

// punycode encodes a label as RFC 3492 section 6.3 has it.
func punycode(label string) string {
	runes := []rune(label)
	var out []byte
	for _, r := range runes {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		}
	}
	basic := len(out)
	handled := basic
	if basic > 0 {
		out = append(out, '-')
	}
	last := rune(utf8.RuneSelf)
	bias := punycodeInitialBias
	delta := 0
	for handled < len(runes) {
		next := rune(utf8.MaxRune)
		for _, r := range runes {
			if r >= last && r < next {
				next = r
			}
		}
		delta += int(next-last) * (handled + 1)
		last = next
		for _, r := range runes {
			if r < last {
				delta++
			}
			if r != last {
				continue
			}
			out = appendPunycode(out, delta, bias)
			bias = adaptPunycode(delta, handled+1, handled == basic)
			delta = 0
			handled++
		}
		delta++
		last++
	}
	return string(out)
}

// appendPunycode appends a number as an integer of variable length.
func appendPunycode(out []byte, number, bias int) []byte {
	for k := punycodeBase; ; k += punycodeBase {
		threshold := k - bias
		if threshold < punycodeTMin {
			threshold = punycodeTMin
		}
		if threshold > punycodeTMax {
			threshold = punycodeTMax
		}
		if number < threshold {
			return append(out, punycodeDigit(number))
		}
		out = append(out, punycodeDigit(threshold+(number-threshold)%(punycodeBase-threshold)))
		number = (number - threshold) / (punycodeBase - threshold)
	}
}

func punycodeDigit(d int) byte {
	if d < 26 {
		return byte('a' + d)
	}
	return byte('0' + d - 26)
}

// adaptPunycode is the bias after a number: RFC 3492, section 6.1.
func adaptPunycode(delta, points int, first bool) int {
	if first {
		delta /= punycodeDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for delta > (punycodeBase-punycodeTMin)*punycodeTMax/2 {
		delta /= punycodeBase - punycodeTMin
		k += punycodeBase
	}
	return k + (punycodeBase-punycodeTMin+1)*delta/(delta+punycodeSkew)
}
