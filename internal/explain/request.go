// Package explain describes requests that people ask about: as JSON, and on a command line.
package explain

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/spf13/pflag"

	"github.com/grayrelease/gray/core"
)

// Request is a request that is asked about.
type Request struct {
	// Method and Path, with its query. Default: GET and /.
	Method string `json:"method"`
	Path   string `json:"path"`
	// Host is what the request is sent to. Default: none.
	Host string `json:"host"`
	// Headers and Cookies by their names; a header may be there several times.
	Headers map[string][]string `json:"headers"`
	Cookies map[string]string   `json:"cookies"`
	// Address is the client's, as the gateway resolves it. Default: 127.0.0.1.
	Address string `json:"address"`
	// Placeholders by their names, as in http.auth.user.id. Default: none.
	Placeholders map[string]string `json:"placeholders"`
}

// Caller returns the request as the engine sees it. The error says which part of it is not valid.
func (q *Request) Caller() (*core.Caller, error) {
	path := q.Path
	if path == "" {
		path = "/"
	}
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("path: %q does not begin with a slash", path)
	}
	request, err := http.NewRequest(q.Method, path, nil) //nolint:noctx // it is sent nowhere
	if err != nil {
		return nil, err
	}
	request.Host = q.Host
	for name, values := range q.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			return nil, errors.New("headers.Host: give `host` in place of it")
		}
		for _, value := range values {
			request.Header.Add(name, value)
		}
	}
	for name, value := range q.Cookies {
		request.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if q.Address != "" {
		if address, err = netip.ParseAddr(q.Address); err != nil {
			return nil, fmt.Errorf("address: %q is not an address", q.Address)
		}
	}
	request.RemoteAddr = netip.AddrPortFrom(address, 0).String()
	placeholder := func(_ *http.Request, name string) (string, bool) {
		value, ok := q.Placeholders[name]
		return value, ok
	}
	return &core.Caller{Request: request, Client: address.String(), Placeholder: placeholder}, nil
}

// AddFlags adds the flags by which a command line describes a request.
func (q *Request) AddFlags(flags *pflag.FlagSet) {
	flags.Var(&headers{q}, "header", "A header of the request, as 'Name: value'; may be repeated")
	flags.Var(&pairs{"cookie", &q.Cookies}, "cookie", "A cookie of the request, as name=value; may be repeated")
	flags.Var(&pairs{"placeholder", &q.Placeholders}, "placeholder",
		"A placeholder that the policy reads, as name=value; may be repeated")
	flags.StringVar(&q.Address, "ip", "", "The client's address (default: 127.0.0.1)")
	flags.StringVar(&q.Method, "method", "", "The method (default: GET)")
	flags.StringVar(&q.Host, "host", "", "The host that the request is sent to")
	flags.StringVar(&q.Path, "path", "", "The path, with its query (default: /)")
}

type headers struct{ *Request }

func (headers) String() string { return "" }
func (headers) Type() string   { return "header" }

func (h *headers) Set(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("%q is not a header: want 'Name: value'", line)
	}
	if h.Headers == nil {
		h.Headers = map[string][]string{}
	}
	h.Headers[name] = append(h.Headers[name], strings.TrimSpace(value))
	return nil
}

// pairs are values by their names.
type pairs struct {
	what string
	into *map[string]string
}

func (*pairs) String() string { return "" }
func (p *pairs) Type() string { return p.what }

func (p *pairs) Set(pair string) error {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return fmt.Errorf("%q is not a %s: want name=value", pair, p.what)
	}
	if *p.into == nil {
		*p.into = map[string]string{}
	}
	(*p.into)[name] = value
	return nil
}
