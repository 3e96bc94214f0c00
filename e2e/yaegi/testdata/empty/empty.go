// Package empty is a plugin that does nothing, or the least that is possible: the baselines that
// others are measured against.
package empty

import (
	"context"
	"net/http"
)

// Config says which of the baselines the plugin is.
type Config struct {
	// Shape is the form of the handler: "method" for a struct with ServeHTTP as in Traefik's demo
	// plugin, or "closure" (the default) for a function value, which the interpreter calls faster; or
	// the name of a floor.
	Shape string
	// Target is where the floor "proxy" forwards to, a URL.
	Target string
}

// CreateConfig returns the defaults.
func CreateConfig() *Config { return &Config{} }

type empty struct{ next http.Handler }

func (e *empty) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.next.ServeHTTP(w, r) }

// New returns a handler that calls next.
func New(_ context.Context, next http.Handler, config *Config, _ string) (http.Handler, error) {
	if config.Shape == "method" {
		return &empty{next}, nil
	}
	if handler := floor(config.Shape, config.Target, next); handler != nil {
		return handler, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, r) }), nil
}
