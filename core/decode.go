package core

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core/plain"
	"github.com/grayrelease/gray/core/problem"
)

// ParsePolicy reads a policy document from JSON. It is strict: unknown and repeated fields and
// wrong types are refused, all at once. What the document means is checked by New.
//
// The error is a problem.List.
func ParsePolicy(document []byte) (*Policy, error) {
	p := &Policy{}
	if problems := decodeStrict(document, p); len(problems) > 0 {
		return nil, problems
	}
	return p, nil
}

// decoder fills a value from JSON tokens and notes what does not fit, where encoding/json would
// ignore it or stop at the first.
type decoder struct {
	tokens   *json.Decoder
	problems problem.List
}

// Decode reads a JSON document into what into points to: a struct whose fields are texts, numbers,
// truth values, pointers to them, structs, lists and tables of those. It is as strict as
// ParsePolicy.
//
// The error is a problem.List.
func Decode(document []byte, into any) error {
	return decodeStrict(document, into).Err()
}

// decodeStrict fills what `into` points to.
func decodeStrict(document []byte, into any) problem.List {
	document, err := plain.Text(document)
	if err != nil {
		return problem.Of(fmt.Errorf("the document cannot be read: %w", err))
	}
	d := &decoder{tokens: json.NewDecoder(bytes.NewReader(document))}
	d.tokens.UseNumber()
	err = d.value("", reflect.ValueOf(into).Elem())
	if err == nil {
		if _, err = d.tokens.Token(); err == io.EOF {
			return d.problems
		}
	}
	offset := d.tokens.InputOffset()
	if syntax, ok := json.Unmarshal(document, new(json.RawMessage)).(*json.SyntaxError); ok {
		err, offset = syntax, syntax.Offset-1 // the same, but the offset is that of the very byte
	}
	line, column := lineColumn(document, offset)
	d.note("", fmt.Sprintf("not valid JSON at line %d, column %d: %s%s", line, column,
		strings.TrimPrefix(err.Error(), "json: "), meant(document, offset)))
	return d.problems
}

// meant says what a document is that is not JSON, if that can be seen.
func meant(document []byte, offset int64) string {
	if offset >= 0 && offset < int64(len(document)) && (document[offset] == '#' || document[offset] == '/') {
		return "; documents are JSON, which has no comments"
	}
	if start := bytes.TrimLeft(document, " \t\r\n"); len(start) > 0 && start[0] != '{' && start[0] != '[' {
		return "; documents are JSON, not YAML or another format"
	}
	return ""
}

// lineColumn turns a byte offset into line and column, both from 1.
func lineColumn(document []byte, offset int64) (int, int) {
	before := document[:0]
	if offset > 0 {
		before = document[:offset]
	}
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

func (d *decoder) note(path, message string) {
	d.problems = append(d.problems, problem.Problem{Path: path, Message: message})
}

// value reads the next JSON value into v. Its error ends the reading; what merely does not fit is
// noted.
func (d *decoder) value(path string, v reflect.Value) error {
	switch into := v.Addr().Interface().(type) {
	case *[]string:
		return d.strings(path, into)
	case json.Unmarshaler:
		if path != "" { // else it is what reads itself by this decoder
			return d.itself(path, into)
		}
	}
	token, err := d.tokens.Token()
	if err != nil {
		return err
	}
	return d.fill(path, v, token)
}

// itself has a value read itself.
func (d *decoder) itself(path string, into json.Unmarshaler) error {
	var text json.RawMessage
	if err := d.tokens.Decode(&text); err != nil {
		return err
	}
	if err := into.UnmarshalJSON(text); err != nil {
		message := err.Error()
		if wrong, ok := err.(*json.UnmarshalTypeError); ok {
			message = "cannot be a " + wrong.Value
		}
		d.note(path, message)
	}
	return nil
}

func (d *decoder) fill(path string, v reflect.Value, token json.Token) error {
	if v.Kind() == reflect.Ptr {
		if token == nil {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		return d.fill(path, v.Elem(), token)
	}
	delim, nested := token.(json.Delim)
	switch {
	case v.Kind() == reflect.Struct && nested && delim == '{':
		return d.object(path, v)
	case v.Kind() == reflect.Map && nested && delim == '{':
		return d.table(path, v)
	case v.Kind() == reflect.Slice && nested && delim == '[':
		return d.array(path, v)
	case nested:
		d.note(path, "must be "+wanted(v.Kind())+", is "+found(token))
		return d.skip()
	}
	d.scalar(path, v, token)
	return nil
}

func (d *decoder) scalar(path string, v reflect.Value, token json.Token) {
	switch t := token.(type) {
	case nil:
		return // null is absent, as everywhere in Go's JSON
	case string:
		if v.Kind() == reflect.String {
			v.SetString(t)
			return
		}
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(t)
			return
		}
	case json.Number:
		if d.number(v, t.String()) {
			return
		}
	}
	d.note(path, "must be "+wanted(v.Kind())+", is "+found(token))
}

func (d *decoder) number(v reflect.Value, text string) bool {
	switch v.Kind() {
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err == nil {
			v.SetFloat(f)
		}
		return err == nil
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			v.SetInt(i)
		}
		return err == nil
	}
	return false
}

// object reads the fields of a struct, which its json tags name.
func (d *decoder) object(path string, v reflect.Value) error {
	names, places := fieldsOf(v.Type())
	seen := map[string]bool{}
	for d.tokens.More() {
		key, err := d.key(path, seen)
		if err != nil {
			return err
		}
		at := problem.Field(path, key)
		i := indexOf(names, key)
		if i < 0 {
			d.note(at, "unknown field"+problem.OneOf(key, names))
			if err := d.skipValue(); err != nil {
				return err
			}
			continue
		}
		if err := d.value(at, v.FieldByIndex(places[i])); err != nil {
			return err
		}
	}
	_, err := d.tokens.Token()
	return err
}

// table reads the entries of a map with string keys.
func (d *decoder) table(path string, v reflect.Value) error {
	v.Set(reflect.MakeMap(v.Type()))
	seen := map[string]bool{}
	for d.tokens.More() {
		key, err := d.key(path, seen)
		if err != nil {
			return err
		}
		element := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(problem.Field(path, key), element); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key), element)
	}
	_, err := d.tokens.Token()
	return err
}

func (d *decoder) array(path string, v reflect.Value) error {
	for i := 0; d.tokens.More(); i++ {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		if err := d.value(problem.Index(path, i), v.Index(i)); err != nil {
			return err
		}
	}
	_, err := d.tokens.Token()
	return err
}

// strings reads an array of strings in one go, since lists may have a million of them; only what
// does not fit is gone through.
func (d *decoder) strings(path string, list *[]string) error {
	var text json.RawMessage
	if err := d.tokens.Decode(&text); err != nil {
		return err
	}
	if json.Unmarshal(text, list) == nil && indexOf(*list, "") < 0 { // an empty one may have been null
		return nil
	}
	one := &decoder{tokens: json.NewDecoder(bytes.NewReader(text))}
	one.tokens.UseNumber()
	err := one.oneByOne(path, list)
	d.problems = append(d.problems, one.problems...)
	return err
}

func (d *decoder) oneByOne(path string, list *[]string) error {
	*list = nil
	token, err := d.tokens.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('[') {
		d.note(path, "must be "+wanted(reflect.Slice)+", is "+found(token))
		return nil
	}
	for i := 0; d.tokens.More(); i++ {
		var s string
		if err := d.value(problem.Index(path, i), reflect.ValueOf(&s).Elem()); err != nil {
			return err
		}
		*list = append(*list, s)
	}
	return nil
}

// key reads an object's next key; a repeated one is noted, since which of the two was meant cannot
// be known.
func (d *decoder) key(path string, seen map[string]bool) (string, error) {
	token, err := d.tokens.Token()
	if err != nil {
		return "", err
	}
	key, _ := token.(string)
	if seen[key] {
		d.note(problem.Field(path, key), "is given twice")
	}
	seen[key] = true
	return key, nil
}

func (d *decoder) skipValue() error {
	var ignored json.RawMessage
	return d.tokens.Decode(&ignored)
}

// skip reads to the end of the object or array that has just begun.
func (d *decoder) skip() error {
	for depth := 1; depth > 0; {
		token, err := d.tokens.Token()
		if err != nil {
			return err
		}
		delim, nested := token.(json.Delim)
		if !nested {
			continue
		}
		if delim == '{' || delim == '[' {
			depth++
		} else {
			depth--
		}
	}
	return nil
}

// fieldsOf returns the names of a struct's fields, with those of structs embedded in it, and where
// they are.
func fieldsOf(t reflect.Type) (names []string, places [][]int) {
	for i := 0; i < t.NumField(); i++ {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name != "" && name != "-":
			names = append(names, name)
			places = append(places, []int{i})
		case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
			inner, within := fieldsOf(field.Type)
			names = append(names, inner...)
			for _, place := range within {
				places = append(places, append([]int{i}, place...))
			}
		}
	}
	return names, places
}

func wanted(k reflect.Kind) string {
	switch k {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	default:
		return "a number"
	}
}

func found(token json.Token) string {
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return "an object"
		}
		return "an array"
	case string:
		return "the string " + problem.Quote(t)
	case nil:
		return "null"
	default:
		return fmt.Sprint(t)
	}
}
