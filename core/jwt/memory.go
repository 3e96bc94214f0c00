package jwt

import (
	"sync"
	"time"
)

const (
	maxRemembered      = 10000   // tokens
	maxRememberedBytes = 8 << 20 // of their text; claims take some times as much
	maxHeaders         = 64
)

// entry is a token that has been verified. It is never changed.
type entry struct {
	text    string // as the request writes it
	claims  map[string]any
	expires time.Time
	reason  Reason
	key     *key // nil where nothing is verified
}

// memory bounds what Verifier.seen holds. Only verified tokens get there, so nobody can push out another
// caller's by inventing tokens; and tokens that fail are not remembered at all, as it costs nothing to
// invent the next. The oldest goes first: a caller whose token had to go pays one more verification.
type memory struct {
	mu      sync.Mutex
	ring    []*entry // oldest at head
	head    int
	count   int
	bytes   int
	headers int
}

func remember(v *Verifier, e *entry, head string) {
	m := &v.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if !isCurrent(v, e.key) {
		return
	}
	if _, found := v.seen.Load(e.text); found {
		return
	}
	for m.count > 0 && (m.count == maxRemembered || m.bytes+len(e.text) > maxRememberedBytes) {
		forgetOldest(v)
	}
	forgetExpired(v)
	push(m, e)
	v.seen.Store(e.text, e)
	rememberHeader(v, head)
}

// forgetExpired takes two steps for each token that comes, so that memory shrinks with the traffic and no
// request pays for a sweep.
func forgetExpired(v *Verifier) {
	m := &v.memory
	for i := 0; i < 2 && m.count > 0 && v.until(m.ring[m.head].expires) <= 0; i++ {
		forgetOldest(v)
	}
}

func forgetOldest(v *Verifier) {
	v.seen.Delete(pop(&v.memory).text)
}

func pop(m *memory) *entry {
	e := m.ring[m.head]
	m.ring[m.head] = nil
	m.head = (m.head + 1) % len(m.ring)
	m.count--
	m.bytes -= len(e.text)
	return e
}

func push(m *memory, e *entry) {
	if m.count == len(m.ring) {
		grow(m)
	}
	m.ring[(m.head+m.count)%len(m.ring)] = e
	m.count++
	m.bytes += len(e.text)
}

func grow(m *memory) {
	size := 2 * len(m.ring)
	if size == 0 {
		size = 64
	}
	ring := make([]*entry, size)
	for i := 0; i < m.count; i++ {
		ring[i] = m.ring[(m.head+i)%len(m.ring)]
	}
	m.ring = ring
	m.head = 0
}

// rememberHeader is called for verified tokens only, so the few places are not filled by anybody.
func rememberHeader(v *Verifier, text string) {
	if v.memory.headers == maxHeaders {
		return
	}
	if _, found := v.headers.Load(text); found {
		return
	}
	h, reason := headerOf(v, text)
	if reason != "" {
		return
	}
	v.memory.headers++
	v.headers.Store(text, h)
}

// forgetKeys drops the tokens whose key is gone from its source.
func forgetKeys(v *Verifier) {
	m := &v.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.count
	for i := 0; i < all; i++ {
		e := pop(m)
		if isCurrent(v, e.key) {
			push(m, e)
		} else {
			v.seen.Delete(e.text)
		}
	}
}

func isCurrent(v *Verifier, k *key) bool {
	if v.source == nil {
		return true
	}
	for _, current := range keysOf(v).keys {
		if current == k {
			return true
		}
	}
	return false
}
