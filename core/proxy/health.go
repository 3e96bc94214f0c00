package proxy

import (
	"sync/atomic"
	"time"
)

// Cooldown is how long an upstream that failed is left out by default.
const Cooldown = 10 * time.Second

// failuresInARow is how many requests in a row must fail on an upstream that accepts connections
// before it is left out. One failed connection is enough, but a single failed exchange may be due
// to that one request.
const failuresInARow = 3

// Health is the passive health of an upstream: what its requests show. The zero value is up. It is
// safe for concurrent use. Its operations are plain functions because interpreted method calls are
// slow. It must not be embedded in another struct, because 32-bit processors require it to be
// aligned.
type Health struct {
	retryAt  int64 // Unix time in nanoseconds when a request may try it again; 0 while it is up
	failures int64 // in a row, on connections that were made
}

// IsUp reports whether the upstream is in use, not left out.
func IsUp(h *Health) bool { return atomic.LoadInt64(&h.retryAt) == 0 }

// IsSound reports whether the upstream is up and has not failed since its last success.
func IsSound(h *Health) bool { return IsUp(h) && atomic.LoadInt64(&h.failures) == 0 }

// TryAgain reports whether the caller may try an upstream that has been left out long enough. All
// other callers wait for another cooldown, or until the try succeeds.
func TryAgain(h *Health, cooldown time.Duration) bool {
	at := atomic.LoadInt64(&h.retryAt)
	if at == 0 {
		return true // it has just come back
	}
	now := time.Now().UnixNano()
	return at <= now && atomic.CompareAndSwapInt64(&h.retryAt, at, now+int64(cooldown))
}

// Succeeded notes a response and reports whether the upstream was left out until now. It runs for
// each response, so it writes only if something changes.
func Succeeded(h *Health) bool {
	if atomic.LoadInt64(&h.failures) != 0 {
		atomic.StoreInt64(&h.failures, 0)
	}
	return atomic.LoadInt64(&h.retryAt) != 0 && atomic.SwapInt64(&h.retryAt, 0) != 0
}

// Unreachable notes that no connection was made, and leaves the upstream out. It reports whether
// the upstream was up until now.
func Unreachable(h *Health, cooldown time.Duration) bool {
	return atomic.SwapInt64(&h.retryAt, time.Now().UnixNano()+int64(cooldown)) == 0
}

// Interrupted notes an exchange that failed on a connection, and leaves the upstream out after too
// many in a row. It reports whether this call left it out.
func Interrupted(h *Health, cooldown time.Duration) bool {
	return atomic.AddInt64(&h.failures, 1) >= failuresInARow && Unreachable(h, cooldown)
}
