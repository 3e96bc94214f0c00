// Package jwt tells who a caller is by the claims of a JSON Web Token that the request carries.
//
// It verifies signed tokens in the compact form (RFC 7515, 7518, 7519 and 8037) with keys that the
// configuration names: a secret, public keys in PEM, a JSON Web Key Set, or an OpenID Connect issuer.
// Nothing that a token names (jwk, jku, x5u, x5c) is ever used or fetched. A token that does not
// verify leaves a caller without claims and a Reason; it is never the reason for a failed request.
//
// The package imports the standard library alone and keeps to what the Yaegi interpreter runs. There a
// method call costs several times a function call, so what a request passes through is plain functions:
//
//	v, err := jwt.New(cfg)
//	v.Start(ctx)
//	set := jwt.Claims(v, r)
//	groups := jwt.Values(set, path) // none if set.Reason says so
package jwt

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Reason says why a request has no verified claims. It is one of the constants below, never text from the
// request, so it can be counted and logged as it is.
type Reason string

// What a Reason can be. Claims come with Verified and Unverified only.
const (
	Verified   Reason = ""           // the claims were verified
	Unverified Reason = "unverified" // the claims were read without a check, as `verify: false` asks
	None       Reason = "none"       // the request carries no token
	Repeated   Reason = "repeated"   // the request carries several tokens, so none is believed
	Oversized  Reason = "oversized"  // the token is longer than 16 KiB
	Malformed  Reason = "malformed"  // not a compact token with JSON claims: bad base64, bad JSON, a name given twice, a date that is no number
	Critical   Reason = "critical"   // the header demands extensions (crit), and none is supported
	Algorithm  Reason = "algorithm"  // the algorithm is none, unknown, or not allowed
	Keyless    Reason = "keyless"    // no key is known yet: nothing has been fetched so far
	Key        Reason = "key"        // no key fits: unknown kid, or no key for this algorithm
	Signature  Reason = "signature"  // the signature is wrong
	Expired    Reason = "expired"    // exp has passed
	Early      Reason = "early"      // nbf has not been reached
	Issuer     Reason = "issuer"     // iss is not the configured issuer
	Audience   Reason = "audience"   // aud names no configured audience
)

// A Verifier holds one prepared configuration. It is safe for concurrent use; its zero value is not usable.
type Verifier struct {
	place  place
	header string // canonical name of the header that carries the token, "" if another place does
	prefix string // what stands before the token in that header when it is written the usual way

	unverified bool
	algorithms map[string]bool // empty: what fits each key
	issuer     string
	audience   map[string]bool
	leeway     time.Duration

	now   func() time.Time
	until func(time.Time) time.Duration // until(t) is t - now(), one call instead of two where calls are dear

	fixed  *keySet // keys given in the configuration itself; nil if source has them
	source *source

	lock   *sync.RWMutex   // guards memory and seen
	seen   map[string]*Set // the tokens in memory, as requests write them
	memory *memory

	mu      sync.Mutex // guards what follows
	started bool
	detach  func() bool // undoes what Start asked of its context
	report  func(error)

	failing bool // the last report was an error; guarded by the source's lock
}

// New prepares a verifier. It reads the files that cfg names, and does no network I/O: keys behind a URL
// are fetched once Start is called. The error is a problem.List: everything
// that Check finds.
func New(cfg *Config) (*Verifier, error) {
	if problems := Check(cfg); len(problems) > 0 {
		return nil, problems
	}
	v := &Verifier{
		place:      placeOf(cfg),
		unverified: cfg.Verify != nil && !*cfg.Verify,
		algorithms: setOf(cfg.Algorithms),
		issuer:     cfg.Issuer,
		audience:   setOf(cfg.Audience),
		now:        time.Now,
		until:      time.Until,
		lock:       &sync.RWMutex{},
		seen:       map[string]*Set{},
		memory:     &memory{headers: map[string]*header{}},
	}
	if v.place.kind == inHeader {
		v.header = v.place.name
		v.prefix = v.place.prefix
	}
	if cfg.OIDC != "" {
		v.issuer = cfg.OIDC
	}
	if cfg.Leeway != "" {
		v.leeway, _ = time.ParseDuration(cfg.Leeway) // Check has parsed it
	}
	if err := setKeys(v, cfg); err != nil {
		return nil, err
	}
	return v, nil
}

// SetClock makes the verifier judge exp and nbf by now instead of time.Now. For tests; call it before the
// first request.
func (v *Verifier) SetClock(now func() time.Time) {
	v.now = now
	v.until = func(t time.Time) time.Duration { return t.Sub(now()) }
}

// OnRefresh sets a function that hears how background refreshes of the keys go: an error when they begin to fail,
// nil when one succeeds after that. It must not block. Call it before Start.
func (v *Verifier) OnRefresh(report func(error)) { v.report = report }

// Start lets the verifier keep its keys fresh in the background, until ctx is done or Close is called.
// Verifiers with the same source of keys share one fetcher. Without Start, keys behind a URL are never
// fetched and files are not read again. A second call changes nothing.
func (v *Verifier) Start(ctx context.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.source == nil || v.started || ctx.Err() != nil {
		return
	}
	v.started = true
	attach(v.source, v)
	v.detach = context.AfterFunc(ctx, func() { v.Close() })
}

// Close ends the background work that Start began and waits for it. Requests that still arrive are
// judged by the keys known so far, so handlers of an old configuration go on serving.
func (v *Verifier) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.started {
		return
	}
	v.started = false
	v.detach()
	release(v.source, v)
}

// Ready returns a channel that is closed as soon as keys are known. For hosts that would rather wait, for
// a bounded time, before they serve.
func (v *Verifier) Ready() <-chan struct{} {
	if v.source == nil {
		return closedChannel()
	}
	return v.source.ready
}

// Set is a JWT Claims Set, prepared for Values. It is shared by requests and never changed.
type Set struct {
	Reason Reason // why there are no claims, or Verified or Unverified

	// ByPath has the claims that are scalars, and the arrays of scalars; Expires is when they end. Both are for those who look into
	// a Memory themselves.
	ByPath  map[Path][]string
	Expires time.Time

	lists []array  // the arrays among the claims
	texts []string // what values of one element are slices of, to allocate once
	text  string   // the token, as the request writes it
	key   *key     // that signed it
}

// Memory is where Claims looks first, for a caller in an interpreter, where calling Claims would cost more than what it does: the
// set in Seen of the request's only line of Header, read under Lock, as long as Until(set.Expires) is positive. For all else there
// is Claims.
type Memory struct {
	Header string // canonical name; "" when tokens are not in a header
	Lock   *sync.RWMutex
	Seen   map[string]*Set
	Until  func(time.Time) time.Duration
}

// MemoryOf is the memory of a verifier, made and kept by it.
func MemoryOf(v *Verifier) Memory {
	return Memory{Header: v.header, Lock: v.lock, Seen: v.seen, Until: v.until}
}

// IsElement reports whether a path may lead to one element of an array, which ByPath does not have.
func IsElement(p Path) bool {
	_, err := strconv.Atoi(string(p)[strings.LastIndexByte(string(p), '/')+1:])
	return err == nil
}

// Claims returns the claims of the token that r carries; if there are none, the Reason of the set says why. It
// is never nil. Claims never waits for anything but short locks.
func Claims(v *Verifier, r *http.Request) *Set {
	if lines := r.Header[v.header]; len(lines) == 1 {
		v.lock.RLock()
		set := v.seen[lines[0]]
		v.lock.RUnlock()
		if set != nil && v.until(set.Expires) > 0 {
			return set
		}
	}
	return claimsOfRequest(v, r)
}

// ClaimsOf returns the claims of a token that the caller has found by itself.
func ClaimsOf(v *Verifier, token string) *Set {
	v.lock.RLock()
	set := v.seen[v.prefix+token]
	v.lock.RUnlock()
	if set == nil {
		return firstSight(v, token)
	}
	if v.until(set.Expires) <= 0 {
		return failures[Expired]
	}
	return set
}

func claimsOfRequest(v *Verifier, r *http.Request) *Set {
	token, reason := find(&v.place, r)
	if reason != "" {
		return failures[reason]
	}
	return ClaimsOf(v, token)
}

// failures holds an empty set for each reason.
var failures = map[Reason]*Set{
	None: {Reason: None}, Repeated: {Reason: Repeated}, Oversized: {Reason: Oversized},
	Malformed: {Reason: Malformed}, Critical: {Reason: Critical}, Algorithm: {Reason: Algorithm},
	Keyless: {Reason: Keyless}, Key: {Reason: Key}, Signature: {Reason: Signature}, Expired: {Reason: Expired},
	Early: {Reason: Early}, Issuer: {Reason: Issuer}, Audience: {Reason: Audience},
}

// firstSight judges a token and remembers it under its usual spelling, so that one token cannot fill the
// memory in many spellings ("bearer", two spaces).
func firstSight(v *Verifier, token string) *Set {
	h, payload, by, reason := open(v, token)
	if reason != Verified && reason != Unverified {
		return failures[reason]
	}
	set, failure := judge(v, payload)
	if failure != Verified {
		return failures[failure]
	}
	set.Reason = reason
	set.text = v.prefix + token
	set.key = by
	remember(v, set, token[:strings.IndexByte(token, '.')], h)
	return set
}

// Payload verifies the signature of a compact token and returns what was signed, be it claims or not.
// Dates, issuer and audience are not judged.
func Payload(v *Verifier, token string) ([]byte, Reason) {
	_, payload, _, reason := open(v, token)
	return payload, reason
}

func setOf(words []string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, w := range words {
		set[w] = true
	}
	return set
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
