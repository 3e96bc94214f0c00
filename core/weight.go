package core

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// maxWeight is the largest weight of an upstream.
const maxWeight = 1000

const weightOption = "weight="

// SplitWeight splits an upstream as a policy has it, `10.0.0.1:8080 weight=3`, into its address,
// which is not checked, and its weight: 1 to 1000. Default: 1.
func SplitWeight(upstream string) (string, int, error) {
	words := strings.Fields(upstream)
	if len(words) < 2 || strings.IndexByte(upstream, '@') >= 0 { // no part of a password is quoted
		return upstream, 1, nil
	}
	option := words[1]
	if !strings.HasPrefix(option, weightOption) {
		return "", 0, fmt.Errorf("%s", notWeight(option))
	}
	if len(words) > 2 {
		return "", 0, fmt.Errorf("%s", notWeight(words[2]))
	}
	weight, err := strconv.Atoi(option[len(weightOption):])
	if err != nil || weight < 1 || weight > maxWeight {
		return "", 0, fmt.Errorf("%s is not a valid weight (as in weight=3, a whole number from 1 to %d)",
			problem.Quote(option), maxWeight)
	}
	return words[0], weight, nil
}

// notWeight says what is wrong with a word after an address.
func notWeight(word string) string {
	name, _, isOption := strings.Cut(word, "=")
	if name == "weight" {
		return "the weight is given twice"
	}
	if isOption {
		return "unknown option " + problem.Quote(word) + problem.Suggest(name, []string{"weight"})
	}
	return problem.Quote(word) + " follows an address: write each upstream by itself"
}

// weights checks the weights of a version's upstreams. Their addresses are for the host to check.
func (c *checker) weights(path string, upstreams []string) {
	for i, text := range upstreams {
		_, _, err := SplitWeight(text)
		if err != nil {
			c.note(problem.Index(path, i), err.Error())
		}
	}
}
