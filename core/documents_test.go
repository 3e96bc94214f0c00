package core_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// refused is a document that must be refused, with everything that must be said about it and
// nothing else.
type refused struct {
	About    string          `json:"about"`
	Document json.RawMessage `json:"document"` // a string holds the text of a document that is no JSON object
	Errors   []expected      `json:"errors"`   // empty: the document is beyond reading, and whatever is said will do
}

// expected is what is known of a problem; what a case leaves out may be anything.
type expected struct {
	Path     string `json:"path"`
	Column   int    `json:"column"`
	Contains string `json:"contains"` // part of the problem as people read it
	Suggests string `json:"suggests"` // the word after "did you mean"
}

func (e expected) fits(p problem.Problem) bool {
	return (e.Path == "" || p.Path == e.Path) && (e.Column == 0 || p.Column == e.Column) && strings.Contains(p.String(), e.Contains) &&
		(e.Suggests == "" || strings.Contains(p.Message, `(did you mean "`+e.Suggests+`"?)`))
}

func (r refused) text() []byte {
	var text string
	if json.Unmarshal(r.Document, &text) == nil {
		return []byte(text)
	}
	return r.Document
}

func TestRefusedDocuments(t *testing.T) {
	files, err := filepath.Glob("../testdata/documents/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var cases []refused
		require.NoError(t, json.Unmarshal(data, &cases), file)
		require.NotEmpty(t, cases, file)
		for _, c := range cases {
			t.Run(filepath.Base(file)+"/"+c.About, func(t *testing.T) { c.check(t) })
		}
	}
}

// check pairs every expected error with a problem of its own and wants no problem left over.
func (r refused) check(t *testing.T) {
	t.Helper()
	engine, err := core.Load(r.text())
	if err == nil { // what is wrong with a discovery URL is for those to say who follow it
		err = live.CheckDiscovery(engine.Versions()).Err()
	}
	var left problem.List
	require.ErrorAs(t, err, &left)
	require.NotEmpty(t, left)
	if len(r.Errors) == 0 {
		return
	}
	said := left.Error()
	require.NotContains(t, said, "Go struct field")
	for _, want := range r.Errors {
		at := slices.IndexFunc(left, want.fits)
		if at < 0 {
			t.Errorf("%.500s\nwant %+v\ngot\n%s", r.Document, want, said)
			continue
		}
		left = slices.Delete(left, at, at+1)
	}
	if len(left) > 0 && !t.Failed() {
		t.Errorf("%.500s\nunexpected:\n%s", r.Document, left)
	}
}
