package jwt

import (
	"encoding/json"
	"strconv"
	"strings"
)

// array is an array claim as it was decoded.
type array struct {
	path  string
	items []any
}

// flatten stores every value under its whole path, so that reading a claim is one look-up without
// conversion. names is the result of countNames. flatten returns nil if the claims are nested too
// deeply.
func flatten(claims map[string]any, names int) *Set {
	if names < 0 {
		return nil
	}
	set := &Set{Reason: Unverified, ByPath: make(map[Path][]string, names), texts: make([]string, 0, names)}
	if !flattenObject(set, claims, "", 1) {
		return nil
	}
	return set
}

func flattenObject(set *Set, fields map[string]any, prefix string, depth int) bool {
	if depth > maxDepth {
		return false
	}
	for name, value := range fields {
		if !flattenValue(set, value, prefix+escaped(name), depth) {
			return false
		}
	}
	return true
}

func flattenValue(set *Set, value any, path string, depth int) bool {
	switch v := value.(type) {
	case map[string]any:
		return flattenObject(set, v, path+"/", depth+1)
	case []any:
		return flattenList(set, v, path, depth+1)
	}
	if text, ok := scalar(value); ok {
		n := len(set.texts)
		set.texts = append(set.texts, text)
		set.ByPath[Path(path)] = set.texts[n : n+1 : n+1]
	}
	return true
}

// flattenList stores the values of all scalars of an array under its path. Nested arrays and
// objects are stored under their position.
func flattenList(set *Set, items []any, path string, depth int) bool {
	if depth > maxDepth {
		return false
	}
	values := make([]string, 0, len(items))
	for i, item := range items {
		if text, ok := scalar(item); ok {
			values = append(values, text)
		} else if !flattenValue(set, item, path+"/"+strconv.Itoa(i), depth) {
			return false
		}
	}
	set.ByPath[Path(path)] = values
	set.lists = append(set.lists, array{path, items})
	return true
}

// scalar returns the text of a string, a number or a boolean.
func scalar(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case json.Number:
		text := decimal(string(v))
		return text, text != ""
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// escaped returns a name as JSON pointers write it.
func escaped(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// countNames returns how many names all objects have together, or -1 if they are nested too deeply.
func countNames(fields map[string]any, depth int) int {
	if depth > maxDepth {
		return -1
	}
	names := len(fields)
	for _, value := range fields {
		inner := countNested(value, depth)
		if inner < 0 {
			return -1
		}
		names += inner
	}
	return names
}

func countNested(value any, depth int) int {
	switch v := value.(type) {
	case map[string]any:
		return countNames(v, depth+1)
	case []any:
		names := 0
		for _, item := range v {
			inner := countNested(item, depth+1)
			if inner < 0 || depth >= maxDepth {
				return -1
			}
			names += inner
		}
		return names
	}
	return 0
}
