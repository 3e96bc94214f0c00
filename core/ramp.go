package core

import (
	"crypto/rand"
	"encoding/binary"
)

// ramping is what the rule of a rollout said about a caller.
type ramping struct {
	isAsked  bool // its bucket was asked
	position uint64
}

// Ramped reports whether the rule that a rollout raises asked its percentage about the caller of a
// decision: at which position, from 0 up to 2^64, and whether it took the caller. Only such callers
// can be compared: rules before it, and its own conditions, pick theirs for other reasons. It
// reports false while the percentage is 0, and where the policy has no rollout.
//
// At 100 percent it takes everybody who is asked. A caller without an identity has a random
// position then.
func Ramped(e *Engine, c *Caller, d *Decision) (position uint64, taken, ok bool) {
	if e.rollout == nil || e.force != "" {
		return 0, false, false
	}
	isRamp := d.Rule == e.rollout.Rule
	if c.ramp.isAsked {
		return c.ramp.position, isRamp, true
	}
	if !isRamp {
		return 0, false, false
	}
	return wholePosition(e, c), true, true
}

// wholePosition is the caller's position where the ramp takes everybody.
func wholePosition(e *Engine, c *Caller) uint64 {
	if id := KnownIdentity(e, c); id != "" {
		for _, r := range e.written {
			if r.isRamp {
				return saltedPosition(r.salt+"\x00", id)
			}
		}
	}
	var random [8]byte
	_, _ = rand.Read(random[:])
	return binary.BigEndian.Uint64(random[:])
}
