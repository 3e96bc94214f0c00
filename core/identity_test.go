package core

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestIdentityChain(t *testing.T) {
	const chain = `"identity": ["cookie uid", "header X-User-ID", "query \"user id\"", "baggage user", "ip"]`
	for _, c := range []struct {
		about   string
		target  string
		headers []string
		client  string
		id      string
		source  string
	}{
		{"the first", "/?user%20id=3", []string{"Cookie: uid=1", "X-User-Id: 2", "Baggage: user=4"}, "192.0.2.1", "1", "cookie uid"},
		{"the second", "/?user+id=3", []string{"X-User-Id: 2", "Baggage: user=4"}, "192.0.2.1", "2", "header X-User-ID"},
		{"the third", "/?user+id=3", []string{"Baggage: user=4"}, "192.0.2.1", "3", `query "user id"`},
		{"the fourth", "/", []string{"Baggage: user=4"}, "192.0.2.1", "4", "baggage user"},
		{"the last", "/", nil, "192.0.2.1", "192.0.2.1", "ip"},
		{"an address in another form", "/", nil, "::ffff:192.0.2.1", "192.0.2.1", "ip"},
		{"an address in another form", "/", nil, "2001:DB8:0::1", "2001:db8::1", "ip"},
		{"none", "/", nil, "unknown", "", ""},
		{"an empty value is skipped", "/", []string{"Cookie: uid=", "X-User-Id: 2"}, "192.0.2.1", "2", "header X-User-ID"},
		{"the source's next value", "/", []string{"Cookie: uid=; uid=9"}, "192.0.2.1", "9", "cookie uid"},
		{"not UTF-8", "/", []string{"X-User-Id: \xff", "X-User-Id: 2"}, "192.0.2.1", "2", "header X-User-ID"},
		{"too long", "/", []string{"X-User-Id: " + strings.Repeat("x", maxValue+1), "Baggage: user=4"}, "192.0.2.1", "4", "baggage user"},
		{"as long as allowed", "/", []string{"X-User-Id: " + strings.Repeat("x", maxValue)}, "192.0.2.1", strings.Repeat("x", maxValue), "header X-User-ID"},
	} {
		t.Run(c.about, func(t *testing.T) {
			e := engineFor(t, chain+`, "rules": [{"name": "somebody", "version": "v2", "when": ["identity exists"]}]`)
			caller := &Caller{Request: request(c.target, c.headers...), Client: c.client}
			x := Explain(e, caller)
			assert.Equal(t, c.id, x.Identity)
			assert.Equal(t, c.source, x.IdentitySource)
			assert.Equal(t, c.id != "", Decide(e, caller).Rule == "somebody")
		})
	}
}

func TestDefaultIdentityIsTheAddress(t *testing.T) {
	e := engineFor(t, "")
	x := Explain(e, &Caller{Request: request("/", "Cookie: uid=1", "X-Forwarded-For: 192.0.2.1")})
	assert.Equal(t, "203.0.113.7", x.Identity)
	assert.Equal(t, "ip", x.IdentitySource)
}

// Everybody keeps their side of a percentage wherever the decision is made, so an identity's bucket
// is pinned here for good.
func TestBucketsStayAsTheyAre(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-ID"], "rules": [{"version": "v2", "percent": 50}]`)
	var in []string
	for _, id := range strings.Split("a b c d e f g h i j k l m n o p", " ") {
		if Decide(e, &Caller{Request: request("/", "X-ID: "+id)}).Version == "v2" {
			in = append(in, id)
		}
	}
	assert.Equal(t, "a c d e g i l m o", strings.Join(in, " "))
}

func TestIDsAreNew(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		require.Len(t, id, 32)
		require.False(t, seen[id])
		seen[id] = true
	}
}
