package jwt

import (
	"strconv"
	"strings"
)

// maxDigits bounds the text of a number, as an exponent can demand any length.
const maxDigits = 1024

// decimal returns a JSON number as its exact decimal text, without an exponent and without needless
// zeros: 1e3 and 1000.0 become 1000, 0.10 becomes 0.1, -0 becomes 0. It returns "" if the text
// would be too long.
func decimal(number string) string {
	if !strings.ContainsAny(number, ".eE") && len(number) <= maxDigits {
		if number == "-0" {
			return "0"
		}
		return number
	}
	sign, mantissa, exponent, ok := split(number)
	if !ok {
		return ""
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	point := len(whole) + exponent // digits before the decimal point
	stripped := strings.TrimLeft(digits, "0")
	point -= len(digits) - len(stripped)
	digits = strings.TrimRight(stripped, "0")
	switch {
	case digits == "":
		return "0"
	case len(digits) > maxDigits || point > maxDigits || point < -maxDigits:
		return ""
	case point <= 0:
		return sign + "0." + strings.Repeat("0", -point) + digits
	case point >= len(digits):
		return sign + digits + strings.Repeat("0", point-len(digits))
	}
	return sign + digits[:point] + "." + digits[point:]
}

func split(number string) (sign, mantissa string, exponent int, ok bool) {
	if strings.HasPrefix(number, "-") {
		sign = "-"
		number = number[1:]
	}
	e := strings.IndexAny(number, "eE")
	if e < 0 {
		return sign, number, 0, true
	}
	var err error
	exponent, err = strconv.Atoi(number[e+1:])
	if err != nil || exponent > 1<<20 || exponent < -1<<20 {
		return sign, "", 0, strings.Trim(number[:e], "0.") == ""
	}
	return sign, number[:e], exponent, true
}
