// Package casetest reads the shared decision cases in testdata/cases. Every host runs them: the
// engine in process, and Caddy and Traefik over HTTP. testdata/cases/README.md explains the files.
package casetest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// File is one file of cases.
type File struct {
	Name   string  `json:"-"` // without directory and extension
	About  string  `json:"about"`
	Groups []Group `json:"groups"`
}

// Group is a policy and the cases that it must satisfy.
type Group struct {
	Policy json.RawMessage `json:"policy"`
	Cases  []Case          `json:"cases"`
}

// Carried returns the version that baggage names after a decision for a version: none for the
// policy's stable one.
func (g Group) Carried(version string) string {
	var p struct{ Stable string }
	if json.Unmarshal(g.Policy, &p) == nil && p.Stable == version {
		return ""
	}
	return version
}

// Case is a request and the expected decision.
type Case struct {
	Name    string  `json:"name"`
	Request Request `json:"request"`
	Version string  `json:"version"`
	Rule    string  `json:"rule"`
}

// Request is a case's request. Load fills in defaults and turns claims into a signed token.
type Request struct {
	Method        string          `json:"method"`
	Host          string          `json:"host"`
	Target        string          `json:"target"`
	Headers       [][2]string     `json:"headers"` // in order; HeadersBase64 and the token are appended
	HeadersBase64 [][2]string     `json:"headers_base64"`
	IP            string          `json:"ip"`
	Claims        json.RawMessage `json:"claims"`
	TrustedPeer   bool            `json:"trusted_peer"`
}

// Load reads all files of a directory, in the order of their names, and then the tokens in the
// directory beside it. Unknown fields are errors.
func Load(dir string) ([]File, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no case files in %s", dir)
	}
	files := make([]File, 0, len(paths))
	for _, path := range paths {
		f, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		files = append(files, f)
	}
	tokens, err := readTokens(filepath.Join(dir, "..", "tokens", "cases.json"))
	if err != nil {
		return nil, fmt.Errorf("reading tokens: %w", err)
	}
	for _, g := range tokens.Groups {
		for i := range g.Cases {
			if err := g.Cases[i].Request.complete(""); err != nil {
				return nil, err
			}
		}
	}
	return append(files, tokens), nil
}

// Count returns the number of cases in files.
func Count(files []File) int {
	n := 0
	for _, f := range files {
		for _, g := range f.Groups {
			n += len(g.Cases)
		}
	}
	return n
}

func read(path string) (File, error) {
	f := File{Name: strings.TrimSuffix(filepath.Base(path), ".json")}
	data, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, err
	}
	for _, g := range f.Groups {
		var key struct{ JWT struct{ Secret string } }
		if err := json.Unmarshal(g.Policy, &key); err != nil {
			return f, err
		}
		for i := range g.Cases {
			if err := g.Cases[i].Request.complete(key.JWT.Secret); err != nil {
				return f, fmt.Errorf("case %q: %w", g.Cases[i].Name, err)
			}
		}
	}
	return f, nil
}

func (r *Request) complete(secret string) error {
	r.Method = or(r.Method, "GET")
	r.Target = or(r.Target, "/")
	r.Host = or(r.Host, "example.com")
	r.IP = or(r.IP, "203.0.113.7")
	for _, h := range r.HeadersBase64 {
		value, err := base64.StdEncoding.DecodeString(h[1])
		if err != nil {
			return fmt.Errorf("header %s: %w", h[0], err)
		}
		r.Headers = append(r.Headers, [2]string{h[0], string(value)})
	}
	if r.Claims != nil {
		r.Headers = append(r.Headers, [2]string{"Authorization", "Bearer " + token(r.Claims, secret)})
	}
	return nil
}

// token returns a token of claims, which are signed as given, even if they are not valid.
func token(claims []byte, secret string) string {
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + enc.EncodeToString(mac.Sum(nil))
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// Raw returns the request as HTTP/1.1 bytes, with more field lines after its own. So repeated and
// odd headers are sent exactly as the case has them; an HTTP client would refuse some.
func (r *Request) Raw(more ...[2]string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.Target, r.Host)
	for _, h := range append(r.Headers[:len(r.Headers):len(r.Headers)], more...) {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
