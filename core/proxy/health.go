package proxy

import (
	"sync/atomic"
	"time"
)

// Cooldown is how long an upstream that failed is left out, unless something else is said.
const Cooldown = 10 * time.Second

// failuresInARow is how many requests in a row have to fail on an upstream that accepts connections before it is left out. A
// failed connection is enough by itself, while a single failed exchange may be the doing of that one request.
const failuresInARow = 3

// Health is how an upstream is doing, as far as its requests tell: passive health. The zero value is up. It is safe for concurrent
// use, by plain functions because an interpreter calls methods slowly, and must not be part of another struct: processors with
// words of 32 bits demand that it is aligned.
type Health struct {
	retryAt  int64 // 0 while it is up; else the Unix time in nanoseconds when a request may try it again
	failures int64 // in a row, on connections that were made
}

// IsUp reports whether the upstream is not left out.
func IsUp(h *Health) bool { return atomic.LoadInt64(&h.retryAt) == 0 }

// TryAgain reports whether the caller is the one to try an upstream that has been left out long enough. Everybody else waits for
// another cooldown, or until the try succeeds.
func TryAgain(h *Health, cooldown time.Duration) bool {
	at := atomic.LoadInt64(&h.retryAt)
	if at == 0 {
		return true // it has just come back
	}
	now := time.Now().UnixNano()
	return at <= now && atomic.CompareAndSwapInt64(&h.retryAt, at, now+int64(cooldown))
}

// Succeeded notes a response. It reports whether the upstream was left out until now. It is called for each response, so it writes
// only where there is something to change.
func Succeeded(h *Health) bool {
	if atomic.LoadInt64(&h.failures) != 0 {
		atomic.StoreInt64(&h.failures, 0)
	}
	return atomic.LoadInt64(&h.retryAt) != 0 && atomic.SwapInt64(&h.retryAt, 0) != 0
}

// Unreachable notes that no connection was made, and leaves the upstream out. It reports whether it was up until now.
func Unreachable(h *Health, cooldown time.Duration) bool {
	return atomic.SwapInt64(&h.retryAt, time.Now().UnixNano()+int64(cooldown)) == 0
}

// Interrupted notes an exchange that failed on a connection, and leaves the upstream out when too many did in a row. It reports
// whether it did and the upstream was up until now.
func Interrupted(h *Health, cooldown time.Duration) bool {
	return atomic.AddInt64(&h.failures, 1) >= failuresInARow && Unreachable(h, cooldown)
}
