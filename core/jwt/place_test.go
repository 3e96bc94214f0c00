package jwt

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhereTheTokenIs(t *testing.T) {
	token := signed(`{"alg":"HS256"}`, `{"sub":"u-1"}`)
	for name, c := range map[string]struct {
		cfg     Config
		target  string
		headers [][2]string
		want    Reason
	}{
		"bearer":                  {Config{}, "/", [][2]string{{"Authorization", "Bearer " + token}}, Verified},
		"scheme in other letters": {Config{}, "/", [][2]string{{"Authorization", "bEARER  " + token + " "}}, Verified},
		"no scheme":               {Config{}, "/", [][2]string{{"Authorization", token}}, None},
		"another scheme":          {Config{}, "/", [][2]string{{"Authorization", "Basic " + token}}, None},
		"scheme alone":            {Config{}, "/", [][2]string{{"Authorization", "Bearer "}}, None},
		"no header":               {Config{}, "/", nil, None},
		"an empty header":         {Config{}, "/", [][2]string{{"Authorization", ""}}, None},
		"two headers": {Config{}, "/",
			[][2]string{{"Authorization", "Bearer " + token}, {"Authorization", "Bearer " + token}}, Repeated},
		"Authorization by name": {Config{Header: "authorization"}, "/",
			[][2]string{{"Authorization", "Bearer " + token}}, Verified},
		"another header":         {Config{Header: "x-token"}, "/", [][2]string{{"X-Token", token}}, Verified},
		"another header, bearer": {Config{Header: "X-Token"}, "/", [][2]string{{"X-Token", "Bearer " + token}}, Verified},
		"the wrong header":       {Config{Header: "X-Token"}, "/", [][2]string{{"Authorization", "Bearer " + token}}, None},
		"cookie": {Config{Cookie: "id"}, "/",
			[][2]string{{"Cookie", "a=b; id=" + token + "; c=d"}}, Verified},
		"quoted cookie": {Config{Cookie: "id"}, "/", [][2]string{{"Cookie", "id=\"" + token + "\""}}, Verified},
		"cookie on a second line": {Config{Cookie: "id"}, "/",
			[][2]string{{"Cookie", "a=b"}, {"Cookie", "id=" + token}}, Verified},
		"cookie twice":            {Config{Cookie: "id"}, "/", [][2]string{{"Cookie", "id=" + token + "; id=x"}}, Repeated},
		"cookie in other letters": {Config{Cookie: "id"}, "/", [][2]string{{"Cookie", "ID=" + token}}, None},
		"cookie in a longer name": {Config{Cookie: "id"}, "/",
			[][2]string{{"Cookie", "idx=" + token + "; xid=" + token}}, None},
		"cookie without a value": {Config{Cookie: "id"}, "/", [][2]string{{"Cookie", "id"}}, None},
		"cookie in a flood": {Config{Cookie: "id"}, "/",
			[][2]string{{"Cookie", strings.Repeat("a=b; ", 20000) + "id=" + token}}, None},
		"query":                    {Config{Query: "t"}, "/?a=b&t=" + token, nil, Verified},
		"query twice":              {Config{Query: "t"}, "/?t=x&t=" + token, nil, Repeated},
		"query with a bad pair":    {Config{Query: "t"}, "/?%zz&t=" + token, nil, Verified},
		"query with a line break":  {Config{Query: "t"}, "/?t=" + token[:20] + "%0A" + token[20:], nil, Malformed},
		"query in a flood":         {Config{Query: "t"}, "/?" + strings.Repeat("a=b&", 20000) + "t=" + token, nil, None},
		"header for a query token": {Config{Query: "t"}, "/", [][2]string{{"Authorization", "Bearer " + token}}, None},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Secret = secret
			v, err := New(&c.cfg)
			require.NoError(t, err)
			r := httptest.NewRequest("GET", c.target, nil)
			for _, h := range c.headers {
				r.Header.Add(h[0], h[1])
			}
			for range 2 {
				require.Equal(t, c.want, Claims(v, r).Reason)
			}
		})
	}
}
