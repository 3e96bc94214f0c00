package caddygray

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/grayrelease/gray/core"
)

// explainCommand is the body of POST /gray/<service>/explain: a request.
type explainCommand struct {
	// Method and Path, with its query. Default: GET and /.
	Method string `json:"method"`
	Path   string `json:"path"`
	// Host is what the request is sent to. Default: none.
	Host string `json:"host"`
	// Headers and Cookies by their names; a header may be there several times.
	Headers map[string][]string `json:"headers"`
	Cookies map[string]string   `json:"cookies"`
	// Address is the client's, as Caddy resolves it. Default: 127.0.0.1.
	Address string `json:"address"`
	// Placeholders by their names, as in http.auth.user.id. Default: none.
	Placeholders map[string]string `json:"placeholders"`
}

// serveExplain says what version a request would get, and why.
func serveExplain(w http.ResponseWriter, r *http.Request, service string) error {
	active := policies.latest()[service]
	if active == nil {
		return unknownService(service)
	}
	var c explainCommand
	if err := readBody(r.Body, &c); err != nil {
		return refusal(http.StatusBadRequest, fmt.Errorf("the body is not a request to be explained: %w", err))
	}
	caller, err := c.caller()
	if err != nil {
		return refusal(http.StatusBadRequest, err)
	}
	return answer(w, http.StatusOK, core.Explain(active.engine, caller))
}

func (c *explainCommand) caller() (*core.Caller, error) {
	path := c.Path
	if path == "" {
		path = "/"
	}
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("path: %q does not begin with a slash", path)
	}
	request, err := http.NewRequest(c.Method, path, nil) //nolint:noctx // it is sent nowhere
	if err != nil {
		return nil, err
	}
	request.Host = c.Host
	for name, values := range c.Headers {
		if http.CanonicalHeaderKey(name) == "Host" {
			return nil, errors.New("headers.Host: give `host` in place of it")
		}
		for _, value := range values {
			request.Header.Add(name, value)
		}
	}
	for name, value := range c.Cookies {
		request.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	address := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if c.Address != "" {
		if address, err = netip.ParseAddr(c.Address); err != nil {
			return nil, fmt.Errorf("address: %q is not an address", c.Address)
		}
	}
	request.RemoteAddr = netip.AddrPortFrom(address, 0).String()
	placeholder := func(_ *http.Request, name string) (string, bool) {
		value, ok := c.Placeholders[name]
		return value, ok
	}
	return &core.Caller{Request: request, Client: address.String(), Placeholder: placeholder}, nil
}
