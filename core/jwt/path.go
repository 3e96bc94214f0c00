package jwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A Path leads to a claim, one name for each level.
type Path []string

// ParsePath reads a dotted path ("org.plan") or, where the text begins with "/", a JSON pointer of RFC 6901
// ("/https:~1~1example.com~1roles"), which reaches names with dots in them. A name that is a number also
// picks an element of an array, counted from 0.
func ParsePath(text string) (Path, error) {
	if text == "" {
		return nil, errors.New("the path of a claim is missing")
	}
	separator := "."
	if text[0] == '/' {
		separator = "/"
		text = text[1:]
	}
	names := strings.Split(text, separator)
	if len(names) > maxDepth {
		return nil, fmt.Errorf("a claim's path has at most %d names, this has %d", maxDepth, len(names))
	}
	for i, name := range names {
		if separator == "." {
			if name == "" {
				return nil, fmt.Errorf("name %d in %q is empty (names with dots need a JSON pointer: /a.b)", i+1, text)
			}
			continue
		}
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(name), "~") {
			return nil, fmt.Errorf("in a JSON pointer \"~\" is written ~0 and \"/\" ~1, found %q", name)
		}
		names[i] = strings.ReplaceAll(strings.ReplaceAll(name, "~1", "/"), "~0", "~")
	}
	return Path(names), nil
}

// Values returns the values of the claim at p, as Claims prepared them: one text for a string, a number or a
// boolean, one for each of these in an array. It is empty if the claim is absent, an object or null. Do
// not change it.
func Values(claims map[string]any, p Path) []string {
	if len(p) != 1 {
		return values(descend(claims, p))
	}
	return values(claims[p[0]])
}

func values(value any) []string {
	switch v := value.(type) {
	case []string:
		return v
	case *list:
		return v.values
	}
	return nil
}

func descend(claims map[string]any, p Path) any {
	var value any = claims
	for _, name := range p {
		switch v := value.(type) {
		case map[string]any:
			value = v[name]
		case *list:
			value = element(v.items, name)
		default:
			return nil
		}
	}
	return value
}

func element(items []any, name string) any {
	i, err := strconv.Atoi(name)
	if err != nil || i < 0 || i >= len(items) || strconv.Itoa(i) != name {
		return nil
	}
	return items[i]
}

// Prepare makes claims that something else has verified fit for Values: what encoding/json decodes into a
// map, with or without UseNumber. It works on a copy, and returns nil if they are nested deeper than 32.
func Prepare(claims map[string]any) map[string]any {
	text, err := json.Marshal(claims)
	if err != nil {
		return nil
	}
	prepared, ok := object(text)
	if !ok || normalise(prepared, 1) < 0 {
		return nil
	}
	return prepared
}
