package serve

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

// leastToken is the shortest secret, in bytes.
const leastToken = 16

// token is a Token whose secret was read. Only its hash is kept.
type token struct {
	name, role string
	hash       [sha256.Size]byte
}

// readTokens reads the secrets.
func readTokens(configs []Token) ([]token, error) {
	var list []token
	for i, c := range configs {
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
		list = append(list, token{name, c.Role, sha256.Sum256([]byte(secret))})
	}
	return list, nil
}

// anybody is who calls an API without tokens.
const anybody = "API"

var (
	errNoToken = errors.New("a token is required, as `Authorization: Bearer TOKEN`")
	errRole    = errors.New("the token's role does not allow this")
)

// who returns the name of who calls, if the token has one of the roles.
func (s *Server) who(r *http.Request, allowed ...string) (string, error) {
	if len(s.tokens) == 0 {
		return anybody, nil
	}
	secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errNoToken
	}
	hash := sha256.Sum256([]byte(strings.TrimSpace(secret)))
	found := -1
	for i := range s.tokens {
		if subtle.ConstantTimeCompare(hash[:], s.tokens[i].hash[:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return "", errNoToken
	}
	if t := s.tokens[found]; t.role == RoleOperate || slices.Contains(allowed, t.role) {
		return t.name, nil
	}
	return "", errRole
}

// only lets in those with one of the roles, or with the role operate.
func (s *Server) only(handle http.HandlerFunc, allowed ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, err := s.who(r, allowed...)
		switch {
		case errors.Is(err, errRole):
			refuse(w, http.StatusForbidden, err)
		case err != nil:
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, err)
		default:
			handle(w, r)
		}
	}
}
