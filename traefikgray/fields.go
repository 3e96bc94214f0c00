package traefikgray

import (
	"reflect"
	"sort"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// The objects of the configuration. Traefik's decoder puts the names that an object does not have
// into its field Rest, and would drop them without it.
type (
	ipStrategy struct {
		core.IPStrategy `mapstructure:",squash"`
		Rest            map[string]interface{} `json:"-" mapstructure:",remain"`
	}
	source struct {
		live.Source `mapstructure:",squash"`
		Rest        map[string]interface{} `json:"-" mapstructure:",remain"`
	}
	cookie struct {
		core.Cookie `mapstructure:",squash"`
		Rest        map[string]interface{} `json:"-" mapstructure:",remain"`
	}
	rule struct {
		core.Rule `mapstructure:",squash"`
		Rest      map[string]interface{} `json:"-" mapstructure:",remain"`
	}
	token struct {
		jwt.Config `mapstructure:",squash"`
		Rest       map[string]interface{} `json:"-" mapstructure:",remain"`
	}
	tester struct {
		core.Tester `mapstructure:",squash"`
		Rest        map[string]interface{} `json:"-" mapstructure:",remain"`
	}
	rollout struct {
		core.Rollout `mapstructure:",squash"`
		Rest         map[string]interface{} `json:"-" mapstructure:",remain"`
	}
)

// unknownFields returns the names in a part of the configuration that mean nothing, at each depth.
func unknownFields(path string, v reflect.Value) problem.List {
	switch v.Kind() {
	case reflect.Ptr:
		if !v.IsNil() {
			return unknownFields(path, v.Elem())
		}
	case reflect.Slice:
		return unknownInElements(path, v)
	case reflect.Struct:
		return unknownInObject(path, v)
	}
	return nil
}

func unknownInElements(path string, v reflect.Value) problem.List {
	if v.Type().Elem().Kind() != reflect.Struct {
		return nil // a list of texts may have a million
	}
	var problems problem.List
	for i := 0; i < v.Len(); i++ {
		problems = append(problems, unknownFields(problem.Index(path, i), v.Index(i))...)
	}
	return problems
}

// unknownInObject goes by tags, since the interpreter knows no embedded fields.
func unknownInObject(path string, v reflect.Value) problem.List {
	var problems problem.List
	for i := 0; i < v.NumField(); i++ {
		field := v.Type().Field(i)
		switch field.Tag.Get("mapstructure") {
		case ",remain":
			problems = append(problems, unknownNames(path, v.Field(i).MapKeys(), objectFields(v.Type()))...)
		case ",squash":
			problems = append(problems, unknownFields(path, v.Field(i))...)
		default:
			problems = append(problems, unknownFields(problem.Field(path, jsonName(field)), v.Field(i))...)
		}
	}
	return problems
}

// objectFields are the names that an object of the configuration has.
func objectFields(t reflect.Type) []string {
	var names []string
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		switch field.Tag.Get("mapstructure") {
		case ",remain":
		case ",squash":
			names = append(names, objectFields(field.Type)...)
		default:
			names = append(names, jsonName(field))
		}
	}
	return names
}

func jsonName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	return name
}

// unknownNames are the problems of names that are none of the known ones.
func unknownNames(path string, keys []reflect.Value, known []string) problem.List {
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		names = append(names, key.String())
	}
	sort.Strings(names)
	var problems problem.List
	for _, name := range names {
		problems = append(problems, problem.New(problem.Field(path, name), "%s", unknownName(name, known))...)
	}
	return problems
}

func unknownName(name string, known []string) string {
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return "is given twice, in other capitals"
		}
	}
	hint := problem.Suggest(name, known)
	if hint == "" {
		hint = " (one of " + strings.Join(known, ", ") + ")"
	}
	return "unknown field" + hint
}
