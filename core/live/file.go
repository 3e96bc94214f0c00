package live

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/grayrelease/gray/core"
)

// ReadPolicy reads a policy document from a file. The error says in which folder a file was looked
// for that is not there; what is wrong with the document is a problem.List.
func ReadPolicy(path string) (*core.Policy, error) {
	document, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, notThere(path)
	}
	if err != nil {
		return nil, err
	}
	return core.ParsePolicy(document)
}

// notThere says where a file was looked for.
func notThere(path string) error {
	hint := ""
	if !filepath.IsAbs(path) {
		hint = " (relative paths begin at the working directory)"
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	folder, name := filepath.Split(absolute)
	folder = filepath.Clean(folder)
	if _, err := os.Stat(folder); os.IsNotExist(err) {
		return fmt.Errorf("there is no folder %s for the file %s%s", folder, name, hint)
	}
	return fmt.Errorf("there is no file %s in the folder %s%s", name, folder, hint)
}
