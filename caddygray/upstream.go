package caddygray

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
)

// failuresInARow is how many requests in a row have to fail on an upstream that accepts connections before it is left out. A
// failed connection is enough by itself, while a single failed exchange may be the doing of that one request.
const failuresInARow = 3

// defaultCooldown is how long a failed upstream is left out before a request tries it again.
const defaultCooldown = 10 * time.Second

// upstream is one instance of a version.
type upstream struct {
	dial   string // as Caddy dials it
	scheme string // "" leaves it to the transport
	key    healthKey
	health *health
	logger *zap.Logger
}

// newUpstream reads an upstream: a URL of scheme http, https or h2c with a host, host:port, or a unix socket (unix//path).
// Close gives up its share of what is known about its health.
func newUpstream(service, version, text string, logger *zap.Logger) (*upstream, error) {
	dial, scheme, err := parseUpstream(text)
	if err != nil {
		return nil, err
	}
	key := healthKey{service, version, dial}
	shared, _ := healths.LoadOrStore(key, &health{})
	return &upstream{dial, scheme, key, shared.(*health), logger}, nil
}

func parseUpstream(text string) (dial, scheme string, err error) {
	if caddy.IsUnixNetwork(strings.SplitN(text, "/", 2)[0]) {
		return text, "", nil
	}
	rest := text
	if i := strings.Index(text, "://"); i >= 0 {
		scheme, rest = text[:i], text[i+3:]
	}
	port := "80"
	switch scheme {
	case "", "http", "h2c":
	case "https":
		port = "443"
	default:
		return "", "", fmt.Errorf("%q: the scheme %q is not one of http, https, h2c", text, scheme)
	}
	target, err := url.Parse("//" + strings.TrimSuffix(rest, "/"))
	if err != nil || !isHost(target.Hostname()) {
		return "", "", fmt.Errorf("%q is neither a URL nor host:port", text)
	}
	if target.Path != "" || target.RawQuery != "" || target.Fragment != "" || target.User != nil {
		return "", "", fmt.Errorf("%q: an upstream is a host and a port; paths are rewritten in reverse_proxy", text)
	}
	if target.Port() != "" {
		port = target.Port()
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("%q: there is no port %s", text, port)
	}
	return net.JoinHostPort(target.Hostname(), port), scheme, nil
}

// isHost tells a name or an address from what is left of a text that is neither.
func isHost(s string) bool {
	if strings.Contains(s, ":") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return s != "" && !strings.ContainsAny(s, " {}*")
}

func (u *upstream) close() {
	_, _ = healths.Delete(u.key) // a health has nothing to destruct
}

// healths keeps what is known of upstreams over reloads.
var healths = caddy.NewUsagePool()

type healthKey struct{ service, version, dial string }

// health is how an upstream is doing.
type health struct {
	retryAt  atomic.Int64 // 0 while it is up; else the Unix time in nanoseconds when a request may try it again
	failures atomic.Int64 // in a row, on connections that were made
	down     atomic.Bool  // say the active health checks
}

// A request's view of an upstream.
type standing int

const (
	leftOut standing = iota
	usable
	onTrial // left out long enough: this request, and no other for a while, is to try it
)

func (u *upstream) standing(checked bool, now int64) standing {
	if checked && u.health.down.Load() {
		return leftOut
	}
	at := u.health.retryAt.Load()
	switch {
	case at == 0:
		return usable
	case now >= at && u.health.retryAt.CompareAndSwap(at, now+int64(defaultCooldown)):
		return onTrial
	}
	return leftOut
}

// succeeded notes a response.
func (u *upstream) succeeded() {
	if u.health.failures.Load() != 0 {
		u.health.failures.Store(0)
	}
	if u.health.retryAt.Load() != 0 && u.health.retryAt.Swap(0) != 0 {
		u.logger.Info("upstream is back", u.fields()...)
	}
}

var errInterrupted = errors.New("several exchanges in a row failed")

// failed notes an attempt without a response; a connection that was not made is enough to leave the upstream out.
func (u *upstream) failed(unreachable bool, err error) {
	if !unreachable && u.health.failures.Add(1) < failuresInARow {
		return
	}
	if !unreachable {
		err = fmt.Errorf("%w, the last one with: %w", errInterrupted, err)
	}
	if u.health.retryAt.Swap(time.Now().Add(defaultCooldown).UnixNano()) == 0 {
		u.logger.Warn("upstream is left out for a while", append(u.fields(), zap.Duration("cooldown", defaultCooldown), zap.Error(err))...)
	}
}

func (u *upstream) fields() []zap.Field {
	return []zap.Field{zap.String("service", u.key.service), zap.String("version", u.key.version), zap.String("upstream", u.dial)}
}
