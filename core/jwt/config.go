package jwt

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/problem"
)

// Config is the `jwt` object of a policy document. All fields are plain, so that any decoder of
// configuration can fill them.
type Config struct {
	// Header, Cookie or Query names the place of the token. At most one of them may be set.
	// Default: the header Authorization, with the scheme Bearer. In other headers the scheme is
	// optional.
	Header string `json:"header,omitempty"`
	Cookie string `json:"cookie,omitempty"`
	Query  string `json:"query,omitempty"`

	// Secret is the key of HS256, HS384 or HS512: the text itself, or file:///path of a file that
	// holds it. It is at least as long as the hash (32, 48 or 64 bytes). Line breaks at the end of
	// the file are ignored. A binary secret goes into a key set ("kty": "oct").
	Secret string `json:"secret,omitempty"`

	// Key holds one or more public keys or certificates in PEM, or is file:///path of a file that
	// holds them. Supported are RSA of 2048 bits or more, P-256, P-384, P-521 and Ed25519.
	Key string `json:"key,omitempty"`

	// JWKS is a JSON Web Key Set: https://..., file:///path, or its text. At most 64 keys, 256 KiB.
	JWKS string `json:"jwks,omitempty"`

	// OIDC is the issuer's URL of an OpenID Connect provider. Its discovery document leads to the
	// keys, and tokens must name this issuer.
	OIDC string `json:"oidc,omitempty"`

	// Plaintext allows http:// in JWKS and OIDC. Whoever controls the network can then forge
	// callers. Default: false.
	Plaintext bool `json:"plaintext,omitempty"`

	// Algorithms lists the algorithms that tokens may use. A key is only ever used for algorithms
	// of its own kind. Default: the algorithm that a JSON Web Key names, or else the most common
	// one for the key (HS256, RS256, EdDSA, or ES256, ES384 or ES512 by the curve).
	Algorithms []string `json:"algorithms,omitempty"`

	// Issuer is the required value of the claim iss. Default: any.
	Issuer string `json:"issuer,omitempty"`

	// Audience lists accepted values of the claim aud; one match is enough. Default: any.
	Audience []string `json:"audience,omitempty"`

	// Leeway is how far clocks may differ when exp and nbf are checked (as in "30s"), at most 1h.
	// Default: "0s".
	Leeway string `json:"leeway,omitempty"`

	// Verify set to false accepts tokens without checking their signature; no keys may be set then.
	// Use it only where something in front of gray has verified the token.
	// exp, nbf, issuer and audience are still checked. Default: true.
	Verify *bool `json:"verify,omitempty"`
}

const maxLeeway = time.Hour

// Check returns every problem of cfg. It does no I/O: New and Start find out whether files and
// servers exist.
func Check(cfg *Config) problem.List {
	var problems problem.List
	problems = append(problems, checkPlace(cfg)...)
	problems = append(problems, checkKeys(cfg)...)
	problems = append(problems, checkAlgorithms(cfg)...)
	problems = append(problems, checkExpectations(cfg)...)
	return problems
}

// checkAllowed checks files and hosts of a configuration without other problems.
func checkAllowed(cfg *Config, allowed *allow.List) problem.List {
	var problems problem.List
	for i, text := range []string{cfg.Secret, cfg.Key, cfg.JWKS, cfg.OIDC} {
		field := []string{"secret", "key", "jwks", "oidc"}[i]
		var err error
		if isFile(text) {
			path, _ := filePath(text)
			err = allowed.File(path)
		} else if field == "oidc" && text != "" || field == "jwks" && text != "" && !isInline(text) {
			err = allowedURL(allowed, text)
		}
		if err != nil {
			problems = append(problems, problem.New(field, "%s", err)...)
		}
	}
	return problems
}

func checkPlace(cfg *Config) problem.List {
	given := named([]string{"header", "cookie", "query"}, []string{cfg.Header, cfg.Cookie, cfg.Query})
	if len(given) > 1 {
		return problem.New(given[1], "the token is in one place, but %s are given: keep one", strings.Join(given, " and "))
	}
	if i := badNameByte(cfg.Header); i >= 0 {
		return problem.New("header", "%q at column %d cannot be in the name of a header", cfg.Header[i:i+1], i+1)
	}
	if i := badNameByte(cfg.Cookie); i >= 0 {
		return problem.New("cookie", "%q at column %d cannot be in the name of a cookie", cfg.Cookie[i:i+1], i+1)
	}
	return nil
}

// badNameByte returns the index of the first byte that RFC 9110 forbids in a token, or -1.
func badNameByte(name string) int {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return i
		}
	}
	return -1
}

func named(names, values []string) []string {
	var given []string
	for i, value := range values {
		if value != "" {
			given = append(given, names[i])
		}
	}
	return given
}

func givenKeys(cfg *Config) []string {
	return named([]string{"secret", "key", "jwks", "oidc"}, []string{cfg.Secret, cfg.Key, cfg.JWKS, cfg.OIDC})
}

func checkKeys(cfg *Config) problem.List {
	given := givenKeys(cfg)
	off := cfg.Verify != nil && !*cfg.Verify
	switch {
	case off && len(given) > 0:
		return problem.New("verify",
			"false means that no signature is checked, but %s is given: remove one of the two", given[0])
	case off:
		return nil
	case len(given) == 0:
		return problem.New("", "no key: give secret, key, jwks or oidc "+
			"(or verify: false, if something before gray has verified the token)")
	case len(given) > 1:
		return problem.New(given[1], "keys come from one place, but %s are given: keep one", strings.Join(given, " and "))
	}
	switch given[0] {
	case "secret":
		return checkSecret(cfg)
	case "key":
		return checkKey(cfg)
	case "jwks":
		return checkJWKS(cfg)
	}
	return checkOIDC(cfg)
}

func checkSecret(cfg *Config) problem.List {
	if isFile(cfg.Secret) {
		return checkFile("secret", cfg.Secret)
	}
	if _, err := secretsOf([]byte(cfg.Secret), cfg.Algorithms); err != nil {
		return problem.New("secret", "%v", err)
	}
	return nil
}

func checkKey(cfg *Config) problem.List {
	if isFile(cfg.Key) {
		return checkFile("key", cfg.Key)
	}
	if !strings.Contains(cfg.Key, "-----BEGIN") {
		return problem.New("key", "neither a PEM text (-----BEGIN PUBLIC KEY-----) nor file:///path")
	}
	if _, err := publicKeys([]byte(cfg.Key)); err != nil {
		return problem.New("key", "%v", err)
	}
	return nil
}

func checkJWKS(cfg *Config) problem.List {
	switch {
	case isFile(cfg.JWKS):
		return checkFile("jwks", cfg.JWKS)
	case isInline(cfg.JWKS):
		if _, err := webKeys([]byte(cfg.JWKS), true); err != nil {
			return problem.New("jwks", "%v", err)
		}
		return nil
	}
	return checkURL("jwks", cfg.JWKS, cfg.Plaintext)
}

func checkOIDC(cfg *Config) problem.List {
	if cfg.Issuer != "" && cfg.Issuer != cfg.OIDC {
		return problem.New("issuer", "differs from oidc, which is the issuer: remove one of the two")
	}
	if u, err := url.Parse(cfg.OIDC); err == nil && (u.RawQuery != "" || u.User != nil) {
		return problem.New("oidc", "an issuer is a URL without a query or a user")
	}
	return checkURL("oidc", cfg.OIDC, cfg.Plaintext)
}

func checkURL(path, text string, plaintext bool) problem.List {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return problem.New(path, "not a URL") // the parser's message repeats the text, which can hold a password
	case u.Scheme == "http" && !plaintext:
		return problem.New(path, "http:// lets the network choose the keys: use https://, or set plaintext: true")
	case u.Scheme != "https" && u.Scheme != "http":
		return problem.New(path, "not a URL that begins with https:// (files are written file:///path)")
	case u.Hostname() == "":
		return problem.New(path, "the URL names no host")
	case u.Fragment != "":
		return problem.New(path, "a URL to fetch has no fragment (#)")
	}
	return nil
}

func checkFile(path, text string) problem.List {
	if _, err := filePath(text); err != nil {
		return problem.New(path, "%v", err)
	}
	return nil
}

func isFile(text string) bool   { return strings.HasPrefix(text, "file:") }
func isInline(text string) bool { return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") }

func filePath(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Host != "" && u.Host != "localhost") || !strings.HasPrefix(u.Path, "/") || u.Path == "/" {
		return "", fmt.Errorf("a file is written with its absolute path: file:///path")
	}
	return u.Path, nil
}

func checkAlgorithms(cfg *Config) problem.List {
	var problems problem.List
	for i, name := range cfg.Algorithms {
		if message := algorithmProblem(cfg, name); message != "" {
			problems = append(problems, problem.Problem{Path: problem.Index("algorithms", i), Message: message})
		}
	}
	if len(cfg.Algorithms) > 0 && cfg.Verify != nil && !*cfg.Verify {
		message := "say nothing while verify is false: remove one of the two"
		problems = append(problems, problem.Problem{Path: "algorithms", Message: message})
	}
	return problems
}

func algorithmProblem(cfg *Config, name string) string {
	a := algorithms[name]
	switch {
	case strings.EqualFold(name, "none"):
		return "\"none\" is a token without a signature, and is never accepted"
	case a == nil:
		return unknownAlgorithm(name)
	case cfg.Secret != "" && a.kind != kindSecret:
		return fmt.Sprintf("%s needs a public key, but a secret is given", name)
	case a.kind == kindSecret && (cfg.Key != "" || cfg.OIDC != ""):
		return fmt.Sprintf("%s needs a secret, but public keys are given", name)
	case a.kind == kindSecret && cfg.JWKS != "" && !isFile(cfg.JWKS) && !isInline(cfg.JWKS):
		return fmt.Sprintf("%s needs a secret, and secrets are not taken from a URL", name)
	}
	return ""
}

func unknownAlgorithm(name string) string {
	hint := problem.Suggest(name, algorithmNames)
	if hint == "" {
		hint = " (known are " + strings.Join(algorithmNames, ", ") + ")"
	}
	return fmt.Sprintf("unknown algorithm %q%s", name, hint)
}

func checkExpectations(cfg *Config) problem.List {
	var problems problem.List
	for i, audience := range cfg.Audience {
		if audience == "" {
			problems = append(problems, problem.New(problem.Index("audience", i), "an audience is never empty")...)
		}
	}
	if cfg.Leeway == "" {
		return problems
	}
	leeway, err := time.ParseDuration(cfg.Leeway)
	switch {
	case err != nil:
		problems = append(problems, problem.New("leeway", "%q is not a valid duration (as in 30s)", cfg.Leeway)...)
	case leeway < 0 || leeway > maxLeeway:
		problems = append(problems, problem.New("leeway", "%s is not between 0s and 1h", leeway)...)
	}
	return problems
}
