package jwt

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzToken feeds anything to verifiers of every kind. None panics, and none accepts a token that
// no issuer signed.
func FuzzToken(f *testing.F) {
	var file caseFile
	readShared(f, "cases.json", &file)
	known := map[string]bool{}
	for _, g := range file.Groups {
		for _, c := range g.Cases {
			f.Add(c.Token)
			known[c.Token] = true
		}
	}
	var verifiers []*Verifier
	for _, g := range file.Groups {
		var cfg Config
		require.NoError(f, json.Unmarshal(g.JWT, &cfg))
		v, err := New(&cfg)
		require.NoError(f, err)
		verifiers = append(verifiers, v)
	}
	f.Fuzz(func(t *testing.T, token string) {
		for _, v := range verifiers {
			set := ClaimsOf(v, token)
			require.NotNil(t, set)
			if set.Reason == Verified && !known[token] {
				t.Fatalf("forged: %q", token)
			}
		}
	})
}

// FuzzUnique compares the fast check for repeated names with the thorough one.
func FuzzUnique(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":1}`, `{"a":1,"a":2}`, `{"a" :":","b\\":[{"a":"\":"}]}`,
		`{"a":{"a":1},"b":[{"a":1},{"a":2,"\u0061":3}]}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		fields, ok := object([]byte(text))
		names := -1
		if ok {
			names = countNames(fields, 1)
		}
		if names < 0 {
			return
		}
		if isSurelyUnique([]byte(text), names) && !isWalkUnique([]byte(text)) {
			t.Fatalf("%q has a name twice", text)
		}
	})
}
