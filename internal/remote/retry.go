package remote

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"time"
)

const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// A run that lasted this long was sound: what ended it is treated as a first failure.
	soundRun = 10 * time.Second
)

// Loop calls run again and again until ctx ends. When run fails, failed is told why and a pause
// follows that doubles from 100 ms to 5 s, with jitter so that the instances of a gateway do not
// come back all at once. A panic of run counts as a failure: left alone it would end the gateway.
func Loop(ctx context.Context, run func(context.Context) error, failed func(error)) {
	failures := 0
	for ctx.Err() == nil {
		started := time.Now()
		err := Protect(ctx, run)
		if ctx.Err() != nil {
			return
		}
		lasted := time.Since(started)
		if err != nil {
			failed(err)
		}
		if lasted > soundRun {
			failures = 0
		}
		if err == nil && lasted > time.Second {
			failures = 0
			continue
		}
		if !Sleep(ctx, Pause(failures)) {
			return
		}
		failures++
	}
}

// Pause is how long to wait after the given number of failures in a row; the first retry comes
// almost at once.
func Pause(failures int) time.Duration {
	if failures == 0 {
		return time.Duration(rand.Int63n(int64(firstPause / 2)))
	}
	d := lastPause
	if failures < 7 {
		d = firstPause << uint(failures-1)
	}
	return d/2 + time.Duration(rand.Int63n(int64(d)))
}

// Jitter spreads d by up to a tenth, either way.
func Jitter(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + time.Duration(rand.Int63n(int64(d/5)))
}

// Sleep waits for d and tells whether ctx is still alive.
//
// It must not select: goroutines that are in one select statement at the same time wait for each
// other's channels in Yaegi, which keeps one list of them for all (v0.16.1, interp/run.go,
// _select).
func Sleep(ctx context.Context, d time.Duration) bool {
	c, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-c.Done()
	return ctx.Err() == nil
}

// Protect runs a function and makes an error of its panic.
func Protect(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(fmt.Sprint("internal error: ", p))
		}
	}()
	return run(ctx)
}
