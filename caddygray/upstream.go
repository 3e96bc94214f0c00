package caddygray

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/core/proxy"
)

// upstream is one instance of a version.
type upstream struct {
	target
	key    healthKey
	health *health
	places []uint64 // by which callers are close to it
	logger *zap.Logger
}

// target says how to reach an upstream.
type target struct {
	dial   string // as Caddy dials it: host:port, or unix//path
	scheme string // "" leaves it to the transport
}

// newUpstream returns an upstream. Close releases its share of the health.
func newUpstream(service, version string, to target, logger *zap.Logger) *upstream {
	key := healthKey{service, version, to.dial}
	shared, _ := healths.LoadOrStore(key, &health{passive: new(proxy.Health)})
	return &upstream{target: to, key: key, health: shared.(*health), logger: logger}
}

// parseUpstreams parses the upstreams of a version, whose weights it passes over; its error is a
// problem.List. Health is kept by address, so an address has one scheme.
func parseUpstreams(texts []string) ([]target, error) {
	targets := make([]target, 0, len(texts))
	first := map[string]int{}
	var problems problem.List
	for i, text := range texts {
		to, err := parseUpstream(text)
		same, there := first[to.dial]
		switch {
		case err != nil:
			problems = append(problems, problem.Of(err).Under(problem.Index("upstreams", i))...)
		case !there:
			first[to.dial] = i
		case targets[same].scheme != to.scheme:
			problems = append(problems,
				problem.New(problem.Index("upstreams", i), "%q is upstreams[%d] with another scheme", text, same)...)
		}
		targets = append(targets, to)
	}
	return targets, problems.Err()
}

// checkUpstreams returns what is wrong with the upstreams of versions, with paths from the policy's
// root.
func checkUpstreams(versions map[string]core.Version) problem.List {
	var problems problem.List
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		_, err := parseUpstreams(versions[name].Upstreams)
		problems = append(problems, problem.Of(err).Under(problem.Field("versions", name))...)
	}
	return problems
}

// parseUpstream parses an upstream: a URL of scheme http, https or h2c with a host, host:port, or a
// socket in Caddy's form, unix//path or unix+h2c//path.
func parseUpstream(text string) (target, error) {
	text, _, err := core.SplitWeight(text)
	if err != nil {
		return target{}, err
	}
	network, path, _ := strings.Cut(text, "/")
	switch {
	case !isSocketNetwork(network):
		scheme, dial, err := proxy.ParseUpstream(text)
		return target{dial, scheme}, err
	case strings.Trim(path, "/") == "":
	case network == "unix":
		return target{text, ""}, nil
	case network == "unix+h2c":
		return target{"unix/" + path, "h2c"}, nil
	}
	return target{}, fmt.Errorf("%q: a socket is written unix//path/to/socket, or unix+h2c//path/to/socket for HTTP/2 "+
		"without TLS", text)
}

// isSocketNetwork reports whether the part before the first slash is the network of a socket, and
// not a host.
func isSocketNetwork(s string) bool {
	network, rest, colon := strings.Cut(s, ":")
	switch network {
	case "unix", "unix+h2c", "unixgram", "unixpacket":
		return !colon || rest == "" // with a port it is a host of that name
	}
	return false
}

func (to target) isSocket() bool { return strings.Contains(to.dial, "/") }

func (u *upstream) close() {
	_, _ = healths.Delete(u.key) // a health has nothing to destruct
}

// healths keeps the health of upstreams over reloads.
var healths = caddy.NewUsagePool()

type healthKey struct{ service, version, dial string }

// health is the health of an upstream.
type health struct {
	passive *proxy.Health
	down    atomic.Bool  // say the active health checks
	checks  atomic.Int64 // in a row that it passed; below zero, that it failed
}

// inARow notes a check, and returns how many in a row had the same result.
func (h *health) inARow(failed bool) int {
	step := int64(1)
	if failed {
		step = -1
	}
	for {
		before := h.checks.Load()
		after := before + step
		if before*step < 0 {
			after = step
		}
		if h.checks.CompareAndSwap(before, after) {
			return int(after * step)
		}
	}
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
	u.logger.Warn("upstream is left out for a while",
		append(u.fields(), zap.Duration("cooldown", proxy.Cooldown), zap.Error(err))...)
}

func (u *upstream) fields() []zap.Field {
	return []zap.Field{zap.String("service", u.key.service), zap.String("version", u.key.version),
		zap.String("upstream", u.dial)}
}
