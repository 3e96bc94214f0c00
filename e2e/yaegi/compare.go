package yaegi

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Variant is one of several things that Compare times against each other.
type Variant struct {
	Name string
	Op   func()
}

// Timing is the median time of one operation of a variant, and the memory that it takes.
type Timing struct {
	Name   string
	PerOp  time.Duration
	Bytes  uint64
	Allocs uint64
}

// Compare times the variants in turns, rounds times each with n operations per turn, and returns
// the median of each. Turns alternate, so other load affects all of them alike. Compare the figures
// of one call with each other, never with those of another.
func Compare(rounds, n int, variants ...Variant) Timings {
	samples := make([][]time.Duration, len(variants))
	for round := range rounds {
		for k := range variants {
			k = (k + round) % len(variants) // none is always the one after the garbage of the same neighbour
			samples[k] = append(samples[k], timeOf(n, variants[k].Op))
		}
	}
	timings := make(Timings, len(variants))
	for k, v := range variants {
		slices.Sort(samples[k])
		timings[k] = Timing{Name: v.Name, PerOp: samples[k][len(samples[k])/2] / time.Duration(n)}
		timings[k].Bytes, timings[k].Allocs = memoryOf(n, v.Op)
	}
	return timings
}

func timeOf(n int, op func()) time.Duration {
	runtime.GC()
	start := time.Now()
	for range n {
		op()
	}
	return time.Since(start)
}

// memoryOf returns the bytes and the allocations of one operation.
func memoryOf(n int, op func()) (bytes, allocs uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		op()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / uint64(n), (after.Mallocs - before.Mallocs) / uint64(n)
}

// Timings are the results of one comparison.
type Timings []Timing

// String is a table: name, time of an operation, the factor over the first, bytes and allocations.
func (t Timings) String() string {
	var b strings.Builder
	for _, timing := range t {
		fmt.Fprintf(&b, "%-40s %10v %8.2f x %7d B %5d allocations\n", timing.Name, timing.PerOp,
			float64(timing.PerOp)/float64(t[0].PerOp), timing.Bytes, timing.Allocs)
	}
	return b.String()
}

// Serve returns an operation for Compare: the handler serves a new copy of the request each time,
// as middleware changes headers. The copy is made outside of the interpreter; subtract a variant
// with a compiled handler to see its cost.
func Serve(handler http.Handler, r *http.Request) func() {
	w := discard{http.Header{}}
	request := *r
	header := make(http.Header, len(r.Header)+4)
	return func() {
		clear(header)
		clear(w.header)
		for name, values := range r.Header {
			header[name] = values
		}
		request = *r
		request.Header = header
		handler.ServeHTTP(w, &request)
	}
}

// discard is a response writer that keeps nothing but the headers.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
