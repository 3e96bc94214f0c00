package serve

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/store"
)

// trips is how many documents are sent around.
func trips() int {
	if testing.Short() {
		return 200
	}
	return 10000
}

// What the API answers, what the store has, and what is read of that again are the same bytes,
// command after command.
func TestStatesGoRound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.json")
	require.NoError(t, os.WriteFile(path, []byte(policy("errors")), 0o600))
	c := startAt(t, path, only)
	c.awaitPhase(core.PhaseRunning)
	place, err := store.Open("file://"+path, nil)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(3, 3))
	verbs := rollout.Verbs()
	done := 0
	for range trips() {
		verb := verbs[random.IntN(len(verbs))]
		reason, err := json.Marshal(string([]rune{rune('a' + random.IntN(26)), '<', '&', '"', '\\', 'é',
			rune(0x4e00 + random.IntN(99))}))
		require.NoError(t, err)
		status, answer := c.call("POST", "/gray/v1/shop/"+verb, fmt.Sprintf(`{"reason": %s, "step": %d}`, reason,
			1+random.IntN(3)))
		d, err := place.Get(t.Context(), source.Rollout)
		require.NoError(t, err)
		state, err := core.ParseRolloutState(d.Data)
		require.NoError(t, err)
		again, err := json.Marshal(state)
		require.NoError(t, err)
		require.Equal(t, string(d.Data), string(again))
		if status == http.StatusOK {
			done++
			require.Equal(t, string(d.Data)+"\n", answer, verb)
		}
	}
	assert.Greater(t, done, trips()/10)
}

// Policies are stored as they were written.
func TestPoliciesGoRound(t *testing.T) {
	place, err := store.Open("file://"+filepath.Join(t.TempDir(), "shop.json"), nil)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(5, 5))
	revision := ""
	for i := range trips() {
		text := strings.Replace(policy("errors"), `"shop"`, fmt.Sprintf(`"shop-%d"`, i), 1)
		text = strings.Repeat(" ", random.IntN(5)) + strings.ReplaceAll(text, ", ", ","+strings.Repeat("\n",
			random.IntN(3)))
		revision, err = place.Put(t.Context(), source.Policy, []byte(text), revision)
		require.NoError(t, err)
		d, err := place.Get(t.Context(), source.Policy)
		require.NoError(t, err)
		require.Equal(t, text, string(d.Data))
		require.Equal(t, revision, d.Revision)
		_, err = core.Load(d.Data)
		require.NoError(t, err)
	}
}

// FuzzAPI sends anything: nothing panics, and without a token nothing moves.
func FuzzAPI(f *testing.F) {
	path := filepath.Join(f.TempDir(), "shop.json")
	require.NoError(f, os.WriteFile(path, []byte(policy("errors", "alert team=shop")), 0o600))
	secret := filepath.Join(f.TempDir(), "token")
	require.NoError(f, os.WriteFile(secret, []byte("0123456789abcdef"), 0o600))
	config, err := ParseConfig([]byte("listen: 127.0.0.1:0\ntokens: [{role: operate, file: '" + secret + "'}]\n" +
		"services: [{service: shop, source: 'file://" + path + "'}]"))
	require.NoError(f, err)
	s, err := New(config, nil)
	require.NoError(f, err)
	f.Cleanup(s.Close)
	handler := s.handler()
	f.Add("GET", "/gray/v1/", "", "", "", true)
	f.Add("POST", "/gray/v1/shop/rollback", "application/json", `"1"`, `{"reason": "x"}`, true)
	f.Add("POST", "/gray/v1/shop/goto", "application/json", "", `{"step": 2}`, false)
	f.Add("POST", "/gray/v1/alertmanager", "application/json", "", alertBody("firing", noon), true)
	f.Fuzz(func(t *testing.T, method, path, kind, match, body string, isTrusted bool) {
		req, err := http.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
		if err != nil || !strings.HasPrefix(path, "/") || strings.Contains(path, "events") {
			return // a stream does not end
		}
		req.Header.Set("Content-Type", kind)
		req.Header.Set("If-Match", match)
		if isTrusted {
			req.Header.Set("Authorization", "Bearer 0123456789abcdef")
		}
		res := httptest.NewRecorder()
		handler.ServeHTTP(res, req)
		require.True(t, res.Code < 500 || res.Code == http.StatusServiceUnavailable, "%d %s", res.Code, res.Body)
		if !isTrusted && method == http.MethodPost {
			require.GreaterOrEqual(t, res.Code, 300, path)
		}
		if strings.HasPrefix(res.Header().Get("Content-Type"), "application/json") {
			require.True(t, json.Valid(res.Body.Bytes()), res.Body)
		}
	})
}
