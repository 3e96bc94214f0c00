package main

import (
	"fmt"
	"io"
	"os"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// anyHost has what any host has: it is not known which one a policy is for.
var anyHost = core.Host{Placeholders: true}

// readPolicy reads a document, from the standard input for "-", at most as much as gateways read.
func (p *program) readPolicy(path string) ([]byte, error) {
	const most = 8 << 20
	var document io.Reader = p.in
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, away(err)
		}
		defer file.Close()
		document = file
	}
	data, err := io.ReadAll(io.LimitReader(document, most+1))
	switch {
	case err != nil:
		return nil, away(fmt.Errorf("%s cannot be read: %w", path, err))
	case len(data) > most:
		return nil, away(fmt.Errorf("%s is longer than 8 MiB", path))
	}
	return data, nil
}

// loadPolicy reads a document, and makes it ready to decide.
func (p *program) loadPolicy(path string) (*core.Engine, error) {
	data, err := p.readPolicy(path)
	if err != nil {
		return nil, err
	}
	e, err := live.Check(anyHost, data, nil)
	if err != nil {
		return nil, &failure{exitNot, fmt.Errorf("%s is not a valid policy:\n%w", path, problem.Of(err))}
	}
	return e, nil
}
