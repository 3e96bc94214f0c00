package daemon

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// Roles of tokens.
const (
	RoleView    = "view"    // reads
	RoleAlert   = "alert"   // delivers alerts
	RoleOperate = "operate" // reads, delivers alerts, and moves rollouts
)

// Token is a secret that a client sends as `Authorization: Bearer ...`. One of File and Env is
// required.
type Token struct {
	// Name is what is recorded of who did something. Default: the role.
	Name string `json:"name,omitempty"`
	// Role is view, alert or operate. Required.
	Role string `json:"role"`
	// File holds the secret, which is at least 16 bytes; blanks around it do not count.
	File string `json:"file,omitempty"`
	// Env is the environment variable that holds it.
	Env string `json:"env,omitempty"`
}

// leastToken is the shortest secret, in bytes.
const leastToken = 16

// Callers are those who may call an API: everybody if there are no tokens.
type Callers []caller

// caller is a Token whose secret was read. Only its hash is kept.
type caller struct {
	name, role string
	hash       [sha256.Size]byte
}

// ReadTokens reads the secrets.
func ReadTokens(tokens []Token) (Callers, error) {
	var list Callers
	for i, c := range tokens {
		path := problem.Index("tokens", i)
		secret, from := os.Getenv(c.Env), "the variable "+c.Env
		if c.File != "" {
			text, err := os.ReadFile(c.File)
			if err != nil {
				return nil, fmt.Errorf("%s.file: %w", path, err)
			}
			secret, from = string(text), c.File
		}
		secret = strings.TrimSpace(secret)
		if len(secret) < leastToken {
			return nil, problem.New(path, "%s holds %d bytes: a token needs %d or more", from, len(secret),
				leastToken)
		}
		name := c.Name
		if name == "" {
			name = c.Role
		}
		list = append(list, caller{name, c.Role, sha256.Sum256([]byte(secret))})
	}
	return list, nil
}

// anybody is who calls an API without tokens.
const anybody = "API"

var (
	errNoToken = errors.New("a token is required, as `Authorization: Bearer TOKEN`")
	errRole    = errors.New("the token's role does not allow this")
)

// Who returns the name of who calls, if the token has one of the roles, or the role operate.
func (callers Callers) Who(r *http.Request, allowed ...string) (string, error) {
	if len(callers) == 0 {
		return anybody, nil
	}
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errNoToken
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	found := -1
	for i := range callers {
		if subtle.ConstantTimeCompare(hash[:], callers[i].hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return "", errNoToken
	}
	if c := callers[found]; c.role == RoleOperate || slices.Contains(allowed, c.role) {
		return c.name, nil
	}
	return "", errRole
}

// Only lets in those with one of the roles, or with the role operate.
func (callers Callers) Only(handle http.HandlerFunc, allowed ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := callers.Who(r, allowed...)
		switch {
		case errors.Is(err, errRole):
			Refuse(w, http.StatusForbidden, err)
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			Refuse(w, http.StatusUnauthorized, err)
		default:
			handle(w, r)
		}
	}
}
