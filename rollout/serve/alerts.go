package serve

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout/guard"
)

const (
	maxDelivery = 4 << 20
	maxAlerts   = 10000
)

// delivery is what Alertmanager posts, as far as it is read. Other fields are ignored: versions of
// Alertmanager add some.
type delivery struct {
	Version string      `json:"version"`
	Alerts  []delivered `json:"alerts"`
}

type delivered struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	StartsAt    time.Time         `json:"startsAt"`
	Fingerprint string            `json:"fingerprint"`
}

// alert is what is known of one alert: its newest firing, and whether that is over.
type alert struct {
	labels map[string]string
	since  time.Time // when it began to fire
	isOver bool
	heard  time.Time
}

// alerts remembers what Alertmanager has delivered. The same alert may come again and again, in
// groups with others, and late: only a newer firing changes anything. It is safe for concurrent
// use.
type alerts struct {
	mu    sync.Mutex
	known map[string]*alert // by fingerprint
}

// readDelivery reads the body of a webhook, strictly as far as it matters.
func readDelivery(body io.Reader) (*delivery, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxDelivery+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDelivery {
		return nil, fmt.Errorf("it is longer than %d bytes", maxDelivery)
	}
	d := &delivery{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("it is not what Alertmanager sends: %w", err)
	}
	if d.Version != "4" {
		return nil, fmt.Errorf(`it is not what Alertmanager sends: version is %q, not "4"`, d.Version)
	}
	for i, a := range d.Alerts {
		switch {
		case a.Status != "firing" && a.Status != "resolved":
			return nil, fmt.Errorf("alerts[%d].status: %q is neither firing nor resolved", i, a.Status)
		case a.Fingerprint == "" || len(a.Fingerprint) > 64:
			return nil, fmt.Errorf("alerts[%d].fingerprint: required: at most 64 bytes", i)
		case a.StartsAt.IsZero():
			return nil, fmt.Errorf("alerts[%d].startsAt: required", i)
		case len(a.Labels) > 256:
			return nil, fmt.Errorf("alerts[%d].labels: more than 256", i)
		}
	}
	return d, nil
}

// deliver takes over a delivery.
func (a *alerts) deliver(d *delivery, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil {
		a.known = map[string]*alert{}
	}
	for _, n := range d.Alerts {
		isOver := n.Status == "resolved"
		known := a.known[n.Fingerprint]
		if known == nil {
			if len(a.known) >= maxAlerts {
				a.forget()
			}
			a.known[n.Fingerprint] = &alert{labels: n.Labels, since: n.StartsAt, isOver: isOver, heard: now}
			continue
		}
		known.heard = now
		switch {
		case n.StartsAt.After(known.since):
			known.since = n.StartsAt
			known.isOver = isOver
		case n.StartsAt.Equal(known.since) && isOver:
			known.isOver = true // a firing that comes later is older
		}
	}
}

// forget makes room: for an alert that is over, or else that has not been heard of for longest.
func (a *alerts) forget() {
	worst := ""
	for fingerprint, k := range a.known {
		w := a.known[worst]
		if w == nil || k.isOver && !w.isOver || k.isOver == w.isOver && k.heard.Before(w.heard) {
			worst = fingerprint
		}
	}
	delete(a.known, worst)
}

// report says of each guard on alerts of a plan whether such an alert fires.
func (a *alerts) report(f *following) {
	if f == nil || f.tracker == nil {
		return
	}
	for i := range f.plan.Guards {
		if g := &f.plan.Guards[i]; g.Measures == core.GuardAlert {
			f.tracker.Report(g.Line, a.finding(g, f))
		}
	}
}

// finding looks for the alerts of a guard. One that fires since before the attempt says nothing
// about it, and nothing may rise meanwhile.
func (a *alerts) finding(g *core.RolloutGuard, f *following) guard.Finding {
	a.mu.Lock()
	defer a.mu.Unlock()
	heard := false
	var before *alert
	var names []string
	for _, k := range a.known {
		if !hasLabels(k.labels, g.Alert) {
			continue
		}
		heard = true
		switch {
		case k.isOver:
		case k.since.Before(f.began):
			before = k
		default:
			names = append(names, nameOf(k))
		}
	}
	switch {
	case len(names) > 0:
		slices.Sort(names)
		return guard.Finding{Verdict: core.VerdictBad, Reason: "the alert " + names[0] + " fires"}
	case before != nil:
		return guard.Finding{Verdict: core.VerdictUndecided,
			Cause: "the alert " + nameOf(before) + " fires since before the attempt began"}
	case !heard && f.pausedBy == g.Line:
		return guard.Finding{Verdict: core.VerdictUndecided,
			Cause: "nothing was heard of the alert since the controller started"}
	}
	return guard.Finding{Verdict: core.VerdictGood}
}

func hasLabels(labels, wanted map[string]string) bool {
	for name, value := range wanted {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// nameOf names an alert in a sentence: its labels are anybody's text.
func nameOf(a *alert) string {
	const most = 128
	name := a.labels["alertname"]
	if len(name) > most {
		name = name[:most]
	}
	return fmt.Sprintf("%q since %s", name, a.since.UTC().Format(time.RFC3339))
}

// serveAlerts takes deliveries.
func (s *Server) serveAlerts(w http.ResponseWriter, r *http.Request) {
	d, err := readDelivery(r.Body)
	if err != nil {
		daemon.Refuse(w, http.StatusBadRequest, err)
		return
	}
	s.alerts.deliver(d, time.Now())
	for _, v := range s.services {
		s.alerts.report(v.followed())
	}
	w.WriteHeader(http.StatusNoContent)
}
