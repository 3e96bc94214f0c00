package loop

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout"
)

// web is a source that each node reaches by a path of its own, which can be cut.
type web struct {
	*httptest.Server
	mu     sync.Mutex
	texts  map[string]string
	cut    map[string]bool
	states []core.RolloutState // in the order in which they were written
	t      *testing.T
}

func newWeb(t *testing.T, policy string) *web {
	w := &web{t: t, texts: map[string]string{"/user.json": policy}, cut: map[string]bool{}}
	w.Server = httptest.NewServer(w)
	t.Cleanup(w.Close)
	return w
}

func (w *web) url(node string) string { return w.URL + "/" + node + "/user.json?interval=50ms" }

func (w *web) ServeHTTP(res http.ResponseWriter, r *http.Request) {
	node, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	path = "/" + path
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	text, isThere := w.texts[path]
	etag := fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256([]byte(text))))
	switch {
	case w.cut[node]:
		res.WriteHeader(http.StatusBadGateway)
	case r.Method == http.MethodPut:
		wanted := r.Header.Get("If-Match")
		if r.Header.Get("If-None-Match") == "*" && isThere || wanted != "" && wanted != etag {
			res.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		w.texts[path] = string(body)
		res.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(body))))
		if state, err := core.ParseRolloutState(body); assert.NoError(w.t, err) {
			w.states = append(w.states, *state)
		}
	case !isThere:
		res.WriteHeader(http.StatusNotFound)
	default:
		res.Header().Set("ETag", etag)
		_, _ = io.WriteString(res, text)
	}
}

func (w *web) setCut(node string, isCut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[node] = isCut
}

func (w *web) set(path, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts[path] = text
}

func (w *web) isCut(node string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut[node]
}

// newest is the document, zero if there is none.
func (w *web) newest() core.RolloutState {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.states) == 0 {
		return core.RolloutState{}
	}
	return w.states[len(w.states)-1]
}

// Two controllers and ten gateways of one source, for ten minutes of the test's time: controllers
// are killed, and anybody is cut off, at random. A step is raised once, nothing rises after a
// rollback, and who reaches the source has what it says.
func TestControllersComeAndGo(t *testing.T) {
	c := setClock(t)
	random := rand.New(rand.NewPCG(7, 7))
	steps := []string{"5% for 20s min 20", "20% for 20s min 20", "50% for 20s min 20", "100% for 20s"}
	w := newWeb(t, policy("", steps...))
	caches := t.TempDir()
	controllers := map[string]*gateway{}
	run := func(node string) {
		g := &gateway{t: t}
		cache := filepath.Join(caches, node)
		var err error
		g.use, err = Open(Options{Service: "user", URL: w.url(node), Folder: cache, Event: g.hear})
		require.NoError(t, err)
		g.handle, err = live.Open(live.Options{Source: &live.Source{URL: w.url(node)}, Cache: cache, Apply: g.apply})
		require.NoError(t, err)
		g.use.Start(g.handle)
		controllers[node] = g
	}
	run("c1")
	run("c2")
	obeying := map[string]*live.Handle{}
	for i := range 10 {
		node := fmt.Sprint("g", i)
		h, err := live.Open(live.Options{Source: &live.Source{URL: w.url(node)}, Cache: filepath.Join(caches, node)})
		require.NoError(t, err)
		t.Cleanup(h.Close)
		obeying[node] = h
	}
	nodes := []string{"c1", "c2"}
	for node := range obeying {
		nodes = append(nodes, node)
	}

	kills, cuts, builds := 0, 0, 0
	rounds := 60 // of ten seconds; who was cut off tries again after a while, which takes real time
	if testing.Short() {
		rounds = 8
	}
	for range rounds {
		switch random.IntN(4) {
		case 0:
			node := nodes[random.IntN(2)]
			controllers[node].close()
			run(node)
			kills++
		case 1:
			w.setCut(nodes[random.IntN(len(nodes))], true)
			cuts++
		default:
			for _, node := range nodes {
				w.setCut(node, false)
			}
		}
		isBad := random.IntN(12) == 0
		for _, g := range controllers {
			if g.observes() {
				share := 0.0
				if isBad {
					share = 0.9
				}
				g.serve(500, share)
			}
		}
		c.add(10 * time.Second)
		for _, g := range controllers {
			g.turn()
		}
		awaitAgreement(t, w, controllers, obeying)
		switch s := w.newest(); {
		case s.Phase == core.PhaseRolledBack && random.IntN(2) == 0:
			// Whoever is cut off cannot command; the person tries the other controller.
			for _, g := range controllers {
				_, _ = g.use.Do(t.Context(), rollout.Command{Verb: rollout.Retry, By: "ann", Epoch: s.Epoch})
			}
		case s.Phase == core.PhaseCompleted:
			builds++
			w.set("/user.json", policy(fmt.Sprint("build ", builds), steps...))
		}
	}
	for _, g := range controllers {
		g.close()
	}

	entered := map[string]int{}
	rolledBack := map[int64]bool{}
	for i, s := range w.states {
		if i > 0 {
			before := w.states[i-1]
			require.Greater(t, s.Epoch, before.Epoch)
			require.GreaterOrEqual(t, s.Attempt, before.Attempt)
			if s.Attempt == before.Attempt && s.Step != before.Step {
				require.Equal(t, before.Step+1, s.Step)
			}
			if s.Step != before.Step || s.Attempt != before.Attempt {
				entered[fmt.Sprint(s.Attempt, "/", s.Step)]++
			}
		}
		require.False(t, rolledBack[s.Attempt] && s.Phase != core.PhaseRolledBack, "a raise after a rollback: %+v", s)
		rolledBack[s.Attempt] = rolledBack[s.Attempt] || s.Phase == core.PhaseRolledBack
	}
	for step, n := range entered {
		require.Equal(t, 1, n, "step %s", step)
	}
	taken := 0
	for _, is := range rolledBack {
		if is {
			taken++
		}
	}
	t.Logf("%d kills, %d cuts, %d states in %d attempts, of which %d were rolled back", kills, cuts, len(w.states),
		w.newest().Attempt, taken)
	require.Greater(t, len(w.states), rounds/3)
}

// awaitAgreement waits until everybody who reaches the source has what it says, and has nothing to
// write.
func awaitAgreement(t *testing.T, w *web, controllers map[string]*gateway, obeying map[string]*live.Handle) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := w.newest()
		has := func(node string, h *live.Handle) bool {
			r := h.Current().Rollout
			return w.isCut(node) || s.Epoch == 0 && r == nil ||
				r != nil && r.Epoch == s.Epoch && r.Percent == s.Percent && r.Phase == s.Phase
		}
		for node, g := range controllers {
			g.turn()
			if !has(node, g.handle) || !w.isCut(node) && !g.isDone() {
				return false
			}
		}
		for node, h := range obeying {
			if !has(node, h) {
				return false
			}
		}
		return w.newest().Epoch == s.Epoch
	}, 20*time.Second, 10*time.Millisecond)
}

// isDone reports whether the loop has nothing to do or to write now.
func (g *gateway) isDone() bool {
	s, ok := g.use.loop.situation()
	return ok && s.next(s.state, now()).Epoch == s.state.Epoch && !s.isUnwritten()
}

// observes reports whether requests are compared.
func (g *gateway) observes() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tracker != nil
}
