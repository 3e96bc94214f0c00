// Command gray operates releases: it shows where they are, moves them, and says before a change
// what it would do.
//
//	go install github.com/grayrelease/gray/cmd/gray@latest
//	gray help
package main

import (
	"context"
	"os"
	"os/signal"
	"os/user"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	p := &program{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv, by: whoAmI(),
		isTerminal: isTerminal}
	code := p.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// whoAmI names the person at the keyboard for the record, as in ann@host.
func whoAmI() string {
	name := "gray"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	return name
}
