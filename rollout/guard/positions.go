package guard

import "math/rand/v2"

// seed keeps callers that choose their positions from choosing their places in tables.
var seed = rand.Uint64() | 1

// positions is a set of bucket positions that keeps the order in which they came. Its memory grows
// with what is in it: at most 26 bytes a position.
type positions struct {
	list  []uint64
	table []uint32 // index in the list and 1, at a place that the position gives; 0 is free
}

// index returns where in the list a position is, -1 if it is not.
func (s *positions) index(position uint64) int {
	if len(s.table) == 0 {
		return -1
	}
	return int(s.table[s.place(position)]) - 1
}

// add adds a position that is not in the set.
func (s *positions) add(position uint64) {
	s.list = append(s.list, position)
	if 2*len(s.list) > len(s.table) {
		s.grow()
		return
	}
	s.table[s.place(position)] = uint32(len(s.list))
}

// place returns the place of a position in the table, or the free one where it belongs.
func (s *positions) place(position uint64) int {
	mask := len(s.table) - 1
	for at := int(position*seed>>32) & mask; ; at = (at + 1) & mask {
		i := s.table[at]
		if i == 0 || s.list[i-1] == position {
			return at
		}
	}
}

func (s *positions) grow() {
	s.table = make([]uint32, max(64, 2*len(s.table)))
	for i, position := range s.list {
		s.table[s.place(position)] = uint32(i + 1)
	}
}
