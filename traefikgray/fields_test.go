package traefikgray

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
)

// Every field of a policy is in Config, and reaches the engine.
func TestConfigHasEveryFieldOfAPolicy(t *testing.T) {
	policy := &core.Policy{}
	fill(t, reflect.ValueOf(policy).Elem(), "policy")
	document, err := json.Marshal(policy)
	require.NoError(t, err)

	var config Config
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&config), "a field of core.Policy is not in Config")
	versions, problems := readVersions(config.Versions)
	require.Empty(t, problems)
	require.Equal(t, policy, inlinePolicy(&config, versions), "a field is not copied")
}

// Config has the fields of core.Policy under the same names, at each depth.
func TestConfigNamesFieldsAsPolicyDoes(t *testing.T) {
	config := reflect.TypeOf(Config{})
	of := reflect.TypeOf(core.Policy{})
	for i := range of.NumField() {
		want := of.Field(i)
		got, found := config.FieldByName(want.Name)
		if assert.True(t, found, "%s is not in Config", want.Name) {
			assert.Equal(t, jsonName(want), jsonName(got), want.Name)
		}
	}
	checkNames(t, config, "Config")
	checkNames(t, of, "Policy") // whose Versions Config has in another type
}

// checkNames checks that Traefik and documents call each field alike: documents use its JSON name,
// Traefik that of its mapstructure tag, or else its Go name in any case.
func checkNames(t *testing.T, of reflect.Type, path string) {
	t.Helper()
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		checkNames(t, of.Elem(), path)
	case reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			if !field.IsExported() {
				continue
			}
			name := field.Name
			if tag, ok := field.Tag.Lookup("mapstructure"); ok {
				name = tag
			}
			if !strings.HasPrefix(name, ",") {
				assert.True(t, strings.EqualFold(name, jsonName(field)), "%s.%s is %q in JSON", path, name, jsonName(field))
			}
			checkNames(t, field.Type, path+"."+field.Name)
		}
	}
}

// Traefik drops the names that an object does not have, unless the object has a field for the rest.
func TestObjectsKeepUnknownNames(t *testing.T) {
	checkRest(t, reflect.TypeOf(Config{}), "Config")
}

func checkRest(t *testing.T, of reflect.Type, path string) {
	t.Helper()
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		checkRest(t, of.Elem(), path)
	case reflect.Struct:
		rest, found := of.FieldByName("Rest")
		if assert.True(t, found, "%s needs a wrapper in fields.go", path) {
			assert.Equal(t, `json:"-" mapstructure:",remain"`, string(rest.Tag), path)
		}
		for i := range of.NumField() {
			field := of.Field(i)
			if !field.Anonymous {
				checkRest(t, field.Type, path+"."+field.Name)
				continue
			}
			assert.Equal(t, `mapstructure:",squash"`, string(field.Tag), path)
			for j := range field.Type.NumField() {
				checkRest(t, field.Type.Field(j).Type, path+"."+field.Type.Field(j).Name)
			}
		}
	}
}

// fill gives each field, at each depth, a value of its own that is not the zero value.
func fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(path)
	case reflect.Float64:
		v.SetFloat(12.5)
	case reflect.Bool: // the two that are pointers are true by default
		v.SetBool(!strings.HasSuffix(path, ".Enabled") && !strings.HasSuffix(path, ".Verify"))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), path)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(t, v.Index(0), path+"[0]")
		fill(t, v.Index(1), path+"[1]")
	case reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		fill(t, element, path+"[key]")
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), element)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	default:
		t.Fatalf("%s is of kind %s, which this test cannot fill", path, v.Kind())
	}
	require.False(t, v.IsZero() && v.Kind() != reflect.Bool, path)
}
