package caddygray

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/program"
)

func init() { caddy.RegisterModule(Exec{}) }

// Exec is an event handler that runs a program when something happens to a rollout, such as a
// script that tells people, or takes a release back in the cluster too:
//
//	{
//		events {
//			on gray_rollout_rolled_back gray_exec /usr/local/bin/rolled-back
//		}
//	}
//
// The event's data are the program's input, as JSON. Nothing of an event becomes a word of a
// command.
type Exec struct {
	// Command is the program and its arguments. Required.
	Command []string `json:"command"`
	// Timeout ends the program. Default: 30s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	logger *zap.Logger
}

const execTimeout = 30 * time.Second

// CaddyModule returns the Caddy module information.
func (Exec) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.gray_exec", New: func() caddy.Module { return new(Exec) }}
}

// UnmarshalCaddyfile sets up the handler from `gray_exec <program> [<arguments...>]`.
func (e *Exec) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // consume the handler's name
	e.Command = d.RemainingArgs()
	if len(e.Command) == 0 {
		return d.ArgErr()
	}
	return nil
}

// UnmarshalJSON reads the handler's JSON strictly.
func (e *Exec) UnmarshalJSON(data []byte) error { return core.Decode(data, e) }

// Provision looks for the program.
func (e *Exec) Provision(ctx caddy.Context) error {
	e.logger = ctx.Logger()
	if len(e.Command) == 0 {
		return errors.New("gray_exec: command: required: a program and its arguments")
	}
	if e.Timeout < 0 {
		return errors.New("gray_exec: timeout: must not be negative")
	}
	if _, err := exec.LookPath(e.Command[0]); err != nil {
		return fmt.Errorf("gray_exec: %w", err)
	}
	return nil
}

// Handle runs the program, and logs how that ended.
func (e *Exec) Handle(_ context.Context, event caddy.Event) error {
	data := map[string]any{"event": event.Name()}
	for name, value := range event.Data {
		data[name] = value
	}
	input, err := json.Marshal(data)
	if err != nil {
		return err
	}
	timeout := time.Duration(e.Timeout)
	if timeout == 0 {
		timeout = execTimeout
	}
	output, err := program.Run(context.Background(), e.Command, input, nil, timeout)
	if err != nil {
		e.logger.Error("program of an event failed", zap.String("event", event.Name()), zap.Strings("command", e.Command),
			zap.ByteString("output", output), zap.Error(err))
		return nil // what happened has happened
	}
	e.logger.Info("program of an event ran", zap.String("event", event.Name()), zap.Strings("command", e.Command))
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Exec)(nil)
	_ caddyfile.Unmarshaler = (*Exec)(nil)
	_ caddyevents.Handler   = (*Exec)(nil)
)
