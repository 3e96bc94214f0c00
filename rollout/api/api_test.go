package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/internal/daemon"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/loop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const document = `{"service": "shop", "stable": "v1", "versions": {"v1": {"upstreams": ["127.0.0.1:1"]},
	"v2": {"discover": "consul://user:hush@127.0.0.1:8500/shop?tag=v2&token=hush"}},
	"identity": ["cookie uid"], "jwt": {"secret": "hush-hush-hush-hush-hush-hush-hush"},
	"cookie": {"secret": "hush-hush-hush-hush-hush-hush-hush"}, "anonymous": "cookie",
	"tester": {"secret": "hush-hush-hush-hush-hush-hush-hush"},
	"rules": [{"name": "testers", "version": "v2", "when": ["header X-App-Version = beta"]},
		{"name": "ramp", "version": "v2"}],
	"rollout": {"rule": "ramp", "steps": ["5% for 10m", "50% until approved", "100%"],
		"guard": ["errors", "errors < 2%"]}}`

// fake is a service of which tests say how it stands.
type fake struct {
	name     string
	engine   *core.Engine
	state    State
	done     []rollout.Command
	thrown   []live.Switch
	answers  core.RolloutState
	mistakes error
}

func (f *fake) Name() string         { return f.name }
func (f *fake) State() State         { return f.state }
func (f *fake) Engine() *core.Engine { return f.engine }

func (f *fake) Do(_ context.Context, c rollout.Command) (core.RolloutState, error) {
	f.done = append(f.done, c)
	return f.answers, f.mistakes
}

func (f *fake) Throw(_ context.Context, s live.Switch) (live.Switch, error) {
	f.thrown = append(f.thrown, s)
	s.Epoch = int64(len(f.thrown))
	return s, f.mistakes
}

func newFake(t *testing.T) *fake {
	t.Helper()
	engine, err := core.Load([]byte(document))
	require.NoError(t, err)
	t.Cleanup(engine.Close)
	return &fake{name: "shop", engine: engine, state: State{State: live.State{Service: "shop", Connected: true,
		Origin: "source"}}}
}

func newAPI(callers daemon.Callers, services ...Service) *API {
	return New(NewFeed(func() []Service { return services }), callers)
}

// everybody may do everything.
func everybody(t *testing.T) daemon.Callers {
	t.Helper()
	c, err := daemon.ReadCallers(nil, nil)
	require.NoError(t, err)
	return c
}

// call sends a request and returns the answer.
func call(a http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

func TestPolicyHasNoSecrets(t *testing.T) {
	a := newAPI(everybody(t), newFake(t))
	w := call(a, "GET", "/gray/v1/shop/policy", "")
	require.Equal(t, 200, w.Code, w.Body)
	assert.NotContains(t, w.Body.String(), "hush")
	var p core.Policy
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p))
	assert.Equal(t, "(hidden)", p.JWT.Secret)
	assert.Equal(t, "(hidden)", p.Tester.Secret)
	assert.Equal(t, "consul://xxxxx@127.0.0.1:8500/shop?tag=v2&token=xxxxx", p.Versions["v2"].Discover)
	for in, want := range map[string]string{"": "", "file:///etc/key": "file:///etc/key", "text": "(hidden)"} {
		hide(&in)
		assert.Equal(t, want, in)
	}
}

func TestExplain(t *testing.T) {
	a := newAPI(everybody(t), newFake(t))
	w := call(a, "POST", "/gray/v1/shop/explain", `{"headers": {"X-App-Version": ["beta"]}, "cookies": {"uid": "<u>"}}`)
	require.Equal(t, 200, w.Code, w.Body)
	var x core.Explanation
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &x))
	assert.Equal(t, []string{"v2", "testers"}, []string{x.Version, x.Rule})
	for body, status := range map[string]int{`{"what": 1}`: 400, `{"address": "x"}`: 400, `{}`: 200} {
		assert.Equal(t, status, call(a, "POST", "/gray/v1/shop/explain", body).Code, body)
	}
	assert.Equal(t, 404, call(a, "POST", "/gray/v1/shopp/explain", "{}").Code)
	none := newAPI(everybody(t), &fake{name: "none"})
	assert.Equal(t, 409, call(none, "POST", "/gray/v1/none/explain", "{}").Code)
	assert.Equal(t, 404, call(none, "GET", "/gray/v1/none/policy", "").Code)
}

// A command that is in force, but not written yet, is no refusal.
func TestUnwritten(t *testing.T) {
	f := newFake(t)
	f.answers = core.RolloutState{Epoch: 7, Phase: core.PhaseRolledBack}
	f.mistakes = fmt.Errorf("%w: no route", loop.ErrUnwritten)
	w := call(newAPI(everybody(t), f), "POST", "/gray/v1/shop/rollback", `{"reason": "bad"}`)
	assert.Equal(t, http.StatusAccepted, w.Code)
	assert.Contains(t, w.Body.String(), "no route")
	assert.Contains(t, w.Body.String(), `"epoch":7`)
	for err, status := range map[error]int{loop.ErrNoRollout: 404, loop.ErrPlace: 503, rollout.ErrStale: 409} {
		f.mistakes = err
		assert.Equal(t, status, call(newAPI(everybody(t), f), "POST", "/gray/v1/shop/rollback", "").Code, err)
	}
}

// Who calls is recorded, and pages of other origins, and names that were made to lead here, are
// refused.
func TestWhoCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte("0123456789abcdef\n"), 0o600))
	tokens, err := daemon.ReadCallers([]daemon.Token{{Role: daemon.RoleOperate, Name: "ann", File: path}}, nil)
	require.NoError(t, err)
	viewed := tokens
	viewed.Anonymous = daemon.RoleView
	person := tokens
	person.Person = func(r *http.Request) (string, string) { return r.Header.Get("X-Person"), daemon.RoleOperate }
	public := everybody(t)
	public.Origins = []string{"https://ops.example.com"}
	const bearer, own = "Bearer 0123456789abcdef", "http://127.0.0.1"
	for _, c := range []struct {
		name             string
		callers          daemon.Callers
		header           []string
		look, act        int
		by               string
		mayLook, mayMove bool
	}{
		{"nobody", daemon.Callers{}, nil, 401, 401, "", false, false},
		{"everybody", everybody(t), nil, 200, 200, "bob (API)", true, true},
		{"own page", everybody(t), []string{"Origin", own}, 200, 200, "bob (API)", true, true},
		{"another page", everybody(t), []string{"Origin", "http://evil.example"}, 200, 403, "", true, true},
		{"no origin", everybody(t), []string{"Origin", "null"}, 200, 403, "", true, true},
		{"a name that leads here", everybody(t), []string{"Host", "evil.example"}, 403, 403, "", false, false},
		{"localhost", everybody(t), []string{"Host", "localhost:2020"}, 200, 200, "bob (API)", true, true},
		{"behind a proxy", public, []string{"Host", "ops.example.com", "Origin", "https://ops.example.com"}, 200, 200,
			"bob (API)", true, true},
		{"behind one that changes the host", public, []string{"Origin", "https://ops.example.com"}, 200, 200, "bob (API)",
			true, true},
		{"no token", tokens, nil, 401, 401, "", false, false},
		{"token", tokens, []string{"Authorization", bearer}, 200, 200, "bob (ann)", true, true},
		{"wrong token", tokens, []string{"Authorization", bearer + "x"}, 401, 401, "", false, false},
		{"anonymous", viewed, nil, 200, 403, "", true, false},
		{"anonymous with a wrong token", viewed, []string{"Authorization", bearer + "x"}, 401, 401, "", false, false},
		{"anonymous with a token", viewed, []string{"Authorization", bearer}, 200, 200, "bob (ann)", true, true},
		{"person", person, []string{"X-Person", "eve"}, 200, 200, "bob (eve)", true, true},
		{"no person", person, nil, 401, 401, "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t)
			a := newAPI(c.callers, f)
			for _, path := range []string{"/gray/v1/", "/gray/v1/shop", "/gray/v1/shop/policy", "/gray/v1/shop/figures"} {
				assert.Equal(t, c.look, call(a, "GET", path, "", c.header...).Code, path)
			}
			w := call(a, "POST", "/gray/v1/shop/pause", `{"by": "bob"}`, c.header...)
			assert.Equal(t, c.act, w.Code, w.Body)
			w = call(a, "POST", "/gray/v1/shop/switch", `{"to": "v1", "by": "bob"}`, c.header...)
			assert.Equal(t, c.act, w.Code, w.Body)
			if c.by == "" {
				assert.Empty(t, f.done)
				assert.Empty(t, f.thrown)
			} else {
				assert.Equal(t, []string{c.by, c.by}, []string{f.done[0].By, f.thrown[0].By})
			}
			var me Me
			if w := call(a, "GET", "/gray/v1/me", "", c.header...); w.Code == 200 {
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &me))
			}
			assert.Equal(t, []bool{c.mayLook, c.mayMove}, []bool{me.View, me.Operate})
		})
	}
	w := call(newAPI(everybody(t), newFake(t)), "POST", "/gray/v1/shop/pause", `{}`, "Content-Type", "text/plain")
	assert.Equal(t, http.StatusUnsupportedMediaType, w.Code, "which a form of another page can send")
}

// A stream ends with the API, and with the feed.
func TestStreamsEnd(t *testing.T) {
	for name, end := range map[string]func(a *API, cancel func()){
		"api":  func(a *API, _ func()) { a.Close() },
		"feed": func(_ *API, cancel func()) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			feed := NewFeed(func() []Service { return []Service{f} })
			a := New(feed, everybody(t))
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			over := make(chan struct{})
			go func() { feed.Run(ctx); close(over) }()
			server := httptest.NewServer(a)
			defer server.Close()
			res, err := http.Get(server.URL + "/gray/v1/events")
			require.NoError(t, err)
			defer res.Body.Close()
			lines := bufio.NewScanner(res.Body)
			for lines.Scan() && lines.Text() != "event: state" {
				feed.Changed("shop")
			}
			feed.Happened(&loop.Event{Service: "shop", Kind: loop.RolledBack})
			for lines.Scan() && lines.Text() != "event: rolled_back" {
				continue
			}
			end(a, cancel)
			for lines.Scan() {
				continue
			}
			require.NoError(t, lines.Err())
			cancel()
			<-over
			http.DefaultClient.CloseIdleConnections()
		})
	}
}

func TestNeeds(t *testing.T) {
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	e := newFake(t).engine
	running := func(change func(*State)) State {
		s := State{State: live.State{Connected: true, Origin: "source", Rollout: &live.RolloutStatus{
			Phase: core.PhaseRunning, Step: 1, Epoch: 3, StepSince: now.Add(-5 * time.Minute)}}}
		change(&s)
		r := s.Rollout
		again := live.NewRolloutStatus(e.Rollout(), nil, &core.RolloutState{Phase: r.Phase, Step: r.Step, Epoch: r.Epoch,
			StepSince: r.StepSince})
		again.Guards = r.Guards
		s.Rollout = again
		return s
	}
	for name, c := range map[string]struct {
		state State
		needs []string
		next  time.Duration // from now; 0 is none
	}{
		"well": {running(func(*State) {}), nil, 5 * time.Minute},
		"approval": {running(func(s *State) { s.Rollout.Phase, s.Rollout.Step = core.PhaseWaiting, 2 }),
			[]string{NeedsApproval}, 0},
		"waits to begin": {running(func(s *State) { s.Rollout.Phase, s.Rollout.Step = core.PhaseWaiting, 0 }), nil, 0},
		"warning": {running(func(s *State) { s.Rollout.Guards = []core.RolloutVerdict{{IsWarning: true}} }),
			[]string{NeedsLook}, 5 * time.Minute},
		"rolled back": {running(func(s *State) {
			s.Rollout.Phase = core.PhaseRolledBack
			s.Rollout.Guards = []core.RolloutVerdict{{Verdict: core.VerdictBad}}
		}), []string{NeedsRetry}, 0},
		"paused": {running(func(s *State) { s.Rollout.Phase = core.PhasePaused }), []string{NeedsResume}, 0},
		"undecided": {running(func(s *State) {
			s.Rollout.StepSince = now.Add(-time.Hour)
			s.Rollout.Guards = []core.RolloutVerdict{{Verdict: core.VerdictUndecided}}
		}), []string{NeedsUndecided}, -50 * time.Minute},
		"everything": {State{State: live.State{Origin: "none", Rejected: &live.Rejected{}, Switch: &live.Switch{To: "v1"}},
			Gateways: []Gateway{{Error: "gone"}}}, []string{NeedsPolicy, NeedsSource, NeedsGateways, NeedsSwitch}, 0},
		"a moment behind": {running(func(s *State) {
			s.Gateways = []Gateway{{Connected: true, Lags: now.Add(-time.Second)}}
		}), nil, 5 * time.Minute},
		"behind": {running(func(s *State) {
			s.Gateways = []Gateway{{Connected: true, Lags: now.Add(-time.Minute)}}
		}), []string{NeedsGateways}, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.state
			s.complete(e, now)
			if c.next == 0 {
				assert.Zero(t, s.Next)
			} else {
				assert.Equal(t, now.Add(c.next), s.Next)
			}
			assert.Equal(t, c.needs, s.Needs)
		})
	}
}

// The list leaves out what is long; a service's own answer does not.
func TestBrief(t *testing.T) {
	f := newFake(t)
	f.state.Rollout = &live.RolloutStatus{Epoch: 4, History: []core.RolloutEvent{{Epoch: 4}}}
	f.state.Journal = []live.Entry{{Text: "long"}}
	f.state.Rules = Rules(f.engine)
	a := newAPI(everybody(t), f)
	var list []State
	require.NoError(t, json.Unmarshal(call(a, "GET", "/gray/v1/", "").Body.Bytes(), &list))
	assert.Equal(t, []any{0, 0, 0}, []any{len(list[0].Rollout.History), len(list[0].Journal), len(list[0].Rules)})
	var one State
	w := call(a, "GET", "/gray/v1/shop", "")
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &one))
	assert.Equal(t, []any{1, 1, 2}, []any{len(one.Rollout.History), len(one.Journal), len(one.Rules)})
	assert.Equal(t, `"4"`, w.Header().Get("ETag"))
	assert.Equal(t, []float64{100, 0}, []float64{one.Rules[0].Percent, one.Rules[1].Percent})
}
