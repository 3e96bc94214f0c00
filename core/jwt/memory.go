package jwt

const (
	maxRemembered      = 10000   // tokens
	maxRememberedBytes = 8 << 20 // of their text; claims take some times as much
	maxHeaders         = 64
)

// memory bounds what Verifier.seen holds. Only verified tokens get there, so nobody can push out another
// caller's by inventing tokens; and tokens that fail are not remembered at all, as it costs nothing to
// invent the next. The oldest goes first: a caller whose token had to go pays one more verification.
//
// Tokens are kept as they are, not as hashes of them: a cryptographic hash of a token takes longer than all the rest of finding it,
// and one that is quicker could be made to collide.
type memory struct {
	ring    []*Set // oldest at head
	head    int
	count   int
	bytes   int
	headers map[string]*header // of verified tokens only, so that nobody else's can take the few places
}

// remember keeps the verdict on a token, and its first part, which the next tokens of the same key have too.
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

// forgetExpired takes two steps for each token that comes, so that memory shrinks with the traffic and no
// request pays for a sweep.
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
