package proxy

import (
	"sync/atomic"
	"time"
)

// LogEvery is how often the log mentions what goes on.
const LogEvery = 10 * time.Second

// Seldom counts what happens, and says when the log is to mention it. It must not be embedded in
// another struct, because 32-bit processors require it to be aligned.
type Seldom struct {
	count    int64
	nextLine int64 // Unix time in nanoseconds
}

// Due counts one more. It returns how many there were if the log is to mention them now, else 0.
func Due(s *Seldom) int64 { return dueAt(s, time.Now()) }

func dueAt(s *Seldom, at time.Time) int64 {
	n := atomic.AddInt64(&s.count, 1)
	now, due := at.UnixNano(), atomic.LoadInt64(&s.nextLine)
	if now >= due && atomic.CompareAndSwapInt64(&s.nextLine, due, now+int64(LogEvery)) {
		return n
	}
	return 0
}
