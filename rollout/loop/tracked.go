package loop

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/guard"
)

// tracked is what is known of the canary of one attempt.
type tracked struct {
	tracker *guard.Tracker // nil while nothing is measured
	plan    *core.RolloutPlan
	attempt int64
	latency *guard.Latency // of stable, over attempts
	kept    time.Time      // when it was written to disk last
}

func (t *tracked) isOf(plan *core.RolloutPlan, s *core.RolloutState) bool {
	return t.tracker != nil && t.attempt == s.Attempt && t.plan.Fingerprint == plan.Fingerprint &&
		s.Fingerprint == plan.Fingerprint
}

// Follow returns what observes the requests that are decided by what is in force: nil while nothing
// is to be compared. It is to be called by the handle's Apply, and calls nothing of the handle.
func (u *Use) Follow(c *live.Current) *guard.Tracker {
	if c.Engine == nil || c.Rollout == nil || c.Engine.Rollout() == nil || u.options.Obeys {
		signal(u.loop.wake)
		return nil
	}
	l := u.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tracked.follow(c.Engine.Rollout(), c.Rollout, &u.options, l.evidencePath())
	signal(l.wake)
	return l.tracked.tracker
}

// follow takes over a state: the step of the same attempt, or a new attempt.
func (t *tracked) follow(plan *core.RolloutPlan, s *core.RolloutState, o *Options, path string) {
	if t.isOf(plan, s) && isMeasuredAlike(plan, t.plan) {
		t.plan = plan
		t.tracker.Follow(s, now())
		return
	}
	own := *plan
	if o.Gateways > 1 {
		own.Alpha /= float64(o.Gateways)
	}
	if o.CountsRequests {
		own.Tolerance = max(own.Tolerance, requestTolerance)
	}
	tracker := guard.NewTracker(&own, s, t.latency, now())
	if t.isOf(plan, s) {
		if data, err := t.tracker.MarshalBinary(); err == nil {
			_ = tracker.UnmarshalBinary(data)
		}
	} else if t.tracker == nil {
		restore(tracker, path, plan, s)
	}
	tracker.Follow(s, now())
	t.tracker = tracker
	t.plan = plan
	t.attempt = s.Attempt
}

// requestTolerance is the least tolerance where requests count and not callers: those of one caller
// are no independent draws.
const requestTolerance = 1.5

// isMeasuredAlike reports whether nothing has changed in a plan that a tracker goes by.
func isMeasuredAlike(a, b *core.RolloutPlan) bool {
	return a == b || reflect.DeepEqual(a.Guards, b.Guards) && reflect.DeepEqual(a.Steps, b.Steps) &&
		a.Alpha == b.Alpha && a.Tolerance == b.Tolerance && a.Warmup == b.Warmup
}

// alarm receives when a guard has found enough.
func (l *Loop) alarm() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tracked.tracker == nil {
		return nil
	}
	return l.tracked.tracker.Alarm()
}

// keepEvery is the time between two writes of what is known.
const keepEvery = 5 * time.Second

// Evidence is what is known of the canary of an attempt: on disk, and for a controller that takes
// the evidence of several gateways together.
type Evidence struct {
	Fingerprint string `json:"fingerprint"`
	Attempt     int64  `json:"attempt"`
	// Tracker is the binary form of a guard.Tracker.
	Tracker []byte `json:"tracker"`
	// Verdicts are what the guards say of this gateway's own requests. Not on disk.
	Verdicts []core.RolloutVerdict `json:"verdicts,omitempty"`
}

// Evidence returns what is known now, nil while nothing is measured.
func (u *Use) Evidence() (*Evidence, error) {
	l := u.loop
	l.mu.Lock()
	t := l.tracked
	l.mu.Unlock()
	if t.tracker == nil {
		return nil, nil
	}
	data, err := t.tracker.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return &Evidence{t.plan.Fingerprint, t.attempt, data, t.tracker.Judge(now())}, nil
}

func (l *Loop) evidencePath() string {
	if l.folder == "" {
		return ""
	}
	return filepath.Join(l.folder, live.FileName(l.key)+".evidence.json")
}

// keep writes what is known to disk, so that a gateway that starts again need not begin anew.
func (l *Loop) keep() {
	l.mu.Lock()
	t := l.tracked
	path := l.evidencePath()
	l.tracked.kept = now()
	l.mu.Unlock()
	if t.tracker == nil || path == "" {
		return
	}
	data, err := t.tracker.MarshalBinary()
	if err == nil {
		data, err = json.Marshal(Evidence{t.plan.Fingerprint, t.attempt, data, nil})
	}
	if err == nil {
		err = replace(path, data)
	}
	if err != nil {
		l.log("what is known of the canary cannot be kept on disk: a restart may forget it", err)
	}
}

// replace makes a file hold data, whole or not at all.
func replace(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// restore takes over what was kept, if it is about the same attempt.
func restore(tracker *guard.Tracker, path string, plan *core.RolloutPlan, s *core.RolloutState) {
	if path == "" {
		return
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var k Evidence
	if err != nil || json.Unmarshal(data, &k) != nil || k.Fingerprint != plan.Fingerprint || k.Attempt != s.Attempt {
		return
	}
	_ = tracker.UnmarshalBinary(k.Tracker)
}
