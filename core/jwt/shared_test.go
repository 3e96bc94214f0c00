package jwt

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// examples is testdata/tokens/rfc.json.
type examples struct {
	Examples []struct {
		Name       string          `json:"name"`
		JWKS       json.RawMessage `json:"jwks"`
		Algorithms []string        `json:"algorithms"`
		Token      string          `json:"token"`
		Payload    string          `json:"payload"`
		Reason     Reason          `json:"reason"`
	} `json:"examples"`
}

// caseFile is testdata/tokens/cases.json; its README says what the fields mean.
type caseFile struct {
	Groups []struct {
		Name  string          `json:"name"`
		JWT   json.RawMessage `json:"jwt"`
		Cases []struct {
			Name   string              `json:"name"`
			Token  string              `json:"token"`
			Time   int64               `json:"time"`
			Reason Reason              `json:"reason"`
			Claims map[string][]string `json:"claims"`
		} `json:"cases"`
	} `json:"groups"`
}

func readShared(t testing.TB, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../../testdata/tokens/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

func TestExamplesOfTheRFCs(t *testing.T) {
	var file examples
	readShared(t, "rfc.json", &file)
	require.NotEmpty(t, file.Examples)
	for _, e := range file.Examples {
		t.Run(e.Name, func(t *testing.T) {
			v, err := New(&Config{JWKS: string(e.JWKS), Algorithms: e.Algorithms})
			require.NoError(t, err)
			payload, reason := Payload(v, e.Token)
			require.Equal(t, e.Reason, reason)
			require.Equal(t, e.Payload, string(payload))

			flipped := []byte(e.Token)
			flipped[len(flipped)-10] ^= 1
			_, reason = Payload(v, string(flipped))
			require.NotEqual(t, Verified, reason)
		})
	}
}

func TestSharedCases(t *testing.T) {
	var file caseFile
	readShared(t, "cases.json", &file)
	require.NotEmpty(t, file.Groups)
	for _, group := range file.Groups {
		t.Run(group.Name, func(t *testing.T) {
			for _, c := range group.Cases {
				t.Run(c.Name, func(t *testing.T) {
					var cfg Config
					require.NoError(t, json.Unmarshal(group.JWT, &cfg))
					v, err := New(&cfg)
					require.NoError(t, err)
					if c.Time != 0 {
						v.SetClock(func() time.Time { return time.Unix(c.Time, 0) })
					}
					for range 2 { // at first sight and remembered
						set := ClaimsOf(v, c.Token)
						require.Equal(t, c.Reason, set.Reason)
						for path, want := range c.Claims {
							p, err := ParsePath(path)
							require.NoError(t, err)
							require.Equal(t, want, append([]string{}, Values(set, p)...), path)
						}
					}
				})
			}
		})
	}
}
