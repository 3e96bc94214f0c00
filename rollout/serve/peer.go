package serve

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
	"github.com/grayrelease/gray/rollout/loop"
)

// maxEvidence bounds what a gateway answers.
const maxEvidence = 64 << 20

// peer is a gateway that measures.
type peer struct {
	url     string
	service string
	client  *http.Client

	tracker *guard.Tracker // into which was merged
	counted map[string]int
}

// look adds what the gateway knows to what is known here.
func (p *peer) look(ctx context.Context, f *following, at time.Time) error {
	if f == nil || f.tracker == nil {
		return nil
	}
	e, err := p.read(ctx)
	if err != nil || e == nil || e.Fingerprint != f.plan.Fingerprint || e.Attempt != f.attempt {
		return err // it follows in a moment, or is behind
	}
	other := guard.NewTracker(f.plan, &core.RolloutState{Step: f.step, Percent: f.percent}, nil, at)
	if err := other.UnmarshalBinary(e.Tracker); err != nil {
		return fmt.Errorf("%s: %w", p.url, err)
	}
	if p.tracker != f.tracker {
		p.tracker = f.tracker
		p.counted = map[string]int{}
	}
	f.tracker.Merge(other, p.counted)
	f.tracker.Hear(p.url, e.Verdicts, at)
	return nil
}

// read returns the gateway's evidence, nil if it measures nothing.
func (p *peer) read(ctx context.Context) (*loop.Evidence, error) {
	e := &loop.Evidence{}
	isThere, err := readJSON(ctx, p.client, adminURL(p.url, p.service, "evidence"), maxEvidence, e)
	if err != nil || !isThere {
		return nil, err
	}
	return e, nil
}
