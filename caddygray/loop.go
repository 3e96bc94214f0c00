package caddygray

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

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

// openPlace finds the place of what stands above the policy, and joins the loop of its rollout.
// What stands above a policy that does not change is in a file in Caddy's data folder. There is no
// loop for a policy that neither has a rollout nor can get one.
func (h *Handler) openPlace(policy *core.Policy, options *live.Options) error {
	folder := h.folder()
	if h.Source != nil {
		h.place = h.Source.URL
	} else {
		path, err := filepath.Abs(filepath.Join(folder, live.FileName(policy.Service)+".json"))
		if err != nil {
			return err
		}
		// What this process writes is in force at once; the interval is for other processes.
		h.place = (&url.URL{Scheme: "file", Path: path, RawQuery: "interval=1s"}).String()
		options.Beside = h.place
	}
	if h.Source == nil && policy.Rollout == nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o700); err != nil && h.Source == nil {
		return fmt.Errorf("the rollout of %q needs a folder for its state: %w", policy.Service, err)
	}
	o := loop.Options{Service: policy.Service, URL: h.place, StoreOptions: h.placeOptions(), Folder: folder,
		Logger: h.slog(), Event: h.emit}
	if h.Loop != nil {
		o.Obeys = h.Loop.Off
		o.Gateways = h.Loop.Gateways
	}
	use, err := loop.Open(o)
	if err != nil {
		return err
	}
	h.use = use
	return nil
}

// placeOptions are the options of the place.
func (h *Handler) placeOptions() map[string]string {
	if h.Source == nil {
		return nil
	}
	return h.Source.Options
}

// folder is where the handler keeps what must outlive the process.
func (h *Handler) folder() string {
	if h.Cache != "" {
		return h.Cache
	}
	return dataFolder()
}

// dataFolder is where gray keeps what must outlive the process.
func dataFolder() string { return filepath.Join(caddy.AppDataDir(), "gray") }

// findEvents finds who hears events. They can be told once the configuration has started.
func (h *Handler) findEvents(ctx caddy.Context) error {
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("getting the app `events`: %w", err)
	}
	events := app.(*caddyevents.App)
	started := &start{done: make(chan struct{})}
	h.emitEvent = func(name string, data map[string]any) {
		select {
		case <-started.done:
			events.Emit(ctx, name, data)
		case <-ctx.Done():
		}
	}
	return events.On("started", started)
}

// start hears that a configuration has started.
type start struct {
	once sync.Once
	done chan struct{}
}

// Handle implements caddyevents.Handler.
func (s *start) Handle(context.Context, caddy.Event) error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// emit tells Caddy's events app what happened to the rollout, as `gray_rollout_KIND`.
func (h *Handler) emit(e loop.Event) {
	if e.Kind == loop.RolledBack {
		rollbacksTotal.Count(e.Service, e.Guard)
	}
	tellConsoles(e.Service, &e)
	h.emitEvent("gray_rollout_"+e.Kind, map[string]any{
		"id": e.ID, "service": e.Service, "version": e.Version, "attempt": e.Attempt, "epoch": e.Epoch, "phase": e.Phase,
		"step": e.Step, "steps": e.Steps, "percent": e.Percent, "reason": e.Reason, "by": e.By, "guard": e.Guard,
		"at": e.At,
	})
}
