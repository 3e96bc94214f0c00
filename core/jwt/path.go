package jwt

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Path leads to a claim. Its text is a JSON pointer without the leading slash.
type Path string

// ParsePath parses a dotted path ("org.plan") or, if text begins with "/", a JSON pointer of RFC
// 6901 ("/https:~1~1example.com~1roles"). A JSON pointer can reach names that contain dots. A name
// that is a number also selects an element of an array, counted from 0.
func ParsePath(text string) (Path, error) {
	switch {
	case text == "":
		return "", errors.New("the path of a claim is missing")
	case text[0] == '/':
		return parsePointer(text[1:])
	}
	names := strings.Split(text, ".")
	if len(names) > maxDepth {
		return "", fmt.Errorf("a claim's path has at most %d names, this has %d", maxDepth, len(names))
	}
	for i, name := range names {
		if name == "" {
			return "", fmt.Errorf("name %d in %q is empty (a name with dots is written as a JSON pointer, /a.b)", i+1, text)
		}
		names[i] = escaped(name)
	}
	return Path(strings.Join(names, "/")), nil
}

func parsePointer(text string) (Path, error) {
	if n := strings.Count(text, "/") + 1; n > maxDepth {
		return "", fmt.Errorf("a claim's path has at most %d names, this has %d", maxDepth, n)
	}
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(text)
	if strings.Contains(rest, "~") {
		return "", fmt.Errorf("in a JSON pointer \"~\" is written ~0 and \"/\" ~1, found %q", text)
	}
	return Path(text), nil
}

// Values returns the values of the claim at p: one text for a string, a number (as exact decimal
// text: 1e3 is 1000) or a boolean (true, false), and one for each of these in an array. The result
// is empty if the claim is absent, an object or null. Callers must not change it.
func Values(set *Set, p Path) []string {
	if values := set.ByPath[p]; values != nil || len(set.lists) == 0 {
		return values
	}
	return element(set, string(p))
}

// element finds one scalar of an array, which has no path of its own.
func element(set *Set, path string) []string {
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return nil
	}
	var items []any
	for _, l := range set.lists {
		if l.path == path[:slash] {
			items = l.items
		}
	}
	i, err := strconv.Atoi(path[slash+1:])
	if err != nil || i < 0 || i >= len(items) || strconv.Itoa(i) != path[slash+1:] {
		return nil
	}
	text, ok := scalar(items[i])
	if !ok {
		return nil
	}
	return []string{text}
}
