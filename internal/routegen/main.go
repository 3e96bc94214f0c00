// Command routegen writes core/ways_yaegi.go, the quick ways of core.Route in the interpreter, from
// route.tmpl. `go generate ./core` runs it; its test fails while the file is not current.
package main

import (
	"bytes"
	_ "embed"
	"go/format"
	"log"
	"os"
	"text/template"
)

//go:embed route.tmpl
var text string

func main() {
	code, err := generate()
	if err == nil {
		err = os.WriteFile("ways_yaegi.go", code, 0o644) //nolint:gosec // a source file
	}
	if err != nil {
		log.Fatal(err)
	}
}

// generate returns the file's content.
func generate() ([]byte, error) {
	t, err := template.New("route").Parse(text)
	if err != nil {
		return nil, err
	}
	var code bytes.Buffer
	if err := t.Execute(&code, nil); err != nil {
		return nil, err
	}
	return format.Source(code.Bytes())
}
