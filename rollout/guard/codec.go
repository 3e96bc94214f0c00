package guard

import (
	"encoding/binary"
	"errors"
	"math"
)

// The binary form of evidence, numbers as in encoding/binary: the version of the form, the
// tolerance, the highest ln E, the generation, the number of callers before it, the percentages,
// the counts of callers at which steps began, and the callers in order, each with its kind and its
// position. Everything else is computed from these.
const codecVersion = 1

var errCodec = errors.New("not evidence that was written by this program")

// MarshalBinary returns the evidence in a form to be kept, for a program that starts again.
func (e *Evidence) MarshalBinary() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	data := make([]byte, 0, 32+8*len(e.shares)+11*len(e.kinds))
	data = append(data, codecVersion)
	data = appendFloat(data, e.tolerance)
	data = appendFloat(data, e.highest)
	data = binary.AppendUvarint(data, uint64(e.generation))
	data = binary.AppendUvarint(data, uint64(e.before))
	data = binary.AppendUvarint(data, uint64(len(e.shares)))
	for i := range e.shares {
		data = appendFloat(data, e.shares[i].percent)
	}
	data = binary.AppendUvarint(data, uint64(len(e.begun)))
	for _, n := range e.begun {
		data = binary.AppendUvarint(data, uint64(n))
	}
	data = binary.AppendUvarint(data, uint64(len(e.kinds)))
	for i, kind := range e.kinds {
		data = binary.AppendUvarint(data, uint64(kind))
		data = binary.BigEndian.AppendUint64(data, e.seen.list[i])
	}
	return data, nil
}

// UnmarshalBinary replaces the evidence by what MarshalBinary returned.
func (e *Evidence) UnmarshalBinary(data []byte) error {
	r := &reader{data: data}
	if r.byte() != codecVersion {
		return errCodec
	}
	fresh := &Evidence{tolerance: r.float()}
	if !(fresh.tolerance >= 1 && fresh.tolerance <= math.MaxFloat32) {
		return errCodec
	}
	fresh.highest = r.float()
	if !(fresh.highest >= 0 && fresh.highest <= math.MaxFloat32) {
		return errCodec
	}
	fresh.generation = r.count(math.MaxInt32)
	fresh.before = r.count(math.MaxInt64)
	if fresh.generation < 1 {
		return errCodec
	}
	for n := r.count(maxShares); n > 0; n-- {
		percent := r.float()
		if known := len(fresh.shares); !(percent > 0 && percent < 100) || fresh.share(percent) != known {
			return errCodec
		}
	}
	var begun []int
	for n := r.count(maxCallers + 1); n > 0; n-- {
		begun = append(begun, r.count(maxCallers))
	}
	if err := fresh.replay(r, begun); err != nil {
		return err
	}
	e.replace(fresh)
	return nil
}

// replace takes over other evidence, which nobody else uses.
func (e *Evidence) replace(other *Evidence) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen, e.kinds, e.begun, e.shares = other.seen, other.kinds, other.begun, other.shares
	e.tolerance, e.arms, e.again, e.process, e.well = other.tolerance, other.arms, other.again, other.process, other.well
	e.highest, e.generation, e.before = other.highest, other.generation, other.before
}

// replay lets the callers come again.
func (e *Evidence) replay(r *reader, begun []int) error {
	callers := r.count(maxCallers)
	for seen := 0; ; seen++ {
		if len(begun) > 0 && begun[0] == seen {
			e.begin()
			begun = begun[1:]
		}
		if seen == callers {
			break
		}
		kind, position := r.count(kindShare*maxShares-1), r.uint64()
		if r.failed || kind/kindShare >= len(e.shares) {
			return errCodec
		}
		b := Bad{Position: position, Percent: e.shares[kind/kindShare].percent, Arm: Arm(kind & 1)}
		if !e.add(b) {
			return errCodec
		}
		if kind&kindAgain != 0 {
			e.add(b)
		}
	}
	if r.failed || len(r.data) > 0 || len(begun) > 0 {
		return errCodec
	}
	return nil
}

func appendFloat(data []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(data, math.Float64bits(f))
}

// reader takes numbers from data. Once it has failed it returns zeros.
type reader struct {
	data   []byte
	failed bool
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.failed = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *reader) uint64() uint64 {
	if len(r.data) < 8 {
		r.failed = true
		r.data = nil
		return 0
	}
	n := binary.BigEndian.Uint64(r.data)
	r.data = r.data[8:]
	return n
}

func (r *reader) float() float64 { return math.Float64frombits(r.uint64()) }

// count reads a number up to a highest one.
func (r *reader) count(highest int) int {
	n, size := binary.Uvarint(r.data)
	if size <= 0 || n > uint64(highest) {
		r.failed = true
		r.data = nil
		return 0
	}
	r.data = r.data[size:]
	return int(n)
}
