package caddygray

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/grayrelease/gray/core"
)

// globalPlaceholder matches a placeholder that has a value without a request. Only these are
// replaced, so the braces of a regular expression stay as they are.
var globalPlaceholder = regexp.MustCompile(`\{(?:env|file|system)\.[^{}]+\}`)

// replacePlaceholders replaces global placeholders in all strings that the arguments point to.
func replacePlaceholders(pointers ...any) error {
	r := replacing{caddy.NewReplacer(), nil}
	for _, p := range pointers {
		r.walk(reflect.ValueOf(p))
	}
	return r.err
}

// hasPlaceholders reports whether there is anything to replace.
func hasPlaceholders(policy *core.Policy) bool {
	document, err := json.Marshal(policy)
	return err == nil && globalPlaceholder.Match(document)
}

type replacing struct {
	values *caddy.Replacer
	err    error
}

func (r *replacing) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(r.text(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			r.walk(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			r.walk(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			r.walk(v.Index(i))
		}
	case reflect.Map:
		r.table(v)
	}
}

// table replaces in a map's values; its keys are names.
func (r *replacing) table(v reflect.Value) {
	for _, key := range v.MapKeys() {
		element := reflect.New(v.Type().Elem()).Elem()
		element.Set(v.MapIndex(key))
		r.walk(element)
		v.SetMapIndex(key, element)
	}
}

func (r *replacing) text(s string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	return globalPlaceholder.ReplaceAllStringFunc(s, func(placeholder string) string {
		name := placeholder[1 : len(placeholder)-1]
		value, ok := r.values.GetString(name)
		if variable, isVariable := strings.CutPrefix(name, "env."); isVariable {
			_, ok = os.LookupEnv(variable) // for which Caddy has the empty text
		}
		if !ok && r.err == nil {
			r.err = fmt.Errorf("placeholder %s has no value: it is not set", placeholder)
		}
		return value
	})
}

// firstField returns the JSON name of the first field of a policy that is set, except the schema
// and the service.
func firstField(policy *core.Policy) string {
	v := reflect.ValueOf(policy).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name != "$schema" && name != "service" && !v.Field(i).IsZero() {
			return name
		}
	}
	return ""
}
