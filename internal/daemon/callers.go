package daemon

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Callers are those who may call an API, see ReadCallers. The zero value lets nobody in.
type Callers struct {
	secrets []secret
	// Anonymous is the role of callers without a token. Default: none, they are refused.
	Anonymous string
	// Local says that only loopback addresses are listened at: requests for other hosts come from a
	// page whose name was made to lead there, and are refused unless their host is one of Origins.
	Local bool
	// Origins are where else the API is found, as browsers say it (https://ops.example.com), such
	// as behind a proxy. Default: at the host that requests are sent to.
	Origins []string
	// Person returns who was authenticated before, and the role. "" is nobody. Default: nobody is.
	Person func(r *http.Request) (name, role string)
}

// Anybody is who calls without a token, as it is recorded.
const Anybody = "API"

var (
	errNoToken = errors.New("a token is required, as `Authorization: Bearer TOKEN`")
	errRole    = errors.New("the role of who calls does not allow this")
	errOrigin  = errors.New("the request comes from a page of another origin")
	errHost    = errors.New("the request is for another host: where the API is behind a proxy, name its origin in the " +
		"configuration (origins)")
)

// HaveTokens reports whether there are tokens.
func (c *Callers) HaveTokens() bool { return len(c.secrets) > 0 }

// Caller returns who calls, and the role. The error says that a token is required, or that it is
// wrong.
func (c *Callers) Caller(r *http.Request) (name, role string, err error) {
	if text, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && len(c.secrets) > 0 {
		hash := sha256.Sum256([]byte(strings.TrimSpace(text)))
		found := -1
		for i := range c.secrets {
			if subtle.ConstantTimeCompare(hash[:], c.secrets[i].hash[:]) == 1 {
				found = i
			}
		}
		if found < 0 {
			return "", "", errNoToken
		}
		return c.secrets[found].name, c.secrets[found].role, nil
	}
	if c.Person != nil {
		if name, role := c.Person(r); name != "" {
			return name, role, nil
		}
	}
	if c.Anonymous == "" {
		return "", "", errNoToken
	}
	return Anybody, c.Anonymous, nil
}

// Allows reports whether a role is one of those that are allowed, or operate.
func Allows(role string, allowed ...string) bool {
	return role == RoleOperate || slices.Contains(allowed, role)
}

// Only lets in callers with one of the roles, or with the role operate.
func (c *Callers) Only(handle http.HandlerFunc, allowed ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, role, err := c.Caller(r)
		switch {
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			Refuse(w, http.StatusUnauthorized, err)
		case !Allows(role, allowed...):
			Refuse(w, http.StatusForbidden, errRole)
		default:
			handle(w, r)
		}
	}
}

// Guard refuses what pages of other origins send, and what makes browsers run answers.
func (c *Callers) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if err := c.checkOrigin(r); err != nil {
			Refuse(w, http.StatusForbidden, err)
			return
		}
		if written := r.Header.Get("Content-Type"); r.Method == http.MethodPost && (written != "" || r.ContentLength > 0) {
			if kind, _, _ := mime.ParseMediaType(written); kind != "application/json" {
				Refuse(w, http.StatusUnsupportedMediaType, errors.New("the body must be application/json"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// checkOrigin refuses what pages of other origins send.
func (c *Callers) checkOrigin(r *http.Request) error {
	if c.Local && !isLoopback(hostOf(r.Host)) && !c.isHost(r.Host) {
		return errHost
	}
	origin := r.Header.Get("Origin")
	if origin == "" || r.Method == http.MethodGet || slices.Contains(c.Origins, origin) {
		return nil
	}
	if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
		return errOrigin
	}
	return nil
}

// isHost reports whether a host is that of one of the origins.
func (c *Callers) isHost(host string) bool {
	for _, origin := range c.Origins {
		if u, err := url.Parse(origin); err == nil && u.Host == host {
			return true
		}
	}
	return false
}

// hostOf returns a host without its port.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}
