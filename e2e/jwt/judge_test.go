package jwt

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	gray "github.com/grayrelease/gray/core/jwt"

	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
)

// judge is golang-jwt, set up as a careful user would for the same jwt object.
type judge struct {
	parser *jwt.Parser
	exact  *jwt.Parser // keeps numbers as text
	keys   []judgeKey
	listed bool
}

type judgeKey struct {
	kid, algorithm string
	value          any
}

func newJudge(t testing.TB, cfg *gray.Config, now func() time.Time) *judge {
	t.Helper()
	options := []jwt.ParserOption{jwt.WithTimeFunc(now)}
	if len(cfg.Algorithms) > 0 {
		options = append(options, jwt.WithValidMethods(cfg.Algorithms))
	}
	if cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(cfg.Issuer))
	}
	if len(cfg.Audience) > 0 {
		options = append(options, jwt.WithAudience(cfg.Audience...))
	}
	if cfg.Leeway != "" {
		leeway, err := time.ParseDuration(cfg.Leeway)
		require.NoError(t, err)
		options = append(options, jwt.WithLeeway(leeway))
	}
	exact := jwt.NewParser(append(options, jwt.WithJSONNumber())...)
	return &judge{parser: jwt.NewParser(options...), exact: exact, keys: judgeKeys(t, cfg),
		listed: len(cfg.Algorithms) > 0}
}

func judgeKeys(t testing.TB, cfg *gray.Config) []judgeKey {
	t.Helper()
	switch {
	case cfg.Secret != "":
		return []judgeKey{{value: []byte(cfg.Secret)}}
	case cfg.Key != "":
		return pemKeys(t, []byte(cfg.Key))
	}
	var set struct {
		Keys []struct{ Kty, Kid, Use, Alg, Crv, K, N, X, Y string }
	}
	require.NoError(t, json.Unmarshal([]byte(cfg.JWKS), &set))
	var keys []judgeKey
	for _, k := range set.Keys {
		var value any
		switch {
		case k.Use == "enc":
		case k.Kty == "oct":
			value = decoded(k.K)
		case k.Kty == "RSA" && len(decoded(k.N)) >= 256:
			value = &rsa.PublicKey{N: new(big.Int).SetBytes(decoded(k.N)), E: 65537}
		case k.Kty == "EC" && curves[k.Crv] != nil && k.Kid != "off":
			value = &ecdsa.PublicKey{Curve: curves[k.Crv], X: new(big.Int).SetBytes(decoded(k.X)),
				Y: new(big.Int).SetBytes(decoded(k.Y))}
		case k.Kty == "OKP":
			value = ed25519.PublicKey(decoded(k.X))
		}
		if value != nil {
			keys = append(keys, judgeKey{kid: k.Kid, algorithm: k.Alg, value: value})
		}
	}
	return keys
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}

func decoded(text string) []byte {
	b, _ := jwt.NewParser().DecodeSegment(text)
	return b
}

func pemKeys(t testing.TB, text []byte) []judgeKey {
	var keys []judgeKey
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return keys
		}
		value, err := x509.ParsePKIXPublicKey(block.Bytes)
		require.NoError(t, err)
		keys = append(keys, judgeKey{value: value})
	}
}

// accepts parses the token with each key that a careful keyfunc would return: one with the token's
// kid or without a name, of the right kind, and bound to its algorithm.
func (j *judge) accepts(token string) bool { return j.acceptsWith(j.parser, token) }

// acceptsSomehow also reads numbers as text, as gray does.
func (j *judge) acceptsSomehow(token string) bool {
	return j.accepts(token) || j.acceptsWith(j.exact, token)
}

func (j *judge) acceptsWith(parser *jwt.Parser, token string) bool {
	for _, k := range j.keys {
		_, err := parser.Parse(token, func(parsed *jwt.Token) (any, error) {
			kid, _ := parsed.Header["kid"].(string)
			if kid != "" && k.kid != "" && kid != k.kid || !fits(k, parsed.Method.Alg(), j.listed) {
				return nil, jwt.ErrInvalidKey
			}
			return k.value, nil
		})
		if err == nil {
			return true
		}
	}
	return false
}

func fits(k judgeKey, algorithm string, listed bool) bool {
	if k.algorithm != "" {
		return k.algorithm == algorithm
	}
	switch k.value.(type) {
	case []byte:
		return listed && algorithm[:2] == "HS" || algorithm == "HS256"
	case *rsa.PublicKey:
		return listed && strings.HasSuffix(algorithm[:2], "S") || algorithm == "RS256"
	}
	return true
}

func configOf(t testing.TB, g group) *gray.Config {
	t.Helper()
	text, err := json.Marshal(g.JWT)
	require.NoError(t, err)
	var cfg gray.Config
	require.NoError(t, json.Unmarshal(text, &cfg))
	return &cfg
}

func clockOf(c tokenCase) func() time.Time {
	if c.Time == 0 {
		return time.Now
	}
	return func() time.Time { return time.Unix(c.Time, 0) }
}

func TestJudgeAgrees(t *testing.T) {
	for _, g := range readCases(t).Groups {
		for _, c := range g.Cases {
			t.Run(g.Name+"/"+c.Name, func(t *testing.T) {
				if c.Judge == "either" {
					t.Skip(c.Because)
				}
				accepted := newJudge(t, configOf(t, g), clockOf(c)).accepts(c.Token)
				if c.Judge == "" {
					require.Equal(t, c.Reason == "", accepted)
					return
				}
				require.NotEmpty(t, c.Because)
				require.Equal(t, c.Judge == "accepts", accepted)
			})
		}
	}
}

// FuzzJudge looks for tokens that gray accepts and golang-jwt does not. In the other direction,
// gray is stricter in ways that the cases list.
func FuzzJudge(f *testing.F) {
	groups := readCases(f).Groups
	for i, g := range groups {
		for _, c := range g.Cases {
			if c.Judge != "either" {
				f.Add(byte(i), c.Token)
			}
		}
	}
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	judges := map[int]*judge{}
	verifiers := map[int]*gray.Verifier{}
	for i, g := range groups {
		cfg := configOf(f, g)
		if cfg.Verify != nil {
			continue
		}
		v, err := gray.New(cfg)
		require.NoError(f, err)
		v.SetClock(now)
		verifiers[i], judges[i] = v, newJudge(f, cfg, now)
	}
	f.Fuzz(func(t *testing.T, which byte, token string) {
		i := int(which) % len(groups)
		if verifiers[i] == nil {
			return
		}
		if gray.ClaimsOf(verifiers[i], token).Reason == gray.Verified && !judges[i].acceptsSomehow(token) {
			t.Fatalf("only gray accepts %q in %q", token, groups[i].Name)
		}
	})
}

// FuzzSignedJudge compares both directions for signed tokens, so that the fuzzer gets past the
// signature.
func FuzzSignedJudge(f *testing.F) {
	for _, g := range readCases(f).Groups {
		for _, c := range g.Cases {
			parts := strings.Split(c.Token, ".")
			if len(parts) == 3 && strings.HasPrefix(parts[0], "eyJhbGciOiJIUzI1NiJ9") {
				f.Add(`{"alg":"HS256"}`, string(decoded(parts[1])))
			}
			f.Add(string(decoded(parts[0])), ok)
		}
	}
	cfg := &gray.Config{Secret: secret}
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	j := newJudge(f, cfg, now)
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := sign(t, "HS256", []byte(secret), header, payload)
		v, err := gray.New(cfg)
		require.NoError(t, err)
		v.SetClock(now)
		mine, its := gray.ClaimsOf(v, token).Reason, j.accepts(token)
		if mine == gray.Verified && !j.acceptsSomehow(token) {
			t.Fatalf("only gray accepts %q %q", header, payload)
		}
		if mine != gray.Verified && its && !explained(mine, header, payload) {
			t.Fatalf("gray refuses %q %q: %s", header, payload, mine)
		}
	})
}

// explained tells whether gray is stricter for a reason that the cases name.
func explained(reason gray.Reason, header, payload string) bool {
	switch reason {
	case gray.Critical, gray.Oversized:
		return true
	case gray.Expired: // exp 0 is no date for golang-jwt
		var claims struct{ Exp float64 }
		return json.Unmarshal([]byte(payload), &claims) == nil && claims.Exp == 0
	case gray.Malformed: // names given twice, depth, null, no UTF-8, dates out of range: told apart by the text
		return stricter(header, false) || stricter(payload, true)
	}
	return false
}
