package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/problem"
)

// MaxDocument is the largest document that is read, in bytes.
const MaxDocument = 8 << 20

// TLSOptions are the options that every scheme with a server has.
var TLSOptions = []string{
	"token", "tls", "ca_file", "cert_file", "key_file", "server_name", "insecure_skip_verify", "timeout",
}

// Client sends requests to the servers of one address, over one connection at a time. It moves on
// to the next server when Next is called.
type Client struct {
	Header  http.Header // sent with every request
	Timeout time.Duration

	scheme    string
	hosts     []string
	current   int
	secrets   []string
	allowed   *allow.List // what errors may show
	transport *http.Transport
	http      *http.Client
}

// NewClient prepares a client; it connects to nothing. Files that TLS options name are read.
func NewClient(a *Address) (*Client, error) {
	timeout, err := a.Duration("timeout", 10*time.Second, 100*time.Millisecond)
	if err != nil {
		return nil, err
	}
	secure, err := a.Bool("tls")
	if err != nil {
		return nil, err
	}
	c := &Client{Header: http.Header{}, Timeout: timeout, scheme: "http", hosts: a.Hosts, secrets: a.Secrets()}
	c.allowed = a.allowed
	if secure || a.Scheme == "https" {
		c.scheme = "https"
	}
	if c.scheme == "http" && (a.Options["ca_file"] != "" || a.Options["cert_file"] != "") {
		return nil, problem.New("", "TLS files are given but TLS is off: add tls=true")
	}
	identity, err := newIdentity(a)
	if err != nil {
		return nil, err
	}
	c.transport = &http.Transport{
		TLSClientConfig:        forProxies(identity),
		TLSHandshakeTimeout:    timeout,
		MaxConnsPerHost:        1,
		MaxIdleConns:           1,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        10 * time.Minute,
		MaxResponseHeaderBytes: 64 << 10,
	}
	a.Guard(c.transport, timeout)
	dial := c.transport.DialContext
	c.transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return secured(ctx, conn, currentIdentity(identity), address, timeout)
	}
	c.http = &http.Client{Transport: c.transport, CheckRedirect: refuseRedirect}
	if a.web() {
		c.http.CheckRedirect = checkRedirect
	}
	return c, nil
}

// Close lets go of the connection.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Next makes the next server the one to ask.
func (c *Client) Next() {
	c.current = (c.current + 1) % len(c.hosts)
	c.transport.CloseIdleConnections()
}

// Hide adds a text that no error may show.
func (c *Client) Hide(secret string) {
	if secret != "" && !contains(c.secrets, secret) {
		if len(c.secrets) > 16 {
			c.secrets = c.secrets[1:]
		}
		c.secrets = append(c.secrets, secret)
	}
}

// Request describes one request.
type Request struct {
	Method string // default GET
	Path   string // escaped, with its query
	Header map[string]string
	Body   []byte
	Wait   time.Duration // how long the server may take to answer, beyond the client's timeout
	Limit  int64         // largest body that is read, in bytes; default 64 KiB
}

// Response is an answer with its whole body.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the answer, whatever its status.
func (c *Client) Do(ctx context.Context, q Request) (*Response, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout+q.Wait)
	defer cancel()
	resp, err := c.Send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	limit := q.Limit
	if limit == 0 {
		limit = 64 << 10
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, c.fail(err)
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%s: answer is larger than %d bytes", c.hosts[c.current], limit)
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// Send sends a request and leaves the body to the caller, who closes it.
func (c *Client) Send(ctx context.Context, q Request) (*http.Response, error) {
	method := q.Method
	if method == "" {
		method = "GET"
	}
	var body io.Reader
	if q.Body != nil {
		body = bytes.NewReader(q.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.scheme+"://"+c.hosts[c.current]+q.Path, body)
	if err != nil {
		return nil, c.fail(err)
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	for name, value := range q.Header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.fail(err)
	}
	return resp, nil
}

// Unexpected is the error for an answer that is none of those that the protocol has.
func (c *Client) Unexpected(status int, body []byte) error {
	text := strings.TrimSpace(string(body))
	if len(text) > 200 {
		text = text[:200] + "..."
	}
	message := c.hosts[c.current] + " answered " + strconv.Itoa(status)
	switch {
	case status == 401 || status == 403:
		message += " (check user, password and token)"
	case text != "" && c.allowed == nil:
		message += ": " + strconv.Quote(text)
	}
	return errors.New(c.scrub(message))
}

// fail makes an error of the standard library's client fit to be shown: without the URL, which may
// hold secrets.
func (c *Client) fail(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	text := c.allowed.Hide(err).Error()
	if errors.Is(err, context.DeadlineExceeded) {
		text = "no answer in time"
	}
	if !strings.Contains(text, c.hosts[c.current]) {
		text = c.hosts[c.current] + ": " + text
	}
	return errors.New(c.scrub(text))
}

func (c *Client) scrub(text string) string { return scrub(text, c.secrets) }

// refuseRedirect: the servers' own interfaces have no redirects, and following one could carry a
// token elsewhere.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// checkRedirect keeps a redirect from turning TLS off.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 3 {
		return errors.New("more than 3 redirects")
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return errors.New("redirect from https to " + req.URL.Scheme + " refused")
	}
	return nil
}
