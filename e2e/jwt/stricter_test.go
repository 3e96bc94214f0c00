package jwt

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"unicode/utf8"
)

// stricter reports, independently of gray's code, whether a JSON text has what gray refuses and
// golang-jwt accepts.
func stricter(text string, isPayload bool) bool {
	if !utf8.ValidString(text) || strings.TrimSpace(text) == "null" || hasTwins(text) {
		return true
	}
	var fields map[string]any
	if json.Unmarshal([]byte(text), &fields) != nil {
		return false
	}
	if depth(fields) > 32 {
		return true
	}
	if isPayload {
		for _, name := range []string{"exp", "nbf"} {
			if n, isNumber := fields[name].(float64); isNumber && math.Abs(n) > 1e15 {
				return true
			}
		}
		return false
	}
	kid, given := fields["kid"]
	if _, isText := kid.(string); given && !isText {
		return true
	}
	// A header that only seems to repeat a name is refused too, as it is judged before anything is
	// verified.
	var compact bytes.Buffer
	_ = json.Compact(&compact, []byte(text))
	return strings.Contains(compact.String(), `\":`) || strings.Contains(compact.String(), `":":`) ||
		strings.Contains(compact.String(), `[":`) || strings.Contains(compact.String(), `,":`) ||
		strings.Contains(compact.String(), `{":`)
}

func depth(value any) int {
	deepest := 0
	switch v := value.(type) {
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	case []any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	default:
		return 0
	}
	return deepest + 1
}

// hasTwins walks the tokens with a stack.
func hasTwins(text string) bool {
	type level struct {
		names  map[string]bool
		isName bool
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var stack []*level
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		var top *level
		if len(stack) > 0 {
			top = stack[len(stack)-1]
		}
		if name, isText := token.(string); isText && top != nil && top.names != nil && top.isName {
			if top.names[name] {
				return true
			}
			top.names[name] = true
			top.isName = false
			continue
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, &level{names: map[string]bool{}, isName: true})
			continue
		case json.Delim('['):
			stack = append(stack, &level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:len(stack)-1]
			if len(stack) == 0 {
				return false
			}
			top = stack[len(stack)-1]
		}
		if top != nil {
			top.isName = true
		}
	}
}
