package core

import (
	"math/rand"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuery(t *testing.T) {
	e := engineFor(t, "")
	for _, c := range []struct {
		about  string
		key    string
		query  string
		values []string
	}{
		{"one", "a", "a=1", []string{"1"}},
		{"several", "a", "a=1&b=2&a=3", []string{"1", "3"}},
		{"no equals sign", "a", "a&a=", []string{"", ""}},
		{"equals signs in the value", "a", "a=b=c", []string{"b=c"}},
		{"plus is a space", "a", "a=b+c%2Bd", []string{"b c+d"}},
		{"an escaped name", "a b", "a+b=1&a%20b=2&%61%20b=3", []string{"1", "2", "3"}},
		{"an escape that spells an escape", "%61", "%61=1&%2561=2", []string{"2"}},
		{"a bad escape in the value", "a", "a=%zz&a=%&a=%4&a=1", []string{"1"}},
		{"a bad escape in the name", "a", "%zza=1&a%=2", nil},
		{"semicolons", "a", "a=1;b=2&a=3", []string{"3"}},
		{"an escaped semicolon", "a", "a=%3B", []string{";"}},
		{"capitals count", "a", "A=1", nil},
		{"empty pairs", "a", "&&a=1&&", []string{"1"}},
		{"empty", "a", "", nil},
		{"too long", "a", "a=1&b=" + strings.Repeat("x", maxQuery), nil},
	} {
		t.Run(c.about, func(t *testing.T) {
			r := request("/")
			r.URL.RawQuery = c.query
			assert.Equal(t, c.values, values(t, e, "query "+quoted(c.key), r))
		})
	}
}

func TestQueryLikeNetURL(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for i := 0; i < 20000; i++ {
		sameQuery(t, bytesOf(random, "a", random.Intn(2)), bytesOf(random, "aab%62+;&&==", random.Intn(12)))
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{"", "a=1", "a=1&a=2", "a", "a=%zz&a=1", "%61=1", "a+b=c+d", "a;b=1", "&&=&", "a=\xff", "a%00=\x00"} {
		f.Add("a", q)
		f.Add("a b", q)
	}
	f.Fuzz(func(t *testing.T, key, query string) { sameQuery(t, key, query) })
}

// sameQuery holds the engine's reading against net/url's.
func sameQuery(t *testing.T, key, query string) {
	t.Helper()
	if len(query) > maxQuery || key == "" {
		return
	}
	want, _ := url.ParseQuery(query)
	var got []string
	var at cursor
	for {
		v, ok := nextParameter(query, key, &at)
		if !ok {
			break
		}
		got = append(got, v)
	}
	require.Equal(t, want[key], got, "%q in %q", key, query)
}
