package repo

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// interpreted are the folders that Traefik's interpreter runs.
var interpreted = []string{"core", "internal/remote", "traefikgray"}

// Yaegi v0.16.1 assigns only the results of the calls in `a, b = x, f(x)`; the other variables keep
// their values. It handles `a, b := x, f(x)` correctly.
func TestNoAssignmentMixesCallsAndValues(t *testing.T) {
	files := 0
	for _, folder := range interpreted {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, at := range mixedAssignments(file) {
				assert.Fail(t, "an assignment mixes calls and values: write one line for each", "%s", set.Position(at))
			}
			return nil
		})
		require.NoError(t, err)
	}
	require.Greater(t, files, 50)
}

// mixedAssignments returns where a file assigns calls and other values in one statement.
func mixedAssignments(file *ast.File) []token.Pos {
	var found []token.Pos
	ast.Inspect(file, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && a.Tok == token.ASSIGN {
			calls := 0
			for _, value := range a.Rhs {
				if _, ok := value.(*ast.CallExpr); ok {
					calls++
				}
			}
			if calls > 0 && calls < len(a.Rhs) {
				found = append(found, a.Pos())
			}
		}
		return true
	})
	return found
}

func TestMixedAssignmentsAreFound(t *testing.T) {
	for statement, want := range map[string]int{
		"a, b = x, f(x)":         1,
		"a, b = f(x), nil":       1,
		"s.a, s.b = s.c, f(x)":   1,
		"if x { a, b = x, f() }": 1,
		"a, b := x, f(x)":        0,
		"a, b = f(x), g(x)":      0,
		"a, b = f(x)":            0,
		"a, b = b, a":            0,
		"a, b = x, 1 + f(x)":     0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() { "+statement+" }", 0)
		require.NoError(t, err)
		assert.Len(t, mixedAssignments(file), want, statement)
	}
}
