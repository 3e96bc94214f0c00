package caddygray_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// named returns the addresses of upstreams that answer with their names.
func named(t *testing.T, names ...string) string {
	t.Helper()
	var addresses []string
	for _, name := range names {
		addresses = append(addresses, backend(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(name))
		}))
	}
	return strings.Join(addresses, " ")
}

// asUser sends a request of a user, and returns the answer.
func asUser(t *testing.T, url, user string, headers ...string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Cookie", "uid="+user)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(body)
}

const byIdentity = "\nidentity cookie uid\nrule testers v2 {\nwhen header X-App = beta\n}\n}\n" +
	"reverse_proxy {\ndynamic gray\nlb_policy gray\n}"

// An upstream of weight 3 gets three times the requests, and three times the callers, of one
// without.
func TestWeights(t *testing.T) {
	for _, policy := range []string{"round_robin", "gray"} {
		t.Run(policy, func(t *testing.T) {
			url := site(t, "gray weighed-"+policy+" {\nstable v1\nversion v1 "+named(t, "a")+" weight=3 "+named(t, "b")+
				"\nidentity cookie uid\n}\nreverse_proxy {\ndynamic gray\nlb_policy "+policy+"\n}")
			counts := map[string]int{}
			for n := range 400 {
				counts[asUser(t, url, fmt.Sprintf("u-%d", n))]++
			}
			assert.InDelta(t, 300, counts["a"], 40)
			assert.Equal(t, 400, counts["a"]+counts["b"])
		})
	}
}

// A user's session of v1 survives a look at v2.
func TestSelectionKeepsTheInstanceOfEachVersion(t *testing.T) {
	url := site(t, "gray kept {\nstable v1\nversion v1 "+named(t, "a1", "b1", "c1")+
		"\nversion v2 "+named(t, "a2", "b2", "c2")+byIdentity)
	seen := map[string]bool{}
	for n := range 200 {
		user := fmt.Sprintf("u-%d", n)
		first := asUser(t, url, user)
		require.Contains(t, "a1 b1 c1", first)
		beta := asUser(t, url, user, "X-App: beta")
		require.Contains(t, "a2 b2 c2", beta)
		require.Equal(t, beta, asUser(t, url, user, "X-App: beta"))
		require.Equal(t, first, asUser(t, url, user))
		seen[first+" "+beta] = true
	}
	assert.Len(t, seen, 9, "the versions choose independently")
}

func TestSelectionSpreadsCallers(t *testing.T) {
	url := site(t, "gray spread {\nstable v1\nversion v1 "+named(t, "a", "b", "c")+"\nversion v2"+byIdentity)
	counts := map[string]int{}
	for n := range 3000 {
		counts[asUser(t, url, fmt.Sprintf("u-%d", n))]++
	}
	for _, name := range []string{"a", "b", "c"} {
		assert.InDelta(t, 1000, counts[name], 155, "six standard deviations")
	}
}

// An instance that goes takes only its own callers with it, whether it fails or is not listed.
func TestSelectionMovesOnlyCallersOfTheInstanceThatGoes(t *testing.T) {
	servers := map[string]*httptest.Server{}
	var addresses []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		servers[name] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(name))
		}))
		t.Cleanup(servers[name].Close)
		addresses = append(addresses, strings.TrimPrefix(servers[name].URL, "http://"))
	}
	run := func(t *testing.T, addresses ...string) string {
		return site(t, "gray moved {\nstable v1\nversion v1 "+strings.Join(addresses, " ")+"\nversion v2"+byIdentity)
	}
	home := map[string]string{}
	t.Run("all", func(t *testing.T) {
		url := run(t, addresses...)
		for n := range 300 {
			user := fmt.Sprintf("u-%d", n)
			home[user] = asUser(t, url, user)
		}
	})
	require.Len(t, home, 300)
	check := func(t *testing.T, url string) {
		moved := map[string]bool{}
		for user, name := range home {
			now := asUser(t, url, user)
			if name != "c" {
				require.Equal(t, name, now, user)
			} else {
				moved[now] = true
			}
		}
		assert.Len(t, moved, 4, "those who move are spread over all others")
	}
	t.Run("not listed", func(t *testing.T) { check(t, run(t, append(addresses[:2:2], addresses[3:]...)...)) })
	t.Run("down", func(t *testing.T) {
		url := run(t, addresses...)
		servers["c"].Close()
		check(t, url)
	})
}

// The identity in gray's own cookie counts too, and callers without identity are spread.
func TestSelectionOfAnonymousCallers(t *testing.T) {
	upstreams := named(t, "a", "b", "c", "d", "e")
	url := site(t, "gray anonymous {\nstable v1\nversion v1 "+upstreams+"\nversion v2 "+upstreams+`
			identity header X-User
			anonymous cookie
			rule testers v2 {
				when header X-App = beta
			}
			rule ramp v2 {
				percent 50
			}
		}
		reverse_proxy {
			dynamic gray
			lb_policy gray anonymous
		}`)
	res, err := http.Get(url)
	require.NoError(t, err)
	first, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	cookie := strings.SplitN(res.Header.Get("Set-Cookie"), ";", 2)[0]
	require.NotEmpty(t, cookie)
	for range 10 {
		require.Equal(t, string(first), asUser(t, url, "x; "+cookie))
		require.Equal(t, string(first), asUser(t, url, "x; "+cookie, "X-App: beta"))
	}
	seen := map[string]bool{}
	for range 100 {
		seen[asUser(t, url, "x", "X-App: beta")] = true
	}
	assert.Len(t, seen, 5)
}

// The policy selects among a proxy's own upstreams too, and at random if nothing was decided.
func TestSelectionWithoutDynamicUpstreams(t *testing.T) {
	upstreams := named(t, "a", "b", "c")
	url := site(t, "gray static {\nstable v1\nversion v1\nversion v2\nidentity cookie uid\n}\n"+
		"reverse_proxy "+upstreams+" {\nlb_policy gray\n}")
	seen := map[string]bool{}
	for n := range 60 {
		user := fmt.Sprintf("u-%d", n)
		name := asUser(t, url, user)
		require.Equal(t, name, asUser(t, url, user))
		seen[name] = true
	}
	require.Len(t, seen, 3)

	url = site(t, "reverse_proxy "+upstreams+" {\nlb_policy gray\n}")
	seen = map[string]bool{}
	for range 50 {
		seen[asUser(t, url, "u-1")] = true
	}
	require.Len(t, seen, 3)
}
