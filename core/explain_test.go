package core

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExplain(t *testing.T) {
	e := engineFor(t, `"identity": ["cookie uid"], "rules": [
		{"name": "testers", "version": "v2", "when": ["method = GET", "header X-App = beta", "path = /"]},
		{"name": "nobody", "version": "v2", "percent": 0},
		{"name": "ramp", "version": "v2", "when": ["not header X-Out exists"], "percent": 10},
		{"name": "rest", "version": "v1", "salt": "other", "percent": 100}]`)
	for _, c := range []struct {
		about   string
		headers []string
		want    string
	}{
		{"in the bucket", []string{"Cookie: uid=u-1013"}, `{"service": "shop", "version": "v2", "rule": "ramp", "reason": "rule \"ramp\" matched",
			"identity": "u-1013", "identity_source": "cookie uid", "rules": [
			{"rule": "testers", "version": "v2", "matched": false, "failed": "header X-App = beta"},
			{"rule": "nobody", "version": "v2", "matched": false, "bucket": {"percent": 0}},
			{"rule": "ramp", "version": "v2", "matched": true, "bucket": {"percent": 10, "salt": "shop/v2", "position": "1392645592383081734", "threshold": "1844674407370955162"}}]}`},
		{"without identity", nil, `{"service": "shop", "version": "v1", "rule": "rest", "reason": "rule \"rest\" matched", "rules": [
			{"rule": "testers", "version": "v2", "matched": false, "failed": "header X-App = beta"},
			{"rule": "nobody", "version": "v2", "matched": false, "bucket": {"percent": 0}},
			{"rule": "ramp", "version": "v2", "matched": false, "bucket": {"percent": 10, "salt": "shop/v2", "threshold": "1844674407370955162"}},
			{"rule": "rest", "version": "v1", "matched": true}]}`},
		{"an early rule", []string{"X-App: beta"}, `{"service": "shop", "version": "v2", "rule": "testers", "reason": "rule \"testers\" matched", "rules": [
			{"rule": "testers", "version": "v2", "matched": true}]}`},
		{"kept out", []string{"Cookie: uid=u-1013", "X-Out: 1"}, `{"service": "shop", "version": "v1", "rule": "rest", "reason": "rule \"rest\" matched",
			"identity": "u-1013", "identity_source": "cookie uid", "rules": [
			{"rule": "testers", "version": "v2", "matched": false, "failed": "header X-App = beta"},
			{"rule": "nobody", "version": "v2", "matched": false, "bucket": {"percent": 0}},
			{"rule": "ramp", "version": "v2", "matched": false, "failed": "not header X-Out exists"},
			{"rule": "rest", "version": "v1", "matched": true}]}`},
	} {
		t.Run(c.about, func(t *testing.T) {
			x := Explain(e, &Caller{Request: request("/", c.headers...)})
			got, err := json.Marshal(x)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, string(got))
		})
	}
}

func TestExplainWithoutRules(t *testing.T) {
	x := Explain(engineFor(t, ""), &Caller{Request: request("/")})
	assert.Equal(t, &Explanation{Service: "shop", Version: "v1", Reason: "no rule matched: the stable version", Identity: "203.0.113.7", IdentitySource: "ip"}, x)

	x = Explain(engineFor(t, `"enabled": false, "rules": [{"version": "v2"}]`), &Caller{Request: request("/")})
	assert.Equal(t, "v1", x.Version)
	assert.Empty(t, x.Rules)
	assert.Equal(t, "the policy is not enabled: every request gets the stable version", x.Reason)
}

func TestExplainAnonymous(t *testing.T) {
	e := engineFor(t, `"identity": ["cookie uid"], "anonymous": "cookie", "rules": [{"version": "v2", "percent": 50}]`)
	x := Explain(e, &Caller{Request: request("/", "Cookie: gray_id=0123")})
	assert.Equal(t, "0123", x.Identity)
	assert.Equal(t, "anonymous", x.IdentitySource)
	assert.NotEmpty(t, x.Rules[0].Bucket.Position)

	// Explained after the decision, the same random identity counts.
	for range 50 {
		caller := &Caller{Request: request("/")}
		assert.Equal(t, Decide(e, caller).Version, Explain(e, caller).Version)
	}
}

func TestExplainTellsHowTheTokenFared(t *testing.T) {
	e := engineFor(t, `"jwt": {"secret": "0123456789abcdef0123456789abcdef"}, "rules": [{"version": "v2", "when": ["claim sub = anna"]}]`)
	const token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIn0."
	mac := hmac.New(sha256.New, []byte("0123456789abcdef0123456789abcdef"))
	mac.Write([]byte(strings.TrimSuffix(token, ".")))
	signed := token + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	for header, want := range map[string][2]string{
		"Authorization: Bearer " + signed:       {"ok", "v2"},
		"Authorization: Bearer " + signed + "x": {"signature", "v1"},
		"Accept: */*":                           {"none", "v1"},
	} {
		x := Explain(e, &Caller{Request: request("/", header)})
		assert.Equal(t, want, [2]string{x.Claims, x.Version}, header)
	}
}
