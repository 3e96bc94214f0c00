// Command gray-kong serves the plugin gray to Kong. Kong starts it: see docs/decide.md.
package main

import (
	"fmt"
	"os"

	"github.com/Kong/go-pdk/server"

	"github.com/grayrelease/gray/decider/kong"
)

func main() {
	if err := server.StartServer(kong.New, kong.Version, kong.Priority); err != nil {
		fmt.Fprintln(os.Stderr, "gray-kong:", err)
		os.Exit(1)
	}
}
