// Package jwt reads the claims of the JSON Web Token that a request carries.
//
// It verifies signed tokens in the compact form (RFC 7515, 7518, 7519 and 8037) with keys from the
// configuration: a secret, public keys in PEM, a JSON Web Key Set, or an OpenID Connect issuer.
// Keys and addresses inside a token (jwk, jku, x5u, x5c) are never used. A caller whose token does
// not verify has no claims, and a Reason says why. A bad token never fails the request.
//
// The package imports only the standard library and can be interpreted by Yaegi. A method call
// there costs several times as much as a function call, so requests pass through plain functions:
//
//	v, err := jwt.New(cfg)
//	v.Start(ctx)
//	set := jwt.Claims(v, r)
//	groups := jwt.Values(set, path) // empty unless the claims could be read; see set.Reason
package jwt

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/allow"
)

// Reason says why a request has no verified claims. It is one of the constants below and never text
// from the request, so it is safe in logs and metrics.
type Reason string

// The reasons. Only Verified and Unverified come with claims.
const (
	Verified   Reason = ""           // the claims were verified
	Unverified Reason = "unverified" // the claims were read without verification (`verify: false`)
	None       Reason = "none"       // the request carries no token
	Repeated   Reason = "repeated"   // the request carries several tokens, so none is believed
	Oversized  Reason = "oversized"  // the token is longer than 16 KiB
	Malformed  Reason = "malformed"  // not a valid compact token: base64, JSON, a repeated name, or a date
	Critical   Reason = "critical"   // the header requires extensions (crit), and none is supported
	Algorithm  Reason = "algorithm"  // the algorithm is none, unknown, or not allowed
	Keyless    Reason = "keyless"    // no keys have been fetched yet
	Key        Reason = "key"        // no key fits: unknown kid, or no key for this algorithm
	Signature  Reason = "signature"  // the signature is wrong
	Expired    Reason = "expired"    // exp has passed
	Early      Reason = "early"      // nbf has not been reached
	Issuer     Reason = "issuer"     // iss is not the configured issuer
	Audience   Reason = "audience"   // aud names no configured audience
)

// Verifier verifies tokens by one configuration. It is safe for concurrent use. Make one with New.
type Verifier struct {
	place  place
	header string // canonical name of the header that carries the token, "" if another place does
	prefix string // what usually precedes the token in that header

	unverified bool
	algorithms map[string]bool // empty: the default of each key
	issuer     string
	audience   map[string]bool
	leeway     time.Duration

	now   func() time.Time
	until func(time.Time) time.Duration // until(t) is t - now(), in one call because interpreted calls are slow

	fixed  *keySet // keys in the configuration itself; nil if they come from source
	source *source

	lock   *sync.RWMutex   // guards memory and seen
	seen   map[string]*Set // remembered tokens, as requests write them
	memory *memory

	mu      sync.Mutex // guards the fields below
	started bool
	detach  func() bool // stops watching the context of Start
	report  func(error)

	failing bool // the last report was an error; guarded by the source's lock
}

// New returns a verifier. It reads the files that cfg names and does no network I/O: keys behind a
// URL are fetched after Start. If Check finds problems, the error is their problem.List.
func New(cfg *Config) (*Verifier, error) { return NewWithin(cfg, nil) }

// NewWithin is New for the configuration in a document that may read and ask only what is allowed.
func NewWithin(cfg *Config, allowed *allow.List) (*Verifier, error) {
	problems := Check(cfg)
	if len(problems) == 0 {
		problems = checkAllowed(cfg, allowed)
	}
	if len(problems) > 0 {
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
	if err := setKeys(v, cfg, allowed); err != nil {
		return nil, err
	}
	return v, nil
}

// SetClock replaces time.Now for checks of exp and nbf. It is for tests; call it before the first
// request.
func (v *Verifier) SetClock(now func() time.Time) {
	v.now = now
	v.until = func(t time.Time) time.Duration { return t.Sub(now()) }
}

// OnRefresh sets a function that is called when background refreshes of the keys begin to fail,
// with the error, and when they succeed again, with nil. The function must not block. Call
// OnRefresh before Start.
func (v *Verifier) OnRefresh(report func(error)) { v.report = report }

// Start keeps the keys fresh in the background until ctx is done or Close is called. Verifiers with
// the same source of keys share one fetcher. Without Start, keys behind a URL are never fetched,
// and files are not read again. A second call has no effect.
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

// Close stops the background work and waits until it has ended. Requests that still arrive are
// judged by the keys known so far, so handlers of an old configuration continue to serve.
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

// Ready returns a channel that is closed once keys are known. A host can wait for it, for a bounded
// time, before it serves.
func (v *Verifier) Ready() <-chan struct{} {
	if v.source == nil {
		return closedChannel()
	}
	return v.source.ready
}

// Set is a JWT Claims Set, prepared for Values. Requests share it; it is never changed.
type Set struct {
	Reason Reason // why there are no claims, or Verified or Unverified

	// ByPath holds scalar claims and arrays of scalars. Expires is when the claims expire.
	// Both are for callers that look into a Memory themselves.
	ByPath  map[Path][]string
	Expires time.Time

	lists []array  // the arrays among the claims
	texts []string // backs every value of one element, so that they take one allocation
	text  string   // the token, as the request writes it
	key   *key     // the key that signed it
}

// Memory is where Claims looks first. Interpreted code looks there itself, because calling Claims
// would cost more than the look-up. If the request has exactly one line of Header, Seen may have
// its set. Read Seen under Lock, and use the set only while Until(set.Expires) is positive. In all
// other cases, call Claims.
type Memory struct {
	Header string // canonical name; "" when tokens are not in a header
	Lock   *sync.RWMutex
	Seen   map[string]*Set
	Until  func(time.Time) time.Duration
}

// MemoryOf returns the memory of a verifier.
func MemoryOf(v *Verifier) Memory {
	return Memory{Header: v.header, Lock: v.lock, Seen: v.seen, Until: v.until}
}

// IsElement reports whether a path may lead to one element of an array. ByPath has no elements.
func IsElement(p Path) bool {
	_, err := strconv.Atoi(string(p)[strings.LastIndexByte(string(p), '/')+1:])
	return err == nil
}

// Claims returns the claims of the token that r carries. The result is never nil; if it has no
// claims, its Reason says why. Claims waits for short locks only.
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

// ClaimsOf returns the claims of token. It is for callers that find the token themselves.
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

// firstSight judges a token that is not remembered, and remembers it under its usual spelling. So
// one token cannot fill the memory in many spellings ("bearer", two spaces).
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

// Payload verifies the signature of a compact token and returns what was signed, which may be
// anything. It does not check dates, issuer or audience.
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
