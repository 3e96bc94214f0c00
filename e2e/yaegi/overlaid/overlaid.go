// Package overlaid reports what an engine decides under overlays. It is run compiled and
// interpreted, and both must report the same.
package overlaid

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strconv"

	"github.com/grayrelease/gray/core"
)

// Report applies overlays, given as a JSON array, to a document's engine in turn. It returns
// everything that the engine then says of 40 requests, one per line.
func Report(document, overlays string) string {
	e, err := core.Load([]byte(document))
	if err != nil {
		return err.Error()
	}
	var list []core.Overlay
	if err := json.Unmarshal([]byte(overlays), &list); err != nil {
		return err.Error()
	}
	for _, o := range list {
		e = e.With(o)
	}
	text := fmt.Sprintln(e.Overlay(), core.Vary(e))
	for n := 0; n < 40; n++ {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-ID", strconv.Itoa(n))
		if n%3 == 0 {
			r.Header.Set("X-Kiosk", "yes")
		}
		c := &core.Caller{Request: r}
		d := core.Decide(e, c)
		id, position, asked := core.Asked(c)
		x, err := json.Marshal(core.Explain(e, c))
		if err != nil {
			return err.Error()
		}
		text += fmt.Sprintln(d.Version, d.Rule, core.Reason(e, d), id, position, asked, string(x))
	}
	return text
}

// Rollout reports what the state of a rollout puts on a document's engine, and what the plan is.
func Rollout(document, state string) string {
	e, err := core.Load([]byte(document))
	if err != nil {
		return err.Error()
	}
	slim := *e.Rollout()
	slim.Freeze = nil // the interpreter shows fields that are not exported
	plan, err := json.Marshal(slim)
	if err != nil {
		return err.Error()
	}
	s, err := core.ParseRolloutState([]byte(state))
	if err != nil {
		return string(plan) + "\n" + err.Error()
	}
	written, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	o, err := s.Overlay(e.Rollout())
	isFrozen := e.Rollout().Freeze[0].Covers(s.Since)
	return fmt.Sprintln(string(plan), string(written), o, err, e.With(o).Overlay(), isFrozen)
}
