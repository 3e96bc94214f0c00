// Command grafana writes the dashboards of examples/grafana, made with Grafana's foundation SDK.
// `go generate ./grafana` runs it; its test fails while a file is not current.
package main

import (
	"log"
	"os"
	"path/filepath"
)

//go:generate go run .

const folder = "../../examples/grafana"

func main() {
	for name, b := range boards() {
		text, err := b.json()
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name), text, 0o644)
		}
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
	}
}

// boards are the dashboards by the names of their files.
func boards() map[string]*board {
	return map[string]*board{"caddy.json": caddyBoard(), "controller.json": controllerBoard(),
		"decider.json": deciderBoard()}
}
