package core_test

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
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
