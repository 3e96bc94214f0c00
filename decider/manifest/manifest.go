// Package manifest reads and writes Kubernetes objects as YAML.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// Annotations of what was exported, by which it is found again.
const (
	// AnnotationService is the policy's service.
	AnnotationService = "gray/service"
	// AnnotationStable is the stable version.
	AnnotationStable = "gray/stable"
	// AnnotationRules is a JSON object of the names of rules by those of routes, where they differ.
	AnnotationRules = "gray/rules"
)

// MaxSize is how much Read reads.
const MaxSize = 8 << 20

// maxObjects bounds what one text may hold.
const maxObjects = 10_000

// Object is a Kubernetes object whose spec is not read yet.
type Object struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Metadata   Metadata        `json:"metadata"`
	Spec       json.RawMessage `json:"spec,omitempty"`
}

// Metadata names an object.
type Metadata struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Group returns the API group of an object, without its version.
func (o *Object) Group() string {
	group, _, _ := strings.Cut(o.APIVersion, "/")
	return group
}

// String names the object as messages do.
func (o *Object) String() string {
	name := o.Metadata.Name
	if o.Metadata.Namespace != "" {
		name = o.Metadata.Namespace + "/" + name
	}
	return fmt.Sprintf("%s %q", o.Kind, name)
}

// separator matches the line between two documents.
var separator = regexp.MustCompile(`(?m)^---(?:[ \t].*)?\r?$`)

// Read reads the objects of a text of YAML or JSON documents, and those within a List. A key that
// is there twice is an error.
func Read(text []byte) ([]*Object, error) {
	if len(text) > MaxSize {
		return nil, errors.New("longer than 8 MiB")
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var all []*Object
	for i, document := range separator.Split(string(text), -1) {
		converted, err := yaml.YAMLToJSONStrict([]byte(document))
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
		if string(converted) == "null" {
			continue
		}
		if err := read(converted, &all); err != nil {
			return nil, fmt.Errorf("document %d: %w", i+1, err)
		}
	}
	return all, nil
}

func read(document []byte, all *[]*Object) error {
	var o struct {
		Object
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(document, &o); err != nil {
		return err
	}
	if o.Kind == "" {
		return errors.New("not a Kubernetes object: it has no kind")
	}
	if o.Items == nil {
		*all = append(*all, &o.Object)
	}
	for i, item := range o.Items {
		if len(*all) > maxObjects {
			return fmt.Errorf("more than %d objects", maxObjects)
		}
		var one Object
		if err := json.Unmarshal(item, &one); err != nil {
			return fmt.Errorf("items[%d]: %w", i, err)
		}
		*all = append(*all, &one)
	}
	return nil
}

// Write writes objects as YAML documents.
func Write(objects []*Object) ([]byte, error) {
	var out bytes.Buffer
	for i, o := range objects {
		text, err := yaml.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o, err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// LabelName turns a text into a DNS label (RFC 1123), as names of objects are, "" if nothing of it
// may be in one.
func LabelName(text string) string {
	name := []byte(strings.ToLower(text))
	for i, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9') {
			name[i] = '-'
		}
	}
	if len(name) > 63 {
		name = name[:63]
	}
	return strings.Trim(string(name), "-")
}
