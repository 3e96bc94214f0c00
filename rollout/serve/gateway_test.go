package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/api"
)

var isUp, isDown = true, false

// gatewaysOf are gateways that answer with these texts.
func gatewaysOf(t *testing.T, answers ...string) []*gateway {
	t.Helper()
	var all []*gateway
	client := newClient()
	t.Cleanup(client.CloseIdleConnections)
	for _, answer := range answers {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "/gray/shop", r.URL.Path)
			_, _ = w.Write([]byte(answer))
		}))
		t.Cleanup(server.Close)
		all = append(all, &gateway{url: server.URL, service: "shop", client: client})
	}
	return all
}

func answerOf(t *testing.T, s api.State) string {
	t.Helper()
	data, err := json.Marshal([]api.State{s})
	require.NoError(t, err)
	return string(data)
}

// stateOf is a gateway's, with an epoch and the health of an upstream.
func stateOf(epoch int64, up *bool, more func(*api.State)) api.State {
	s := api.State{State: live.State{Service: "shop", Connected: true, Origin: "source", Revision: "7",
		Rollout: &live.RolloutStatus{Epoch: epoch, Percent: 5}},
		Versions: map[string][]api.Upstream{"v2": {{Address: "10.0.0.1:80", Up: up}}, "other": {{Address: "10.0.0.9:80"}}},
		Traffic:  &api.Traffic{Decisions: []api.Decisions{{Version: "v2", Rule: "ramp", Count: 5}}}}
	if more != nil {
		more(&s)
	}
	return s
}

func TestGateways(t *testing.T) {
	own := &live.State{Origin: "source", Revision: "7", Rollout: &live.RolloutStatus{Epoch: 3}}
	all := gatewaysOf(t,
		answerOf(t, stateOf(3, &isUp, nil)),
		answerOf(t, stateOf(2, &isDown, nil)),
		answerOf(t, stateOf(4, &isUp, func(s *api.State) { s.Rejected = &live.Rejected{Error: "no"} })),
		answerOf(t, stateOf(3, nil, func(s *api.State) { s.Revision = "6" })),
		answerOf(t, stateOf(3, nil, func(s *api.State) { s.Forced = "v1" })),
		"{}", "[]", `[{"rollout": 1}]`, strings.Repeat(" ", maxGatewayState)+"[]")
	all = append(all, &gateway{url: "http://127.0.0.1:1", service: "shop", client: newClient()},
		&gateway{url: "http://127.0.0.1:2", service: "shop"}) // that was not asked yet
	seen := &api.State{Versions: map[string][]api.Upstream{"v1": {}, "v2": {{Address: "10.0.0.1:80"}}}}
	var traffic []*api.Traffic
	for _, g := range all {
		if g.client != nil {
			g.look(context.Background(), own, noon)
			g.look(context.Background(), own, noon.Add(time.Second))
		}
		if counted := g.addTo(seen); counted != nil {
			traffic = append(traffic, counted)
		}
	}
	require.Len(t, seen.Gateways, 10)
	for i, lags := range []bool{false, true, false, true, true} {
		g := seen.Gateways[i]
		assert.Empty(t, g.Error)
		assert.Equal(t, lags, g.Lags.Equal(noon), "%d: since it was seen first: %+v", i, g)
	}
	assert.Equal(t, "no", seen.Gateways[2].Rejected)
	for _, g := range seen.Gateways[5:] {
		assert.NotEmpty(t, g.Error, g.Address)
	}
	assert.Equal(t, map[string][]api.Upstream{"v1": {}, "v2": {{Address: "10.0.0.1:80", Up: &isDown}}}, seen.Versions,
		"what any of them has left out is down")
	sum := api.Sum(traffic)
	assert.InDelta(t, 25, sum.Decisions[0].Count, 0)
	assert.Equal(t, noon.Add(time.Second), sum.At)
}

// What a gateway says last stays when it is gone, and it catches up.
func TestGatewayComesBack(t *testing.T) {
	answer := answerOf(t, stateOf(2, nil, nil))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if answer == "" {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	client := newClient()
	defer client.CloseIdleConnections()
	g := &gateway{url: server.URL + "/", service: "shop", client: client}
	own := &live.State{Origin: "source", Revision: "7", Rollout: &live.RolloutStatus{Epoch: 3}}
	look := func(at time.Time) api.Gateway {
		g.look(context.Background(), own, at)
		s := &api.State{}
		g.addTo(s)
		return s.Gateways[0]
	}
	assert.Equal(t, noon, look(noon).Lags)
	answer = ""
	gone := look(noon.Add(time.Second))
	assert.Contains(t, gone.Error, "502")
	assert.Equal(t, []any{int64(2), noon}, []any{gone.Epoch, gone.Contact})
	answer = answerOf(t, stateOf(3, nil, nil))
	back := look(noon.Add(2 * time.Second))
	assert.Empty(t, back.Error)
	assert.Zero(t, back.Lags)
}
