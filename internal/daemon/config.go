package daemon

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// config is a pointer to a configuration, a struct with JSON tags. Check fills in defaults, and
// returns what is wrong: a problem.List.
type config[C any] interface {
	*C
	Check() error
}

// ReadConfig reads a file of YAML or JSON, as ParseConfig does. The error is that, or the file's.
func ReadConfig[C any, P config[C]](path string) (*C, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return ParseConfig[C, P](text)
}

// ParseConfig reads YAML or JSON strictly, and checks it. The error is a problem.List.
func ParseConfig[C any, P config[C]](text []byte) (*C, error) {
	c := new(C)
	if err := decode(text, c); err != nil {
		return nil, err
	}
	if err := P(c).Check(); err != nil {
		return nil, err
	}
	return c, nil
}

func decode(text []byte, into any) error {
	var document any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return problem.New("", "%s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	data, err := json.Marshal(document)
	if err != nil {
		return problem.New("", "names must be texts: %s", err)
	}
	return core.Decode(data, into)
}

// Checker collects what is wrong with a configuration.
type Checker struct{ problems problem.List }

// Err is what was noted: a problem.List, or nil.
func (c *Checker) Err() error { return c.problems.Err() }

// Note adds what is wrong at a path.
func (c *Checker) Note(path, format string, args ...any) {
	c.problems = append(c.problems, problem.Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Duration reads a Go duration of more than zero. An empty text is the fallback.
func (c *Checker) Duration(path, text string, fallback time.Duration) time.Duration {
	if text == "" {
		return fallback
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		c.Note(path, "%s is not a valid duration (as in 30s)", problem.Quote(text))
	}
	return d
}

// URL checks the URL of an HTTP server.
func (c *Checker) URL(path, text string) {
	if text == "" {
		c.Note(path, "required: a URL such as http://127.0.0.1:9090")
		return
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		c.Note(path, "%s is not a valid URL: want http://... or https://...", problem.Quote(text))
	}
}

// Address checks an address to listen on.
func (c *Checker) Address(path, address string) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		c.Note(path, "%s is not a valid address: want host:port", problem.Quote(address))
	}
}

// API checks the address of an API. Other than loopback addresses need to know who calls.
func (c *Checker) API(path, address string, knowsCallers bool) {
	c.Address(path, address)
	host, _, err := net.SplitHostPort(address)
	if err == nil && !knowsCallers && !isLoopback(host) {
		c.Note("tokens", "required where others than this machine can reach %s", problem.Quote(address))
	}
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Tokens checks what can be checked of tokens before they are read.
func (c *Checker) Tokens(tokens []Token, roles ...string) {
	for i, t := range tokens {
		path := problem.Index("tokens", i)
		if !slices.Contains(roles, t.Role) {
			c.Note(path+".role", "unknown role %s%s", problem.Quote(t.Role), problem.OneOf(t.Role, roles))
		}
		if (t.File == "") == (t.Env == "") {
			c.Note(path, "one of file and env is required")
		}
	}
}

// Origins checks origins, as browsers say them.
func (c *Checker) Origins(origins []string) {
	for i, origin := range origins {
		u, err := url.Parse(origin)
		isOrigin := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" &&
			origin == u.Scheme+"://"+u.Host
		if !isOrigin {
			c.Note(problem.Index("origins", i), "%s is not an origin: want a scheme and a host alone, as in "+
				"https://ops.example.com", problem.Quote(origin))
		}
	}
}

// TLS checks a TLS at a path; nil is none.
func (c *Checker) TLS(path string, t *TLS) {
	if t != nil && (t.Cert == "" || t.Key == "") {
		c.Note(path, "cert and key are required")
	}
}
