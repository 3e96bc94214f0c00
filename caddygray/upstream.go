package caddygray

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/grayrelease/gray/core/proxy"
)

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
	shared, _ := healths.LoadOrStore(key, &health{passive: new(proxy.Health)})
	return &upstream{dial, scheme, key, shared.(*health), logger}, nil
}

// parseUpstream also takes a socket as Caddy writes it, unix//path.
func parseUpstream(text string) (dial, scheme string, err error) {
	if caddy.IsUnixNetwork(strings.SplitN(text, "/", 2)[0]) {
		return text, "", nil
	}
	scheme, dial, err = proxy.ParseUpstream(text)
	return dial, scheme, err
}

func (u *upstream) close() {
	_, _ = healths.Delete(u.key) // a health has nothing to destruct
}

// healths keeps what is known of upstreams over reloads.
var healths = caddy.NewUsagePool()

type healthKey struct{ service, version, dial string }

// health is how an upstream is doing.
type health struct {
	passive *proxy.Health
	down    atomic.Bool // say the active health checks
}

// A request's view of an upstream.
type standing int

const (
	leftOut standing = iota
	usable
	onTrial // left out long enough: this request, and no other for a while, is to try it
)

func (u *upstream) standing(checked bool) standing {
	switch {
	case checked && u.health.down.Load():
		return leftOut
	case proxy.IsUp(u.health.passive):
		return usable
	case proxy.TryAgain(u.health.passive, proxy.Cooldown):
		return onTrial
	}
	return leftOut
}

// succeeded notes a response.
func (u *upstream) succeeded() {
	if proxy.Succeeded(u.health.passive) {
		u.logger.Info("upstream is back", u.fields()...)
	}
}

// unreachable notes an attempt without a connection.
func (u *upstream) unreachable(err error) {
	if proxy.Unreachable(u.health.passive, proxy.Cooldown) {
		u.leftOut(err)
	}
}

var errInterrupted = errors.New("several exchanges in a row failed")

// interrupted notes an attempt on a connection without a response.
func (u *upstream) interrupted(err error) {
	if proxy.Interrupted(u.health.passive, proxy.Cooldown) {
		u.leftOut(fmt.Errorf("%w, the last one with: %w", errInterrupted, err))
	}
}

func (u *upstream) leftOut(err error) {
	u.logger.Warn("upstream is left out for a while", append(u.fields(), zap.Duration("cooldown", proxy.Cooldown), zap.Error(err))...)
}

func (u *upstream) fields() []zap.Field {
	return []zap.Field{zap.String("service", u.key.service), zap.String("version", u.key.version), zap.String("upstream", u.dial)}
}
