package main

import (
	"hash/fnv"

	"github.com/grayrelease/gray/rollout/guard"
)

// mostExact is how many callers are counted exactly.
const mostExact = 1000

// callers counts distinct callers: exactly while they are few, then by a sketch. One goroutine uses
// it.
type callers struct {
	few  map[uint64]struct{} // nil once they are many
	many *guard.Callers
}

func (c *callers) add(identity string) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(identity))
	c.addHash(mix(h.Sum64()))
}

// mix spreads what distinguishes hashes over all of their bits (the finalizer of MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (c *callers) addHash(h uint64) {
	if c.many != nil {
		c.many.Add(h)
		return
	}
	if c.few == nil {
		c.few = map[uint64]struct{}{}
	}
	c.few[h] = struct{}{}
	if len(c.few) > mostExact {
		c.spill()
	}
}

// spill goes over to the sketch.
func (c *callers) spill() {
	c.many = &guard.Callers{}
	for h := range c.few {
		c.many.Add(h)
	}
	c.few = nil
}

func (c *callers) count() int {
	if c.many != nil {
		return c.many.Count()
	}
	return len(c.few)
}

func (c *callers) merge(other *callers) {
	if other.many != nil {
		if c.many == nil {
			c.spill()
		}
		c.many.Merge(other.many)
	}
	for h := range other.few {
		c.addHash(h)
	}
}
