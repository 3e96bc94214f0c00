package core

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestHostsHaveOneForm(t *testing.T) {
	for _, c := range [][3]string{
		{"Shop.Example.COM", "shop.example.com", "shop.example.com"},
		{"shop.example.com.", "shop.example.com", "shop.example.com"},
		{"Shop.example.com.:8443", "shop.example.com", "shop.example.com:8443"},
		{"[2001:DB8::1]:80", "2001:db8::1", "[2001:db8::1]:80"},
		{"Bücher.Example.:8443", "xn--bcher-kva.example", "xn--bcher-kva.example:8443"},
		{"bücher。example。", "xn--bcher-kva.example", "xn--bcher-kva.example"},
		{".", ".", "."},
		{"", "", ""},
	} {
		assert.Equal(t, c[1], Hostname(c[0]), c[0])
		assert.Equal(t, c[2], authority(c[0]), c[0])
	}
}

// Samples of RFC 3492, section 7.1, and names that are registered.
func TestOperandsAreHosts(t *testing.T) {
	for _, c := range [][3]string{
		{"=", "Shop.Example.com.", "shop.example.com"},
		{"prefix", "Shop.", "shop."},
		{"contains", ".EU.", ".eu."},
		{"suffix", ".Example.com.", ".example.com"},
		{"=", "Bücher.example", "xn--bcher-kva.example"},
		{"=", "münchen.de", "xn--mnchen-3ya.de"},
		{"=", "他们为什么不说中文", "xn--ihqwcrb4cv8a8dqg056pqjye"},
		{"suffix", ".例え。jp", ".xn--r8jz45g.jp"},
		{"=", "3年b組金八先生", "xn--3b-ww4c5e180e575a65lsy2b"},
	} {
		assert.Equal(t, c[2], asHost(fromHost, c[0], c[1]), c[1])
	}
}

func TestLowerHostsAreNotCopied(t *testing.T) {
	assert.Zero(t, testing.AllocsPerRun(100, func() { Hostname("shop.example.com.:8443") }))
}
