package proxy

import (
	"crypto/sha256"
	"strconv"
)

// Rendezvous hashing: every caller has a closeness to every instance, and the closest usable
// instance serves. So a caller stays on one instance without a cookie, through any gateway. If an
// instance goes, only its callers move; if one comes, only those who are now closest to it.

// Places returns the points of the instance at an address host:port, for Closeness. There is one
// for each share: an instance with three gets three times the callers of one with one. Fewer than
// one share count as one.
func Places(address string, shares int) []uint64 {
	if shares < 1 {
		shares = 1
	}
	places := make([]uint64, 0, shares)
	for i := 0; i < shares; i++ {
		places = append(places, hash(address+"\x00"+strconv.Itoa(i)))
	}
	return places
}

// HashIdentity returns the point of a caller, for Closeness.
func HashIdentity(identity string) uint64 { return hash(identity) }

// Closeness returns how close a caller is to an instance: the largest number wins. Instances whose
// numbers are equal are the same one.
func Closeness(places []uint64, identity uint64) uint64 {
	most := uint64(0)
	for _, place := range places {
		// The finalizer of MurmurHash3: each bit of x decides about each bit of the result.
		x := place ^ identity
		x ^= x >> 33
		x *= mixFirst
		x ^= x >> 33
		x *= mixSecond
		x ^= x >> 33
		if x > most {
			most = x
		}
	}
	return most
}

const (
	mixFirst  uint64 = 0xff51afd7ed558ccd
	mixSecond uint64 = 0xc4ceb9fe1a85ec53
)

// hash returns the first 8 bytes, big-endian, of the text's SHA-256.
func hash(text string) uint64 {
	sum := sha256.Sum256([]byte(text))
	var h uint64
	for _, b := range sum[:8] {
		h = h<<8 | uint64(b)
	}
	return h
}

// member is an upstream of a pool, however often it is listed, with its places.
type member struct {
	upstream *upstream
	places   []uint64
}

// membersOf returns the members of a pool's upstreams.
func membersOf(all []*upstream) []*member {
	shares := map[*upstream]int{}
	for _, u := range all {
		shares[u]++
	}
	var members []*member
	for _, u := range all {
		if n := shares[u]; n > 0 {
			members = append(members, &member{upstream: u, places: Places(u.address, n)})
			shares[u] = 0
		}
	}
	return members
}

// pickFor returns the usable upstream that is closest to a caller, or nil if all are left out. A
// caller without identity gets one in turns.
func pickFor(p *Pool, identity string) *upstream {
	if identity == "" {
		return pick(p)
	}
	at := HashIdentity(identity)
	var closest *upstream
	most := uint64(0)
	for _, m := range p.current.Load().(*lineup).members {
		c := Closeness(m.places, at)
		if c > most || closest == nil {
			closest = m.upstream
			most = c
		}
	}
	if closest == nil || IsUp(closest.health) {
		return closest
	}
	return pickFarther(p, at)
}

// pickFarther returns the next closest upstream if the closest has failed. One that has been left
// out for long enough is tried by its own callers.
func pickFarther(p *Pool, at uint64) *upstream {
	rest := append([]*member{}, p.current.Load().(*lineup).members...)
	for len(rest) > 0 {
		next := 0
		for i, m := range rest {
			if Closeness(m.places, at) > Closeness(rest[next].places, at) {
				next = i
			}
		}
		u := rest[next].upstream
		if IsUp(u.health) || TryAgain(u.health, u.cooldown) {
			return u
		}
		rest = append(rest[:next], rest[next+1:]...)
	}
	return nil
}
