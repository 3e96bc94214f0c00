// Command schema writes docs/policy.schema.json, the JSON Schema of the policy document.
// Properties, their types and their descriptions are those of core.Policy and its comments;
// limits.go has what these do not say. `go generate ./core` runs it; its test fails while the file
// is not current.
package main

import (
	"log"
	"os"
)

const file = "../../docs/policy.schema.json"

func main() {
	document, err := generate()
	if err == nil {
		err = os.WriteFile(file, document, 0o644)
	}
	if err != nil {
		log.Fatal(err)
	}
}
