package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
	"github.com/grayrelease/gray/rollout/loop"
)

// Gateways' evidence is taken together, and a caller counts once, however often it is asked for.
func TestPeers(t *testing.T) {
	gateways := [2]*following{newFixture(t, "errors"), newFixture(t, "errors")}
	attempt := int64(1)
	var peers []*peer
	client := newClient()
	defer client.CloseIdleConnections()
	for _, g := range gateways {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "/gray/shop/evidence", r.URL.Path)
			data, err := g.tracker.MarshalBinary()
			assert.NoError(t, err)
			assert.NoError(t, json.NewEncoder(w).Encode(&loop.Evidence{Fingerprint: g.plan.Fingerprint,
				Attempt: attempt, Tracker: data,
				Verdicts: g.tracker.Judge(noon)}))
		}))
		defer s.Close()
		peers = append(peers, &peer{url: s.URL, service: "shop", client: client})
	}
	fail := func(g *following, position uint64, arm guard.Arm) {
		g.tracker.Done(g.tracker.Decided(position, arm), true, 0)
	}
	const spread = 0x9e3779b97f4a7c15
	for i := range uint64(3) {
		fail(gateways[0], i*spread, guard.Canary)
		fail(gateways[1], (i+2)*spread, guard.Canary) // one of them is the first gateway's too
	}
	f := newFixture(t, "errors")
	for range 3 {
		for _, p := range peers {
			require.NoError(t, p.look(context.Background(), f, noon))
		}
	}
	v := f.tracker.Judge(noon)[0]
	assert.Equal(t, core.RolloutArm{Callers: 5, Bad: 5}, v.Canary)
	assert.Equal(t, core.VerdictBad, v.Verdict, "neither gateway knows enough for itself: %+v", v)
	for _, g := range gateways {
		assert.Equal(t, core.VerdictUndecided, g.tracker.Judge(noon)[0].Verdict)
	}

	attempt = 2 // a gateway that is ahead or behind says nothing
	other := newFixture(t, "errors")
	require.NoError(t, peers[0].look(context.Background(), other, noon))
	assert.Zero(t, other.tracker.Judge(noon)[0].Canary.Callers)
}

// What is no evidence changes nothing.
func TestWrongPeers(t *testing.T) {
	for body, want := range map[string]string{
		"":                                 "does not answer as a gateway does",
		"<html>":                           "does not answer as a gateway does",
		`{"attempt": 1, "tracker": "e30="`: "does not answer as a gateway does",
		`{"fingerprint": "FP", "attempt": 1, "tracker": "e30="}`: "not a tracker",
	} {
		f := newFixture(t, "errors")
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if body == `{"fingerprint": "FP", "attempt": 1, "tracker": "e30="}` {
				body = `{"fingerprint": "` + f.plan.Fingerprint + `", "attempt": 1, "tracker": "e30="}`
			}
			_, _ = w.Write([]byte(body))
		}))
		client := newClient()
		p := &peer{url: s.URL, service: "shop", client: client}
		assert.ErrorContains(t, p.look(context.Background(), f, noon), want)
		assert.Zero(t, f.tracker.Judge(noon)[0].Canary.Callers)
		s.Close()
		client.CloseIdleConnections()
	}
}
