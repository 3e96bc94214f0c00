// Command build builds the servers that the tests run against: all of them, or those that are
// named. It prints where each one is. It reports and skips servers for which this machine lacks the
// tools, except with CI=true.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/grayrelease/gray/e2e/servers"
)

func main() {
	names := os.Args[1:]
	if len(names) == 0 {
		names = servers.Names()
	}
	failed := false
	for _, name := range names {
		path, err := servers.Build(name)
		switch {
		case err == nil:
			fmt.Println(path)
		case errors.Is(err, servers.ErrUnavailable) && os.Getenv("CI") == "":
			fmt.Fprintln(os.Stderr, "skipped:", err)
		default:
			fmt.Fprintln(os.Stderr, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
