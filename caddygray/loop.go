package caddygray

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/loop"
)

// Loop says how this gateway takes part in moving the policy's rollout.
type Loop struct {
	// Off has this gateway obey what others decide: it measures nothing and moves nothing by itself.
	// Default: false.
	Off bool `json:"off,omitempty"`
	// Gateways is how many gateways run the loop of this rollout. Each judges the callers that it
	// sees, and may be wrong with that share of the plan's alpha. Default: 1.
	Gateways int `json:"gateways,omitempty"`
}

// openLoop joins the loop of the policy's rollout, and tells the options where the state is kept.
// A policy that does not change has it in Caddy's data folder. There is no loop for a policy that
// neither has a rollout nor can get one.
func (h *Handler) openLoop(policy *core.Policy, options *live.Options) error {
	if h.Source == nil && policy.Rollout == nil {
		return nil
	}
	o := loop.Options{Service: policy.Service, Logger: h.slog(), Event: h.emit}
	if h.Loop != nil {
		o.Obeys = h.Loop.Off
		o.Gateways = h.Loop.Gateways
	}
	o.Folder = h.Cache
	if o.Folder == "" {
		o.Folder = dataFolder()
	}
	if h.Source != nil {
		o.URL = h.Source.URL
		o.StoreOptions = h.Source.Options
	} else {
		if err := os.MkdirAll(o.Folder, 0o700); err != nil {
			return fmt.Errorf("the rollout of %q needs a folder for its state: %w", policy.Service, err)
		}
		path, err := filepath.Abs(filepath.Join(o.Folder, loop.FileName(policy.Service)+".json"))
		if err != nil {
			return err
		}
		o.URL = (&url.URL{Scheme: "file", Path: path}).String()
		options.Beside = o.URL
	}
	use, err := loop.Open(o)
	if err != nil {
		return err
	}
	h.use = use
	return nil
}

// dataFolder is where gray keeps what must outlive the process.
func dataFolder() string { return filepath.Join(caddy.AppDataDir(), "gray") }

// findEvents finds who hears events.
func (h *Handler) findEvents(ctx caddy.Context) error {
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("getting the app `events`: %w", err)
	}
	events := app.(*caddyevents.App)
	h.emitEvent = func(name string, data map[string]any) { events.Emit(ctx, name, data) }
	return nil
}

// emit tells Caddy's events app what happened to the rollout, as `gray_rollout_KIND`.
func (h *Handler) emit(e loop.Event) {
	if e.Kind == loop.RolledBack {
		rollbacksTotal.WithLabelValues(e.Service, e.Guard).Inc()
	}
	h.emitEvent("gray_rollout_"+e.Kind, map[string]any{
		"id": e.ID, "service": e.Service, "version": e.Version, "attempt": e.Attempt, "epoch": e.Epoch, "phase": e.Phase,
		"step": e.Step, "steps": e.Steps, "percent": e.Percent, "reason": e.Reason, "by": e.By, "guard": e.Guard,
		"at": e.At,
	})
}
