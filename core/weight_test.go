package core_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/grayrelease/gray/core"
)

func TestSplitWeight(t *testing.T) {
	type split struct {
		address string
		weight  int
	}
	for text, want := range map[string]split{
		"10.0.0.1:8080":                    {"10.0.0.1:8080", 1},
		"10.0.0.1:8080 weight=3":           {"10.0.0.1:8080", 3},
		"https://a.example  weight=1000 ":  {"https://a.example", 1000},
		"unix//run/shop.sock weight=2":     {"unix//run/shop.sock", 2},
		"":                                 {"", 1},
		" 10.0.0.1:8080":                   {" 10.0.0.1:8080", 1}, // for the host to judge
		"http://user:pass word@a weight=2": {"http://user:pass word@a weight=2", 1},
	} {
		address, weight, err := core.SplitWeight(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, split{address, weight}, text)
	}
	for text, want := range map[string]string{
		"a:1 weight=0":          `"weight=0" is not a valid weight (as in weight=3, a whole number from 1 to 1000)`,
		"a:1 weight=1001":       `"weight=1001" is not a valid weight`,
		"a:1 weight=1.5":        `"weight=1.5" is not a valid weight`,
		"a:1 weight=":           `"weight=" is not a valid weight`,
		"a:1 wieght=3":          `unknown option "wieght=3" (did you mean "weight"?)`,
		"a:1 weight=3 weight=4": "the weight is given twice",
		"a:1 b:1":               `"b:1" follows an address: write each upstream by itself`,
		"a:1 weight=3 b:1":      `"b:1" follows an address: write each upstream by itself`,
	} {
		_, _, err := core.SplitWeight(text)
		assert.ErrorContains(t, err, want, text)
	}
}
