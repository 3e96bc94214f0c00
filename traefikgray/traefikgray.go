// Package traefikgray is the Traefik plugin: it reads the middleware's configuration and leaves
// every decision to core. Traefik does not compile it but runs its source in the Yaegi interpreter,
// hence prepared function values and no methods on the path of a request.
//
// yaegi:tags yaegi
package traefikgray

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// CreateConfig returns a configuration with its defaults. Traefik fills in what the user gave.
func CreateConfig() *Config {
	return &Config{}
}

// New makes the middleware's handler. Traefik calls it for each router that uses the middleware,
// and again for all of them whenever any part of the dynamic configuration changes; ctx ends when
// the handler is about to be replaced.
//
// It reads files that the configuration names but does no network I/O. The error has everything
// that is wrong with the configuration, each with its path; Traefik logs it and leaves the router
// out, all others work on.
func New(ctx context.Context, next http.Handler, config *Config, name string) (handler http.Handler, err error) {
	// A panic here would not only lose this router: Traefik would never again apply a change of its
	// configuration.
	defer func() {
		if p := recover(); p != nil {
			handler = nil
			err = refusal(name, fmt.Errorf("this is a bug in gray, please report it: %v", p))
		}
	}()
	if config == nil {
		config = CreateConfig()
	}
	s, err := newSetup(ctx, config, name)
	if err != nil {
		return nil, refusal(name, err)
	}
	handler, err = open(s, config, next)
	if err != nil && config.Policy != "" && config.Source == nil {
		err = problem.Of(err).Under("policy")
	}
	if err != nil {
		problems := withVersionHint(s, config, problem.Of(err))
		return nil, refusal(name, problems)
	}
	return handler, nil
}

// newLogger writes straight to Traefik's output, whatever the level of its own log: what it says is
// rare and about the release.
func newLogger(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stdout, nil)).With("plugin", "gray", "middleware", name)
}

// refusal puts all problems on the one line that Traefik logs.
func refusal(name string, err error) error {
	return errors.New("gray: middleware " + name + ": " + strings.ReplaceAll(err.Error(), "\n", "; "))
}
