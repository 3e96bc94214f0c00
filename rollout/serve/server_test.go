package serve

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
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/operate"
)

const only = "services: [SERVICE}]"

func alertBody(status string, since time.Time) string {
	return fmt.Sprintf(`{"version": "4", "groupKey": "{}", "status": %q, "alerts": [{"status": %q,
		"labels": {"team": "shop",
		"alertname": "TooManyErrors"}, "startsAt": %q, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "f1"}]}`,
		status, status, since.Format(time.RFC3339Nano))
}

// An alert that fires takes the version back, and says so.
func TestAlertRollsBack(t *testing.T) {
	c := start(t, policy("alert team=shop"), only)
	c.await("the alert's verdict", func(s *live.RolloutStatus) bool {
		return verdict(s, "alert team=shop").Verdict == core.VerdictGood
	})
	began := time.Now()
	status, text := c.call("POST", "/gray/v1/alertmanager", alertBody("firing", began))
	require.Equal(t, 204, status, text)
	s := c.awaitPhase(core.PhaseRolledBack)
	assert.Equal(t, "guard alert team=shop", s.By)
	assert.Contains(t, s.Reason, "TooManyErrors")
	_, _ = c.call("POST", "/gray/v1/alertmanager", alertBody("resolved", began))
	assert.Equal(t, core.PhaseRolledBack, c.rollout().Phase)
}

// An alert that pauses ends its own pause only.
func TestAlertPauses(t *testing.T) {
	c := start(t, policy("alert team=shop pause"), only)
	c.awaitPhase(core.PhaseRunning)
	began := time.Now()
	deliver := func(status string) {
		code, text := c.call("POST", "/gray/v1/alertmanager", alertBody(status, began))
		require.Equal(t, 204, code, text)
	}
	deliver("firing")
	c.awaitPhase(core.PhasePaused)
	deliver("resolved")
	c.awaitPhase(core.PhaseRunning)
	code, text := c.call("POST", "/gray/v1/shop/pause", "")
	require.Equal(t, 200, code, text)
	deliver("firing")
	deliver("resolved")
	assert.Equal(t, core.PhasePaused, c.rollout().Phase)
	began = time.Now()
	deliver("firing")
	deliver("resolved")
	assert.Equal(t, core.PhasePaused, c.rollout().Phase, "what a person has paused")
}

// What is not a delivery changes nothing.
func TestMalformedDeliveries(t *testing.T) {
	c := start(t, policy("alert team=shop"), only)
	c.awaitPhase(core.PhaseRunning)
	before := c.rollout().Epoch
	for _, body := range []string{
		"", "{}", "[]", "null", `{"version": "3"}`, `{"version": "4", "alerts": [{}]}`,
		strings.Replace(alertBody("firing", time.Now()), `"firing"`, `"burning"`, 2),
		strings.Replace(alertBody("firing", time.Now()), `"f1"`, `""`, 1),
		strings.Replace(alertBody("firing", time.Now()), `"version": "4"`, `"version": 4`, 1),
	} {
		status, _ := c.call("POST", "/gray/v1/alertmanager", body)
		assert.Equal(t, 400, status, body)
	}
	status, _ := c.call("POST", "/gray/v1/alertmanager", alertBody("firing", time.Now()), "Content-Type",
		"text/plain")
	assert.Equal(t, 415, status)
	status, _ = c.call("POST", "/gray/v1/alertmanager", alertBody("firing", time.Now()), "Origin",
		"http://elsewhere.example")
	assert.Equal(t, 403, status)
	assert.Equal(t, before, c.rollout().Epoch)
}

func TestVerbs(t *testing.T) {
	c := start(t, policy("errors"), only)
	first := c.awaitPhase(core.PhaseRunning)
	status, text, header := c.callFull("GET", "/gray/v1/shop", "")
	require.Equal(t, 200, status, text)
	assert.Equal(t, fmt.Sprintf(`"%d"`, first.Epoch), header.Get("ETag"))

	status, text, header = c.callFull("POST", "/gray/v1/shop/pause", `{"reason": "lunch", "by": "ann"}`, "If-Match",
		header.Get("ETag"))
	require.Equal(t, 200, status, text)
	assert.Equal(t, `"2"`, header.Get("ETag"))
	s := c.rollout()
	assert.Equal(t, []any{"paused: lunch", "ann (API)", int64(2)}, []any{s.Reason, s.By, s.Epoch})

	for _, f := range []struct {
		path, body, match string
		status            int
		says              string
	}{
		{"/gray/v1/shop/resume", "", `"1"`, 409, "moved on"},
		{"/gray/v1/shop/pause", "", "", 409, "paused"},
		{"/gray/v1/shop/resume", "", "yesterday", 400, "If-Match"},
		{"/gray/v1/shop/resume", `{"why": "x"}`, "", 400, "unknown field"},
		{"/gray/v1/shop/resume", strings.Repeat(" ", operate.MaxBody+1), "", 400, "longer"},
		{"/gray/v1/shop/resum", "", "", 404, "resume"},
		{"/gray/v1/shopp/resume", "", "", 404, "shopp"},
		{"/gray/v1/shop/goto", `{"step": 9}`, "", 409, "no step 9"},
	} {
		var header []string
		if f.match != "" {
			header = []string{"If-Match", f.match}
		}
		status, text := c.call("POST", f.path, f.body, header...)
		assert.Equal(t, f.status, status, f.path+" "+text)
		assert.Contains(t, text, f.says)
	}
	assert.EqualValues(t, 2, c.rollout().Epoch)
	status, text = c.call("GET", "/gray/v1/", "")
	assert.Equal(t, 200, status)
	assert.Contains(t, text, `"service":"shop"`)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json"} {
		status, text := c.call("GET", path, "")
		assert.Equal(t, 200, status, path+" "+text)
	}
	_, text = c.call("GET", "/metrics", "")
	assert.Contains(t, text, `gray_rollout_percent{service="shop"} 5`)
	assert.Contains(t, text, `gray_rollout_phase{phase="paused",service="shop"} 1`)
}

// The kill switch is thrown with the next epoch, and ended.
func TestSwitch(t *testing.T) {
	c := start(t, policy("errors"), only)
	c.awaitPhase(core.PhaseRunning)
	forced := func() (string, int64) {
		var s live.State
		_, text := c.call("GET", "/gray/v1/shop", "")
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		require.NotNil(t, s.Switch)
		assert.Equal(t, "ann (API)", s.Switch.By)
		return s.Forced, s.Switch.Epoch
	}
	for i, to := range []string{"v1", "", "v2"} {
		status, text := c.call("POST", "/gray/v1/shop/switch", fmt.Sprintf(`{"to": %q, "by": "ann"}`, to))
		require.Equal(t, 200, status, text)
		version, epoch := forced()
		assert.Equal(t, to, version)
		assert.EqualValues(t, i+1, epoch)
	}
	for body, want := range map[string]int{"": 400, "{}": 400, `{"to": 1}`: 400, `{"to": "v9"}`: 409} {
		status, text := c.call("POST", "/gray/v1/shop/switch", body)
		assert.Equal(t, want, status, text)
	}
}

// Each role may do what it is for; no token is ever logged.
func TestRoles(t *testing.T) {
	secrets := map[string]string{}
	var tokens []string
	for _, role := range []string{RoleView, RoleAlert, RoleOperate} {
		secrets[role] = role + "-0123456789abcdef"
		path := filepath.Join(t.TempDir(), role)
		require.NoError(t, os.WriteFile(path, []byte(secrets[role]+"\n"), 0o600))
		tokens = append(tokens, fmt.Sprintf("{role: %s, file: %q}", role, path))
	}
	c := start(t, policy("errors"), "tokens: ["+strings.Join(tokens, ", ")+"]\n"+only)
	secrets["wrong"] = "wrong-0123456789abcdef"
	for _, call := range []struct {
		method, path, body string
		allowed            []string
	}{
		{"GET", "/gray/v1/", "", []string{RoleView, RoleOperate}},
		{"GET", "/gray/v1/shop", "", []string{RoleView, RoleOperate}},
		{"GET", "/metrics", "", []string{RoleView, RoleOperate}},
		{"POST", "/gray/v1/alertmanager", `{"version": "4"}`, []string{RoleAlert, RoleOperate}},
		{"POST", "/gray/v1/shop/approve", "", []string{RoleOperate}},
		{"POST", "/gray/v1/shop/rollback", "", []string{RoleOperate}},
		{"POST", "/gray/v1/shop/switch", "", []string{RoleOperate}},
		{"GET", "/healthz", "", []string{"", "wrong", RoleView, RoleAlert, RoleOperate}},
	} {
		for _, role := range []string{"", "wrong", RoleView, RoleAlert, RoleOperate} {
			var header []string
			if role != "" {
				header = []string{"Authorization", "Bearer " + secrets[role]}
			}
			status, _ := c.call(call.method, call.path, call.body, header...)
			isRefused := status == 401 || status == 403
			may := false
			for _, a := range call.allowed {
				may = may || a == role
			}
			assert.Equal(t, !may, isRefused, "%s %s as %q: %d", call.method, call.path, role, status)
		}
	}
	for _, secret := range secrets {
		assert.NotContains(t, c.log.String(), secret)
	}
}

// People whom a proxy vouches for have their names and roles; nobody else does.
func TestPeople(t *testing.T) {
	c := start(t, policy("errors"), "people: {from: [127.0.0.1], operators: [ann]}\n"+only)
	for _, call := range []struct {
		person    string
		look, act int
	}{{"", 401, 401}, {"bob", 200, 403}, {"ann", 200, 200}} {
		status, _ := c.call("GET", "/gray/v1/shop", "", "X-Forwarded-User", call.person)
		assert.Equal(t, call.look, status, call.person)
		status, text := c.call("POST", "/gray/v1/shop/switch", `{"to": "v1"}`, "X-Forwarded-User", call.person)
		assert.Equal(t, call.act, status, call.person)
		if call.act == 200 {
			assert.Contains(t, text, `"by":"ann"`)
		}
	}
	elsewhere := start(t, policy("errors"), "people: {from: [10.0.0.3], operators: ['*']}\n"+only)
	status, _ := elsewhere.call("GET", "/gray/v1/shop", "", "X-Forwarded-User", "ann")
	assert.Equal(t, 401, status, "this peer vouches for nobody")
}

// The hook holds a percentage where it is until it agrees.
func TestHook(t *testing.T) {
	var mu sync.Mutex
	agrees, asked := false, 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var q question
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&q))
		assert.Equal(t, "shop", q.Service)
		asked++
		if !agrees {
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	defer hook.Close()
	c := start(t, policy("errors"), "services: [SERVICE, hook: {url: '"+hook.URL+"'}}]")
	c.await("the hook's no", func(s *live.RolloutStatus) bool { return strings.Contains(s.Note, "202") })
	assert.Zero(t, c.rollout().Epoch, "nothing begins")
	mu.Lock()
	agrees = true
	mu.Unlock()
	c.awaitPhase(core.PhaseRunning) // the no holds for ten seconds
	mu.Lock()
	defer mu.Unlock()
	assert.LessOrEqual(t, asked, 5, "it is not asked all the time")
}

func TestEventStream(t *testing.T) {
	c := start(t, policy("errors"), only)
	c.awaitPhase(core.PhaseRunning)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+c.Address()+"/gray/v1/shop/events", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	got := make(chan string, 100)
	go func() {
		defer close(got)
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			if kind, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				got <- kind
			}
		}
	}()
	status, _ := c.call("POST", "/gray/v1/shop/rollback", `{"reason": "a\nb"}`)
	assert.Equal(t, 409, status, "a line break is refused")
	status, _ = c.call("POST", "/gray/v1/shop/rollback", "")
	require.Equal(t, 200, status)
	seen := map[string]bool{}
	for kind := range got {
		seen[kind] = true
		if seen["rolled_back"] && seen["state"] {
			break
		}
	}
	assert.True(t, seen["state"])
	cancel()
	for range got {
	}
}

// told is a webhook that notes what it gets.
type told struct {
	mu     sync.Mutex
	bodies []string
	fails  int
}

func (h *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body strings.Builder
	_, _ = bufio.NewReader(r.Body).WriteTo(&body)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails > 0 {
		h.fails--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	h.bodies = append(h.bodies, body.String())
}

func (h *told) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.bodies...)
}

// Each event is told, again if that fails, and nothing of it becomes a word of a shell.
func TestNotices(t *testing.T) {
	h := &told{fails: 1}
	webhook := httptest.NewServer(h)
	defer webhook.Close()
	output := filepath.Join(t.TempDir(), "out")
	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script,
		[]byte("#!/bin/sh\nprintf '%s\\n' \"$GRAY_EVENT $GRAY_SERVICE $GRAY_REASON\" >> "+output+"\n"), 0o700))
	c := start(t, policy("errors"),
		"notices: [{webhook: '"+webhook.URL+"/secret'}, {command: ['"+script+"'], on: [rolled_back]}]\n"+only)
	c.awaitPhase(core.PhaseRunning)
	const reason = "$(touch /tmp/never); `id`"
	status, text := c.call("POST", "/gray/v1/shop/rollback", `{"reason": "`+reason+`"}`)
	require.Equal(t, 200, status, text)
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(output)
		return err == nil && len(data) > 0 && len(h.all()) >= 2
	}, 20*time.Second, 10*time.Millisecond)
	c.stop()
	data, err := os.ReadFile(output)
	require.NoError(t, err)
	assert.Equal(t, "rolled_back shop rolled back by hand: "+reason+"\n", string(data))
	ids := map[string]int{}
	for _, body := range h.all() {
		var e struct{ ID, Type, Subject string }
		require.NoError(t, json.Unmarshal([]byte(body), &e))
		ids[e.ID+" "+e.Type]++
	}
	assert.Equal(t, map[string]int{"shop/1/1/started@1 gray.rollout.started": 1,
		"shop/1/1/rolled_back@2 gray.rollout.rolled_back": 1}, ids)
	assert.NotContains(t, c.log.String(), "/secret")
}

// Of many controllers that see an event, one claims it.
func TestClaims(t *testing.T) {
	v := &service{config: &Service{Service: "shop", Source: "file://" + filepath.Join(t.TempDir(), "shop.json")}}
	var group sync.WaitGroup
	var mu sync.Mutex
	won := map[string]int{}
	for i := range 4 {
		group.Go(func() {
			for n := range 10 {
				c := &claim{store: v, id: fmt.Sprintf("shop/1/1/step@%d", n), by: fmt.Sprint("c", i)}
				isOurs, wait, err := c.take(t.Context())
				assert.NoError(t, err)
				if !isOurs {
					continue
				}
				assert.Zero(t, wait)
				mu.Lock()
				won[c.id]++
				mu.Unlock()
				assert.NoError(t, c.done(t.Context()))
			}
		})
	}
	group.Wait()
	require.Len(t, won, 10)
	for id, n := range won {
		assert.Equal(t, 1, n, id)
	}
	open := &claim{store: v, id: "x", by: "a"}
	isOurs, _, err := open.take(t.Context())
	require.NoError(t, err)
	require.True(t, isOurs)
	isOurs, wait, err := (&claim{store: v, id: "x", by: "b"}).take(t.Context())
	require.NoError(t, err)
	assert.False(t, isOurs)
	assert.InDelta(t, lease, wait, float64(time.Minute), "it may die before it has told")
}

func TestWrongPlaces(t *testing.T) {
	_, err := ReadConfig(filepath.Join(t.TempDir(), "none.yml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	c, err := ParseConfig([]byte("services: [{service: shop, source: 'ftp://x'}]"))
	require.NoError(t, err)
	_, err = New(c, nil)
	require.ErrorContains(t, err, "services[0]")
	c, err = ParseConfig([]byte("tokens: [{role: view, file: /nonexistent/token}]\n" +
		"services: [{service: shop, source: 'file:///x'}]"))
	require.NoError(t, err)
	_, err = New(c, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}
