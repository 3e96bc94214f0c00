package guard

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	subBits    = 5  // 32 buckets for each doubling: 3 %
	lowestBits = 10 // shorter than about a microsecond is all one
	octaves    = 30 // longer than about 18 minutes too
	buckets    = octaves << subBits

	minutesKept   = 10
	leastRequests = 100 // fewer say nothing about a quantile
)

// Latency knows how long stable's requests took in the last finished minutes, to 3 %. Only what is
// past counts, so that "slow" is settled before a request begins and means the same in both arms.
// It is safe for concurrent use; adding a request allocates nothing.
type Latency struct {
	current atomic.Pointer[histogram]

	mu       sync.Mutex
	finished []*histogram // of the last minutes, the oldest first
}

type histogram [buckets]atomic.Uint32

// NewLatency returns a Latency without requests.
func NewLatency() *Latency {
	l := &Latency{}
	l.current.Store(&histogram{})
	return l
}

// Add counts a request of stable's.
func (l *Latency) Add(took time.Duration) {
	l.current.Load()[bucketOf(took)].Add(1)
}

// Turn ends the current minute.
func (l *Latency) Turn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finished = append(l.finished, l.current.Swap(&histogram{}))
	if len(l.finished) > minutesKept {
		l.finished = l.finished[1:]
	}
}

// Quantile returns the time that a share q of the requests of the finished minutes did not exceed,
// 0 if there were too few.
func (l *Latency) Quantile(q float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all [buckets]uint64
	var total uint64
	for _, minute := range l.finished {
		for i := range minute {
			n := uint64(minute[i].Load())
			all[i] += n
			total += n
		}
	}
	if total < leastRequests {
		return 0
	}
	var under uint64
	for i, n := range &all {
		under += n
		if float64(under) >= q*float64(total) {
			return upperEnd(i)
		}
	}
	return upperEnd(buckets - 1)
}

// bucketOf returns the bucket of a duration: its highest bits.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0)) >> (lowestBits - subBits) // 32 and more from a microsecond on
	if n < 1<<subBits {
		return 0
	}
	octave := bits.Len64(n) - subBits - 1
	return min(octave<<subBits+int(n>>octave)&(1<<subBits-1), buckets-1)
}

// upperEnd returns the longest duration of a bucket.
func upperEnd(bucket int) time.Duration {
	octave, sub := bucket>>subBits, uint64(bucket&(1<<subBits-1))
	return time.Duration((sub+1<<subBits+1)<<octave<<(lowestBits-subBits)) - 1
}
