package traefikgray

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// readVersions reads what Traefik's providers make of the versions: for each a map of its fields
// or, for a version without any, an empty string or nil. A list may be a string with commas, as in
// labels.
func readVersions(given map[string]interface{}) (map[string]core.Version, problem.List) {
	if len(given) == 0 {
		return nil, nil
	}
	var problems problem.List
	versions := map[string]core.Version{}
	for name, value := range given {
		version := core.Version{}
		problems = append(problems, readVersion(problem.Field("versions", name), value, &version)...)
		versions[name] = version
	}
	sort.Slice(problems, func(i, j int) bool { return problems[i].String() < problems[j].String() })
	return versions, problems
}

var versionFields = objectFields(reflect.TypeOf(core.Version{}))

func readVersion(path string, value interface{}, version *core.Version) problem.List {
	if value == nil || value == "" {
		return nil
	}
	fields, ok := value.(map[string]interface{})
	if !ok {
		return problem.New(path, "must be an object with upstreams or discover, is %q", fmt.Sprint(value))
	}
	var problems problem.List
	given := map[string]bool{}
	for field, value := range fields {
		name := strings.ToLower(field)
		if given[name] {
			name = "" // reported below
		}
		given[name] = true
		switch name {
		case "upstreams":
			version.Upstreams, ok = readList(value)
			if !ok {
				problems = append(problems, problem.New(path+".upstreams", "must be a list of strings")...)
			}
		case "discover":
			version.Discover, ok = value.(string)
			if !ok {
				problems = append(problems, problem.New(path+".discover", "must be a string")...)
			}
		default:
			problems = append(problems, problem.New(problem.Field(path, field), "%s", unknownName(field, versionFields))...)
		}
	}
	return problems
}

func readList(value interface{}) ([]string, bool) {
	if value == nil {
		return nil, true
	}
	if list, ok := value.([]string); ok {
		return list, true
	}
	var list []string
	if text, ok := value.(string); ok {
		for _, part := range strings.Split(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		return list, true
	}
	elements, ok := value.([]interface{})
	for _, element := range elements {
		text, isText := element.(string)
		list = append(list, text)
		ok = ok && isText
	}
	return list, ok
}
