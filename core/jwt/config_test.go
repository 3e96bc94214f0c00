package jwt

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ed25519PEM is the public key of RFC 8410 section 10.1.
const ed25519PEM = "-----BEGIN PUBLIC KEY-----\n" +
	"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"

func TestCheck(t *testing.T) {
	off, on := false, true
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"ok/secret":      {Config{Secret: secret}, nil},
		"ok/secret file": {Config{Secret: "file:///run/secrets/jwt"}, nil},
		"ok/jwks": {Config{JWKS: "https://id.example/keys", Algorithms: []string{"RS256", "EdDSA"}, Leeway: "30s",
			Audience: []string{"a"}}, nil},
		"ok/jwks, plaintext": {Config{JWKS: "http://id.example/keys", Plaintext: true}, nil},
		"ok/oidc":            {Config{OIDC: "https://id.example/realms/a", Issuer: "https://id.example/realms/a"}, nil},
		"ok/verify false":    {Config{Verify: &off, Header: "X-Token", Issuer: "i"}, nil},
		"ok/key":             {Config{Key: ed25519PEM}, nil},
		"ok/verify true":     {Config{Verify: &on, Secret: secret}, nil},

		"fail/nothing": {Config{},
			[]string{"no key: give secret, key, jwks or oidc " +
				"(or verify: false, if something before gray has verified the token)"}},
		"fail/all at once": {Config{Header: "X", Cookie: "c", Secret: secret, OIDC: "https://a.example",
			Algorithms: []string{"HS265"}, Leeway: "soon"}, []string{
			"cookie: the token is in one place, but header and cookie are given: keep one",
			"oidc: keys come from one place, but secret and oidc are given: keep one",
			"algorithms[0]: unknown algorithm \"HS265\" (did you mean \"HS256\"?)",
			"leeway: \"soon\" is not a valid duration (as in 30s)",
		}},
		"fail/none": {Config{Secret: secret, Algorithms: []string{"HS256", "none"}}, []string{
			"algorithms[1]: \"none\" is a token without a signature, and is never accepted"}},
		"fail/small letters": {Config{Secret: secret, Algorithms: []string{"hs256"}}, []string{
			"algorithms[0]: unknown algorithm \"hs256\" (did you mean \"HS256\"?)"}},
		"fail/far off": {Config{Secret: secret, Algorithms: []string{"blowfish"}}, []string{
			"algorithms[0]: unknown algorithm \"blowfish\" (known are HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, " +
				"PS512, ES256, ES384, ES512, EdDSA)"}},
		"fail/short secret": {Config{Secret: "short"}, []string{"secret: at least 32 bytes are needed, these are 5"}},
		"fail/secret for HS512": {Config{Secret: secret, Algorithms: []string{"HS512"}},
			[]string{"secret: HS512 needs at least 64 bytes, these are 36"}},
		"fail/RS with secret": {Config{Secret: secret, Algorithms: []string{"RS256"}},
			[]string{"algorithms[0]: RS256 needs a public key, but a secret is given"}},
		"fail/HS with a URL": {Config{JWKS: "https://a.example", Algorithms: []string{"HS256"}},
			[]string{"algorithms[0]: HS256 needs a secret, and secrets are not taken from a URL"}},
		"fail/http": {Config{JWKS: "http://a.example"},
			[]string{"jwks: http:// lets the network choose the keys: use https://, or set plaintext: true"}},
		"fail/no scheme": {Config{JWKS: "/etc/keys.json"},
			[]string{"jwks: not a URL that begins with https:// (files are written file:///path)"}},
		"fail/relative file": {Config{JWKS: "file:keys.json"},
			[]string{"jwks: a file is written with its absolute path: file:///path"}},
		"fail/no host": {Config{OIDC: "https:///x"}, []string{"oidc: the URL names no host"}},
		"fail/issuer twice": {Config{OIDC: "https://a.example", Issuer: "b"},
			[]string{"issuer: differs from oidc, which is the issuer: remove one of the two"}},
		"fail/key is no PEM": {Config{Key: "ssh-rsa AAAA"},
			[]string{"key: neither a PEM text (-----BEGIN PUBLIC KEY-----) nor file:///path"}},
		"fail/private key": {Config{Key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"},
			[]string{"key: block 1: this is a private key: give the public one, as a gateway only verifies"}},
		"fail/secret key": {Config{Key: "-----BEGIN SECRET KEY-----\nAAAA\n-----END SECRET KEY-----"},
			[]string{`key: block 1: "SECRET KEY" is not a valid public key (PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE)`}},
		"fail/after a key": {Config{Key: ed25519PEM + "AAAA"}, []string{"key: what follows block 1 is not a PEM block"}},
		"fail/key set":     {Config{JWKS: `{"keys":[]}`}, []string{"jwks: the key set has no keys"}},
		"fail/header name": {Config{Secret: secret, Header: "X Token"},
			[]string{"header: \" \" at column 2 cannot be in the name of a header"}},
		"fail/verify and keys": {Config{Verify: &off, Secret: secret},
			[]string{"verify: false means that no signature is checked, but secret is given: remove one of the two"}},
		"fail/leeway": {Config{Secret: secret, Leeway: "2h"}, []string{"leeway: 2h0m0s is not between 0s and 1h"}},
		"fail/audience": {Config{Secret: secret, Audience: []string{"a", ""}},
			[]string{"audience[1]: an audience is never empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range Check(&c.cfg) {
				got = append(got, p.String())
			}
			require.Equal(t, c.want, got)
			if c.want != nil {
				_, err := New(&c.cfg)
				require.EqualError(t, err, strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestMessagesHoldNoSecret(t *testing.T) {
	for _, cfg := range []Config{
		{Secret: "hunter2"},
		{Key: "-----BEGIN hunter2"},
		{JWKS: "http://user:hunter2@a.example/"},
		{JWKS: "https://user:hunter2@a.example:x/"},
		{OIDC: "https://user:hunter2@a.example/"},
	} {
		_, err := New(&cfg)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

// What is wrong with a key set is said in words of JSON, not of Go.
func TestKeySetsOfOtherTypes(t *testing.T) {
	for text, want := range map[string]string{
		`{"keys": "x"}`:                     `jwks: not a JSON Web Key Set: "keys" cannot be of type string`,
		`{"keys": [{"kty": 1}]}`:            `jwks: the key set has no usable key: "kty" cannot be of type number`,
		`{"keys": ["x"]}`:                   `jwks: the key set has no usable key: it cannot be of type string`,
		`{"keys": [{"key_ops": {"a": 1}}]}`: `jwks: the key set has no usable key: "key_ops" cannot be of type object`,
	} {
		_, err := New(&Config{JWKS: text})
		require.EqualError(t, err, want, text)
	}
}
