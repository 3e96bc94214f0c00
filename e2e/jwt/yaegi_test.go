package jwt

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	yaegiinterp "github.com/traefik/yaegi/interp"

	gray "github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/e2e/yaegi"
)

var compare = flag.Bool("compare", false, "print the figures of comparisons")

// interpreted is what a plugin does with the package, and a way in for the cases.
const interpreted = `
package probe

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/grayrelease/gray/core/jwt"
)

// Case judges one token twice, at first sight and remembered.
func Case(config string, at int64, line string, paths []string) (string, string, [][]string, error) {
	var cfg jwt.Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return "", "", nil, err
	}
	v, err := jwt.New(&cfg)
	if err != nil {
		return "", "", nil, err
	}
	if at != 0 {
		v.SetClock(func() time.Time { return time.Unix(at, 0) })
	}
	r := &http.Request{Header: http.Header{"Authorization": {line}}}
	first := jwt.Claims(v, r)
	again := jwt.Claims(v, r)
	var values [][]string
	for _, path := range paths {
		p, err := jwt.ParsePath(path)
		if err != nil {
			return "", "", nil, err
		}
		values = append(values, jwt.Values(again, p))
	}
	return string(first.Reason), string(again.Reason), values, nil
}

func Payload(jwks string, algorithms []string, token string) (string, string) {
	v, err := jwt.New(&jwt.Config{JWKS: jwks, Algorithms: algorithms})
	if err != nil {
		return "", err.Error()
	}
	payload, reason := jwt.Payload(v, token)
	return string(payload), string(reason)
}

func Problems(config string) []string {
	var cfg jwt.Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return []string{err.Error()}
	}
	var lines []string
	for _, p := range jwt.Check(&cfg) {
		lines = append(lines, p.String())
	}
	return lines
}

func Fetching(ctx context.Context, config string) (func(string) string, func(), error) {
	var cfg jwt.Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return nil, nil, err
	}
	v, err := jwt.New(&cfg)
	if err != nil {
		return nil, nil, err
	}
	v.Start(ctx)
	return func(token string) string { return string(jwt.ClaimsOf(v, token).Reason) }, func() { v.Close() }, nil
}
`

func interpreter(t testing.TB) *yaegiinterp.Interpreter {
	t.Helper()
	i := yaegi.Import(t, "../..", "github.com/grayrelease/gray/core/jwt")
	_, err := i.Eval(interpreted)
	require.NoError(t, err)
	return i
}

func function[F any](t testing.TB, i *yaegiinterp.Interpreter, name string) F {
	t.Helper()
	value, err := i.Eval("probe." + name)
	require.NoError(t, err)
	return value.Interface().(F)
}

func TestCasesInterpreted(t *testing.T) {
	judge := function[func(string, int64, string, []string) (string, string, [][]string, error)](t, interpreter(t), "Case")
	for _, g := range readCases(t).Groups {
		config, err := json.Marshal(g.JWT)
		require.NoError(t, err)
		for _, c := range g.Cases {
			t.Run(g.Name+"/"+c.Name, func(t *testing.T) {
				var paths []string
				for path := range c.Claims {
					paths = append(paths, path)
				}
				first, again, values, err := judge(string(config), c.Time, "Bearer "+c.Token, paths)
				require.NoError(t, err)
				require.Equal(t, c.Reason, first)
				require.Equal(t, c.Reason, again)
				for i, path := range paths {
					require.Equal(t, c.Claims[path], append([]string{}, values[i]...), path)
				}
			})
		}
	}
}

func TestExamplesOfTheRFCsInterpreted(t *testing.T) {
	payload := function[func(string, []string, string) (string, string)](t, interpreter(t), "Payload")
	text, err := os.ReadFile(filepath.Join(tokens, "rfc.json"))
	require.NoError(t, err)
	var file struct {
		Examples []struct {
			Name, Token, Payload, Reason string
			JWKS                         json.RawMessage
			Algorithms                   []string
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	for _, e := range file.Examples {
		t.Run(e.Name, func(t *testing.T) {
			got, reason := payload(string(e.JWKS), e.Algorithms, e.Token)
			require.Equal(t, e.Reason, reason)
			require.Equal(t, e.Payload, got)
		})
	}
}

// TestCheckInterpreted holds the messages of the interpreter against those of the compiler.
func TestCheckInterpreted(t *testing.T) {
	problems := function[func(string) []string](t, interpreter(t), "Problems")
	for _, config := range []string{
		`{}`, `{"secret":"short","algorithms":["HS265","RS256","none"],"leeway":"x","audience":[""]}`,
		`{"jwks":"http://a.example/"}`, `{"jwks":"ftp://x"}`, `{"key":"x"}`, `{"verify":false}`,
		`{"verify":false,"secret":"x"}`,
		`{"header":"a b","cookie":"c","oidc":"https://a.example","issuer":"b"}`,
	} {
		var cfg gray.Config
		require.NoError(t, json.Unmarshal([]byte(config), &cfg))
		var want []string
		for _, p := range gray.Check(&cfg) {
			want = append(want, p.String())
		}
		require.Equal(t, want, problems(config), config)
	}
}

// typical is a token as identity providers make them.
func typical(t testing.TB, algorithm string) string { return typicalOf(t, algorithm, 1) }

func typicalOf(t testing.TB, algorithm string, user int) string {
	key, kid := keyFor(t, algorithm)
	payload := fmt.Sprintf(`{"iss":"https://id.example.com/realms/shop","sub":"0d3f6f2e-1f0b-4c1e-9a35-%012d",`+
		`"aud":["shop","account"],"exp":4102444800,`+
		`"iat":1790000000,"jti":"c2b6cf5a-35a5-4d6f-9d0c-3c6f2ddf1d10","azp":"shop-web",`+
		`"scope":"openid profile email","email_verified":true,`+
		`"name":"Jo Doe","preferred_username":"jo","groups":["staff","qa"],"realm_access":{"roles":["user","tester"]}}`, user)
	return sign(t, algorithm, key, fmt.Sprintf(`{"alg":%q,"typ":"JWT","kid":%q}`, algorithm, kid), payload)
}

func awaitTrue(t testing.TB, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, 30*time.Second, 5*time.Millisecond, what)
}
