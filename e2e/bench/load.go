// Package bench loads gateways, for tests and for measurements.
package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// AtRate calls send rate times a second until ctx is done, even if calls take long, and waits for
// all calls. It returns their number.
func AtRate(ctx context.Context, rate int, send func(n int64)) int64 {
	const tick = 5 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var calls sync.WaitGroup
	var sent int64
	started := time.Now()
	for {
		select {
		case <-ctx.Done():
			calls.Wait()
			return sent
		case <-ticker.C:
		}
		due := int64(time.Since(started).Seconds() * float64(rate))
		for ; sent < due; sent++ {
			n := sent
			calls.Go(func() { send(n) })
		}
	}
}

// Paced calls send from a number of workers until ctx is done, together rate times a second if
// calls are fast enough. Each worker makes one call at a time, as a client with one connection
// does. It returns the number of calls.
func Paced(ctx context.Context, workers, rate int, send func(worker int)) int64 {
	pause := time.Duration(workers) * time.Second / time.Duration(rate)
	var all sync.WaitGroup
	var calls atomic.Int64
	for w := range workers {
		all.Go(func() {
			time.Sleep(pause * time.Duration(w) / time.Duration(workers)) // spread over the period
			ticker := time.NewTicker(pause)
			defer ticker.Stop()
			for ctx.Err() == nil {
				send(w)
				calls.Add(1)
				select {
				case <-ctx.Done():
				case <-ticker.C:
				}
			}
		})
	}
	all.Wait()
	return calls.Load()
}

// Closed calls send from a number of workers until ctx is done, each as fast as it can. It returns
// the number of calls.
func Closed(ctx context.Context, workers int, send func(worker int)) int64 {
	var all sync.WaitGroup
	var calls atomic.Int64
	for w := range workers {
		all.Go(func() {
			for ctx.Err() == nil {
				send(w)
				calls.Add(1)
			}
		})
	}
	all.Wait()
	return calls.Load()
}
