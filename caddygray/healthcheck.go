package caddygray

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// HealthCheck regularly checks each upstream of a version. An upstream that fails gets no requests
// until it passes again. Before its first answer, an upstream counts as healthy.
//
// Checks use the scheme of the upstream, or plain HTTP if it has none. Behind a proxy whose
// transport has `tls`, give upstreams that are checked the scheme `https`. Checks verify no
// certificate, as they ask only whether the upstream answers. Requests verify them as the proxy's
// transport says.
type HealthCheck struct {
	// URI is the path and query to request. Required.
	URI string `json:"uri,omitempty"`
	// Interval is the time between two checks. Default: 10s.
	Interval caddy.Duration `json:"interval,omitempty"`
	// Timeout bounds a whole check. Default: 5s.
	Timeout caddy.Duration `json:"timeout,omitempty"`
	// Status is the expected status code, or its class (2 for 200 to 299). Default: 2.
	Status int `json:"status,omitempty"`
	// Body is a regular expression that matches the body of a healthy upstream's response, of which
	// the first 64 KiB are read. Default: any body.
	Body string `json:"body,omitempty"`
	// Passes is how many checks in a row an upstream must pass that has failed. Default: 1.
	Passes int `json:"passes,omitempty"`
	// Fails is how many checks in a row an upstream must fail to get no requests. Default: 1.
	Fails int `json:"fails,omitempty"`
	// Method of the request. Default: GET.
	Method string `json:"method,omitempty"`
	// Headers of the request; Host among them. Default: none but User-Agent.
	Headers http.Header `json:"headers,omitempty"`
	// Port to ask in place of the upstream's own. Sockets have none. Default: the upstream's.
	Port int `json:"port,omitempty"`

	body *regexp.Regexp // nil is any
}

const maxHealthBody = 64 << 10 // bytes that are read so that the connection can be kept

func (c *HealthCheck) provision() error {
	if c.URI == "" {
		return errors.New("uri is required (as in /healthz)")
	}
	if _, err := url.ParseRequestURI(c.URI); err != nil || !strings.HasPrefix(c.URI, "/") {
		return fmt.Errorf("uri: %q is not a valid path (as in /healthz)", c.URI)
	}
	if c.Interval == 0 {
		c.Interval = caddy.Duration(10 * time.Second)
	}
	if c.Timeout == 0 {
		c.Timeout = caddy.Duration(5 * time.Second)
	}
	if c.Interval < 0 || c.Timeout < 0 {
		return errors.New("interval and timeout cannot be negative")
	}
	if c.Status == 0 {
		c.Status = 2
	}
	if c.Status < 1 || c.Status > 5 && c.Status < 100 || c.Status > 599 {
		return fmt.Errorf("status: %d is neither a status code nor the first digit of a class", c.Status)
	}
	return c.provisionMore()
}

// provisionMore prepares what few checks have.
func (c *HealthCheck) provisionMore() (err error) {
	if c.Passes < 0 || c.Fails < 0 {
		return errors.New("passes and fails cannot be negative")
	}
	c.Passes = max(c.Passes, 1)
	c.Fails = max(c.Fails, 1)
	if c.Port < 0 || c.Port > 65535 {
		return fmt.Errorf("port: %d is not a valid port (1 to 65535)", c.Port)
	}
	if c.Method == "" {
		c.Method = http.MethodGet
	}
	if _, err := http.NewRequest(c.Method, "/", nil); err != nil { //nolint:noctx // it is sent nowhere
		return fmt.Errorf("method: %q is not a valid method", c.Method)
	}
	for name := range c.Headers {
		if err := checkHeaderName("headers", name); err != nil {
			return err
		}
	}
	if c.Body == "" {
		return nil
	}
	if c.body, err = regexp.Compile(c.Body); err != nil {
		return fmt.Errorf("body: not a valid regular expression (RE2 syntax): %w", err)
	}
	return nil
}

// startHealthChecks checks an active policy's upstreams until ctx is done or the policy is
// replaced.
func (h *Handler) startHealthChecks(ctx context.Context, r *active) {
	ctx, r.stopChecks = context.WithCancel(ctx)
	for name, check := range h.HealthChecks {
		v := r.versions[name]
		if v == nil {
			continue // not in this document
		}
		v.checked = true
		h.checking.Go(func() { check.run(ctx, v) })
	}
}

// run checks all upstreams of a version at each interval.
func (c *HealthCheck) run(ctx context.Context, v *version) {
	plain, h2c := c.client(), c.client()
	h2c.Transport.(*http.Transport).Protocols = onlyH2C()
	defer plain.CloseIdleConnections()
	defer h2c.CloseIdleConnections()
	ticker := time.NewTicker(time.Duration(c.Interval))
	defer ticker.Stop()
	for {
		var round sync.WaitGroup
		for _, u := range v.byDial {
			client := plain
			if u.scheme == "h2c" {
				client = h2c
			}
			round.Go(func() { c.check(ctx, client, u) })
		}
		round.Wait()
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (c *HealthCheck) client() *http.Client {
	return &http.Client{
		Timeout: time.Duration(c.Timeout),
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				u := ctx.Value(upstreamKey{}).(*upstream)
				address, err := caddy.ParseNetworkAddressWithDefaults(c.dial(u), "tcp", 0)
				if err != nil {
					return nil, err
				}
				var d net.Dialer
				return d.DialContext(ctx, address.Network, address.JoinHostPort(0))
			},
			ForceAttemptHTTP2: true,                                  // over TLS: some servers speak nothing else
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see HealthCheck
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func onlyH2C() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

type upstreamKey struct{}

// check checks one upstream and notes the result.
func (c *HealthCheck) check(ctx context.Context, client *http.Client, u *upstream) {
	err := c.ask(context.WithValue(ctx, upstreamKey{}, u), client, u)
	if ctx.Err() != nil {
		return // the end of the checks, not of the upstream
	}
	down := err != nil
	needed := c.Passes
	if down {
		needed = c.Fails
	}
	if u.health.inARow(down) < needed || u.health.down.Swap(down) == down {
		return
	}
	if down {
		u.logger.Warn("upstream failed its health check", append(u.fields(), zap.Error(err))...)
		return
	}
	u.logger.Info("upstream passes its health check again", u.fields()...)
}

// dial returns where an upstream is checked.
func (c *HealthCheck) dial(u *upstream) string {
	host, _, err := net.SplitHostPort(u.dial)
	if c.Port == 0 || u.isSocket() || err != nil {
		return u.dial
	}
	return net.JoinHostPort(host, strconv.Itoa(c.Port))
}

func (c *HealthCheck) ask(ctx context.Context, client *http.Client, u *upstream) error {
	scheme := "http"
	if u.scheme == "https" {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, scheme+"://localhost"+c.URI, nil)
	if err != nil {
		return err
	}
	req.URL.Host = c.dial(u) // connections are kept by it
	if !u.isSocket() {
		req.Host = req.URL.Host
	}
	req.Header.Set("User-Agent", "Caddy gray health check")
	for name, values := range c.Headers {
		if name = http.CanonicalHeaderKey(name); name == "Host" && len(values) > 0 {
			req.Host = values[0]
		}
		req.Header[name] = values
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxHealthBody))
	if err != nil {
		return err
	}
	if !caddyhttp.StatusCodeMatches(res.StatusCode, c.Status) {
		return fmt.Errorf("answered with status %d", res.StatusCode)
	}
	if c.body != nil && !c.body.Match(body) {
		return fmt.Errorf("answered with a body that does not match %s", c.Body)
	}
	return nil
}
