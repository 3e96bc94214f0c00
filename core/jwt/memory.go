package jwt

const (
	maxRemembered      = 10000   // tokens
	maxRememberedBytes = 8 << 20 // of their text; their claims take several times as much
	maxHeaders         = 64
)

// memory bounds what Verifier.seen holds. Only verified tokens are remembered, so invented tokens
// cannot push out those of other callers. Tokens that fail are not remembered, because inventing
// the next one costs nothing. The oldest is dropped first: its caller pays one more verification.
//
// Tokens are kept whole, not as hashes. A cryptographic hash would take longer than the rest of the
// look-up, and a faster hash could be made to collide.
type memory struct {
	ring    []*Set // oldest at head
	head    int
	count   int
	bytes   int
	headers map[string]*header // of verified tokens only, so that invented ones cannot take the few places
}

// remember keeps the claims of a token, and its first part, which other tokens of the same key
// share.
func remember(v *Verifier, set *Set, first string, h *header) {
	m := v.memory
	v.lock.Lock()
	defer v.lock.Unlock()
	if v.seen[set.text] != nil || !isCurrent(v, set.key) {
		return
	}
	for m.count > 0 && (m.count == maxRemembered || m.bytes+len(set.text) > maxRememberedBytes) {
		forgetOldest(v)
	}
	forgetExpired(v)
	push(m, set)
	v.seen[set.text] = set
	if len(m.headers) < maxHeaders {
		m.headers[first] = h
	}
}

// forgetExpired drops up to two expired tokens. It runs for each new token, so memory shrinks with
// the traffic and no request pays for a sweep.
func forgetExpired(v *Verifier) {
	m := v.memory
	for i := 0; i < 2 && m.count > 0 && v.until(m.ring[m.head].Expires) <= 0; i++ {
		forgetOldest(v)
	}
}

func forgetOldest(v *Verifier) {
	delete(v.seen, pop(v.memory).text)
}

func pop(m *memory) *Set {
	set := m.ring[m.head]
	m.ring[m.head] = nil
	m.head = (m.head + 1) % len(m.ring)
	m.count--
	m.bytes -= len(set.text)
	return set
}

func push(m *memory, set *Set) {
	if m.count == len(m.ring) {
		grow(m)
	}
	m.ring[(m.head+m.count)%len(m.ring)] = set
	m.count++
	m.bytes += len(set.text)
}

func grow(m *memory) {
	size := 2 * len(m.ring)
	if size == 0 {
		size = 64
	}
	ring := make([]*Set, size)
	for i := 0; i < m.count; i++ {
		ring[i] = m.ring[(m.head+i)%len(m.ring)]
	}
	m.ring = ring
	m.head = 0
}

// forgetKeys drops the tokens whose key is gone from its source.
func forgetKeys(v *Verifier) {
	m := v.memory
	v.lock.Lock()
	defer v.lock.Unlock()
	all := m.count
	for i := 0; i < all; i++ {
		set := pop(m)
		if isCurrent(v, set.key) {
			push(m, set)
		} else {
			delete(v.seen, set.text)
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
