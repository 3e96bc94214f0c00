// Simulate shows what the guards of a rollout do: how often they roll back a release that is no
// different, and how soon one that is worse. It runs the code that gateways run, with a seed, and
// prints Markdown.
//
//	go run ./rollout/internal/simulate > docs/rollout-figures.md
package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// settings say how much is simulated.
type settings struct {
	releases   int // in which the versions do not differ, for each line
	detections int // releases that are worse, for each line
	seed       uint64
}

// random returns the random numbers of one simulation.
func (s settings) random(i int) *rand.Rand {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], s.seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(i))
	return rand.New(rand.NewChaCha8(seed))
}

func main() {
	var s settings
	flag.IntVar(&s.releases, "releases", 10000, "releases without a difference, for each line")
	flag.IntVar(&s.detections, "detections", 1001, "releases that are worse, for each line")
	flag.Uint64Var(&s.seed, "seed", 1, "seed of the random numbers")
	flag.Parse()
	if err := report(os.Stdout, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// each runs n simulations, each with a number of its own, on all processors.
func each(n int, run func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				run(int(i))
			}
		})
	}
	group.Wait()
}

// report writes everything.
func report(w io.Writer, s settings) error {
	p := &page{w: w}
	p.line("# Figures of the rollout's guards")
	p.line("")
	p.line("Made by `go run ./rollout/internal/simulate > docs/rollout-figures.md`, which simulates with the")
	p.line("code that gateways run. The [package's documentation](../rollout/guard/doc.go) describes the test.")
	p.line("The seed is %d.", s.seed)
	p.line("")
	reportFalse(p, s)
	reportDetection(p, s)
	return p.err
}

// page writes lines until that fails.
type page struct {
	w   io.Writer
	err error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}
