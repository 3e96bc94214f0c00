package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
)

// objects are the types that a policy is made of, by their names in the schema.
var objects = map[string]reflect.Type{
	"Policy": reflect.TypeFor[core.Policy](), "Version": reflect.TypeFor[core.Version](),
	"Cookie": reflect.TypeFor[core.Cookie](), "Rule": reflect.TypeFor[core.Rule](),
	"Tester": reflect.TypeFor[core.Tester](), "Rollout": reflect.TypeFor[core.Rollout](),
	"JWT": reflect.TypeFor[jwt.Config](),
}

// required finds the fields that are, by their comments. "Required if ..." and "Required, unless
// ..." are for limits.go.
var required = regexp.MustCompile(`\bRequired(\.|;|, one of)`)

// generate returns the schema.
func generate() ([]byte, error) {
	names := map[reflect.Type]string{}
	for name, of := range objects {
		names[of] = name
	}
	reflector := &jsonschema.Reflector{
		Anonymous: true, ExpandedStruct: true,
		Namer: func(t reflect.Type) string { return names[t] },
	}
	err := reflector.AddGoComments("github.com/grayrelease/gray/e2e/schema", "../../core", jsonschema.WithFullComment())
	if err != nil {
		return nil, err
	}
	schema := reflector.Reflect(core.Policy{})
	schema.Title = "Gray policy"
	unused := map[string]bool{}
	for path := range limits {
		unused[path] = true
	}
	for name, of := range objects {
		object := schema.Definitions[name]
		if name == "Policy" {
			object = schema
		}
		if object == nil {
			return nil, fmt.Errorf("a policy has no %s", name)
		}
		complete(object, name, of, unused)
	}
	if len(unused) > 0 {
		return nil, fmt.Errorf("limits of what a policy does not have: %v", unused)
	}
	var document bytes.Buffer
	encoder := json.NewEncoder(&document)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(schema)
	return document.Bytes(), err
}

// complete gives an object's properties their descriptions and limits.
func complete(object *jsonschema.Schema, name string, of reflect.Type, unused map[string]bool) {
	object.Description = describe(object.Description)
	object.Required = nil
	last := ""
	for i := range of.NumField() {
		field, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		property, _ := object.Properties.Get(field)
		if property.Description == "" {
			property.Description = last // fields that share a comment
		}
		last = property.Description
		property.Description = describe(last)
		if required.MatchString(last) {
			object.Required = append(object.Required, field)
		}
		if limit := limits[name+"."+field]; limit != nil {
			limit(property)
			delete(unused, name+"."+field)
		}
	}
	if limit := limits[name]; limit != nil {
		limit(object)
		delete(unused, name)
	}
}

var (
	word   = regexp.MustCompile(`JSON (?:Schema|Web Key)|[A-Za-z0-9_.-]*\w`)
	folded = regexp.MustCompile(`([^\n])\n([^\n\t])`)
)

// describe makes a description of a comment: fields are called as documents call them, and only
// paragraphs and what is indented begin a line.
func describe(comment string) string {
	return word.ReplaceAllStringFunc(folded.ReplaceAllString(comment, "$1 $2"), called)
}

// called is what documents call a field or an object of the policy; other words stay.
func called(name string) string {
	field := name[strings.LastIndexByte(name, '.')+1:]
	for object, of := range objects {
		if f, found := of.FieldByName(field); found {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return name
		}
		if of.Name() == name {
			return strings.ToLower(object)
		}
	}
	return name
}
