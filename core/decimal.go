package core

import "strings"

// decimal is a decimal number taken apart for comparison: exact at any length, where a float64
// would round long ids.
type decimal struct {
	negative bool
	whole    string // no leading zeros
	fraction string // no trailing zeros
}

// parseDecimal reads [+-]digits[.digits]. An exponent, a hexadecimal prefix or a space is not part
// of a decimal number.
func parseDecimal(s string) (decimal, bool) {
	var d decimal
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	whole, fraction := s, "0"
	if dot := strings.IndexByte(s, '.'); dot >= 0 {
		whole, fraction = s[:dot], s[dot+1:]
	}
	if !allDigits(whole) || !allDigits(fraction) {
		return decimal{}, false
	}
	d.whole = strings.TrimLeft(whole, "0")
	d.fraction = strings.TrimRight(fraction, "0")
	if d.whole == "" && d.fraction == "" {
		d.negative = false // there is one zero
	}
	return d, true
}

// compareDecimals is negative, zero or positive as a is less than, equal to or greater than b.
func compareDecimals(a, b decimal) int {
	if a.negative != b.negative {
		if a.negative {
			return -1
		}
		return 1
	}
	c := compareDigits(a.whole, b.whole)
	if c == 0 {
		// The longer fraction is the greater one when the shorter is its beginning, as strings
		// compare.
		c = strings.Compare(a.fraction, b.fraction)
	}
	if a.negative {
		return -c
	}
	return c
}

// compareDigits compares whole numbers without leading zeros, of any length.
func compareDigits(a, b string) int {
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// allDigits reports whether s is one or more ASCII digits.
func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
