package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/jwt"
	"github.com/grayrelease/gray/internal/daemon"
)

// What stands for what nobody is shown, and for a part of a URL.
const (
	hidden     = "(hidden)"
	hiddenPart = "xxxxx"
)

// servePolicy answers with the policy in force, without its secrets.
func (a *API) servePolicy(w http.ResponseWriter, r *http.Request) {
	s := a.named(w, r)
	if s == nil {
		return
	}
	engine := s.Engine()
	if engine == nil {
		daemon.Refuse(w, http.StatusNotFound, errNoPolicy)
		return
	}
	daemon.Answer(w, http.StatusOK, withoutSecrets(engine.Policy()))
}

// withoutSecrets returns a copy of a policy without the secrets that sign and verify, and without
// the credentials in URLs.
func withoutSecrets(p *core.Policy) *core.Policy {
	shown := *p
	hide(&shown.Cookie.Secret)
	if p.Tester != nil {
		tester := *p.Tester
		hide(&tester.Secret)
		shown.Tester = &tester
	}
	if p.JWT != nil {
		config := *p.JWT
		hideKeys(&config)
		shown.JWT = &config
	}
	shown.Versions = map[string]core.Version{}
	for name, v := range p.Versions {
		v.Discover = withoutCredentials(v.Discover)
		upstreams := make([]string, len(v.Upstreams))
		for i, u := range v.Upstreams {
			upstreams[i] = withoutCredentials(u)
		}
		v.Upstreams = upstreams
		shown.Versions[name] = v
	}
	return &shown
}

// hideKeys hides what is a secret. A set of keys in the policy may hold secrets.
func hideKeys(c *jwt.Config) {
	hide(&c.Secret)
	c.OIDC = withoutCredentials(c.OIDC)
	if strings.Contains(c.JWKS, "://") {
		c.JWKS = withoutCredentials(c.JWKS)
		return
	}
	hide(&c.JWKS)
}

// hide hides a secret. The name of a file that holds it is none.
func hide(secret *string) {
	if *secret != "" && !strings.HasPrefix(*secret, "file://") {
		*secret = hidden
	}
}

// withoutCredentials returns a URL without the user, the password, and query values which may be
// tokens.
func withoutCredentials(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return hidden
	}
	if u.User != nil {
		u.User = url.User(hiddenPart)
	}
	query := u.Query()
	for name := range query {
		if isSecretName(name) {
			query.Set(name, hiddenPart)
			u.RawQuery = query.Encode()
		}
	}
	return u.String()
}

func isSecretName(name string) bool {
	for _, word := range []string{"token", "password", "secret", "key"} {
		if strings.Contains(strings.ToLower(name), word) {
			return true
		}
	}
	return false
}
