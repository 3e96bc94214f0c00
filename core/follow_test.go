package core_test

import (
	"errors"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
)

const followed = `{"service": "shop", "stable": "v1", "versions": {"v1": {}, "v2": {}}, "rules": [{"name": "all", "version": "v2"}]}`

// versionOf waits for what comes into force and decides by it.
func versionOf(t *testing.T, changes <-chan *core.Current) string {
	t.Helper()
	select {
	case c := <-changes:
		if c.Engine == nil {
			return ""
		}
		return core.Decide(c.Engine, &core.Caller{Request: httptest.NewRequest("GET", "/", nil)}).Version
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came into force")
		return ""
	}
}

func TestFollow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.json")
	write := func(path, text string) {
		require.NoError(t, os.WriteFile(path+"~", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+"~", path))
	}
	base, err := core.Load([]byte(followed))
	require.NoError(t, err)
	changes := make(chan *core.Current, 10)
	user, err := core.Follow(&core.Source{URL: "file://" + file}, core.FollowOptions{Service: "shop", Base: base, Check: refuseKiosk}, func(c *core.Current) { changes <- c })
	require.NoError(t, err)
	defer user.Release()

	require.Equal(t, "v1", versionOf(t, changes), "without a document everybody goes to stable")
	write(file, followed)
	require.Equal(t, "v2", versionOf(t, changes))
	write(file+".switch", `{"epoch": 1, "to": "v1"}`)
	require.Equal(t, "v1", versionOf(t, changes))
	write(file+".switch", `{"epoch": 2, "to": ""}`)
	require.Equal(t, "v2", versionOf(t, changes))
	write(file, `{"service": "shop", "stable": "v3"}`)
	require.Eventually(t, func() bool { return user.State().Rejected != nil }, 10*time.Second, 10*time.Millisecond)
	for problem, document := range map[string]string{
		`about "other", not "shop"`: strings.Replace(followed, "shop", "other", 1),
		"no kiosks here":            strings.Replace(followed, "all", "kiosk", 1),
	} {
		write(file, document)
		require.Eventually(t, func() bool { return strings.Contains(user.State().Rejected.Error, problem) }, 10*time.Second, 10*time.Millisecond)
	}
	require.Empty(t, changes, "what is refused changes nothing")
}

func refuseKiosk(e *core.Engine) error {
	if e.RuleNames()[0] == "kiosk" {
		return errors.New("no kiosks here")
	}
	return nil
}

func TestFollowWithNothingToFallBackTo(t *testing.T) {
	changes := make(chan *core.Current, 10)
	user, err := core.Follow(&core.Source{URL: "file:///nowhere/shop.json"}, core.FollowOptions{}, func(c *core.Current) { changes <- c })
	require.NoError(t, err)
	defer user.Release()
	require.Empty(t, versionOf(t, changes))
}

func TestFollowRefusesABadURL(t *testing.T) {
	_, err := core.Follow(&core.Source{URL: "zookeeper://host/key"}, core.FollowOptions{}, func(*core.Current) {})
	require.ErrorContains(t, err, `unknown scheme "zookeeper"`)
}

// Off in the gateway's own configuration is what an operator reaches for first: it holds whatever the documents say.
func TestFollowWhileOff(t *testing.T) {
	file := filepath.Join(t.TempDir(), "shop.json")
	require.NoError(t, os.WriteFile(file, []byte(followed), 0o600))
	base, err := core.Load([]byte(strings.Replace(followed, `"stable"`, `"enabled": false, "stable"`, 1)))
	require.NoError(t, err)
	changes := make(chan *core.Current, 10)
	user, err := core.Follow(&core.Source{URL: "file://" + file}, core.FollowOptions{Base: base}, func(c *core.Current) { changes <- c })
	require.NoError(t, err)
	defer user.Release()
	<-user.Ready
	require.Equal(t, "v1", versionOf(t, changes))
	require.Equal(t, "v1", versionOf(t, changes))
	require.Empty(t, changes)
}

func TestFollowInstances(t *testing.T) {
	policy := func(url string) *core.Policy {
		return &core.Policy{Service: "shop", Stable: "v1", Versions: map[string]core.Version{"v1": {}, "v2": {Discover: url}}}
	}
	changes := make(chan *core.Current, 10)
	notify := func(c *core.Current) { changes <- c }
	user, err := core.FollowInstances(policy("srv://127.0.0.1:1/shop.test"), core.FollowOptions{}, notify)
	require.NoError(t, err)
	require.Equal(t, "v1", versionOf(t, changes))
	user.Release()

	_, err = core.FollowInstances(policy("consol://127.0.0.1:8500/shop"), core.FollowOptions{}, notify)
	require.ErrorContains(t, err, `versions.v2.discover: unknown scheme "consol"`)
	_, err = core.FollowInstances(policy("consul://127.0.0.1:8500/shop"), core.FollowOptions{Check: func(*core.Engine) error { return errors.New("checked") }}, notify)
	require.ErrorContains(t, err, "checked")
	require.Empty(t, changes)
}

func TestUpstreamsByWeight(t *testing.T) {
	repeats := func(weights ...float64) []int {
		var instances []discover.Instance
		for i, w := range weights {
			instances = append(instances, discover.Instance{URL: strconv.Itoa(i), Weight: w})
		}
		counts := make([]int, len(weights))
		for _, u := range core.Upstreams(instances) {
			i, err := strconv.Atoi(u)
			require.NoError(t, err)
			counts[i]++
		}
		return counts
	}
	require.Equal(t, []int{1, 1}, repeats(0, 0), "without weights all are alike")
	require.Equal(t, []int{1, 1, 1}, repeats(7, 7, 7))
	require.Equal(t, []int{1, 2, 3}, repeats(1, 2, 3))
	require.Equal(t, []int{2, 1}, repeats(10, 5))
	require.Equal(t, []int{1, 100}, repeats(1, 100))
	require.Equal(t, []int{1, 256}, repeats(1, 1e20), "bounded")
	require.Equal(t, []int{1, 1}, repeats(math.Inf(1), math.MaxFloat64))
	require.Equal(t, []int{1, 1, 1}, repeats(0, math.NaN(), 3))
	many := repeats(slices.Repeat([]float64{10}, 1000)...)
	require.Equal(t, slices.Repeat([]int{1}, 1000), many)
}
