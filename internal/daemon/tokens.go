package daemon

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// Roles of callers.
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

// secret is a Token that was read. Only its hash is kept.
type secret struct {
	name, role string
	hash       [sha256.Size]byte
}

// ReadCallers reads the secrets. Without tokens and people (nil) all callers may do everything:
// whoever listens then listens at loopback addresses only, see Checker.Listen.
func ReadCallers(tokens []Token, people *People) (Callers, error) {
	c := Callers{}
	switch {
	case people != nil:
		c.Person = people.Person
	case len(tokens) == 0:
		c.Anonymous = RoleOperate
		c.Local = true
	}
	for i := range tokens {
		made, err := tokens[i].read(problem.Index("tokens", i))
		if err != nil {
			return Callers{}, err
		}
		c.secrets = append(c.secrets, made)
	}
	return c, nil
}

func (t *Token) read(path string) (secret, error) {
	text, from := os.Getenv(t.Env), "the variable "+t.Env
	if t.File != "" {
		data, err := os.ReadFile(t.File)
		if err != nil {
			return secret{}, fmt.Errorf("%s.file: %w", path, err)
		}
		text, from = string(data), t.File
	}
	text = strings.TrimSpace(text)
	if len(text) < leastToken {
		return secret{}, problem.New(path, "%s holds %d bytes: a token needs %d or more", from, len(text), leastToken)
	}
	name := t.Name
	if name == "" {
		name = t.Role
	}
	return secret{name, t.Role, sha256.Sum256([]byte(text))}, nil
}
