package caddygray

import (
	"time"

	"github.com/spf13/cobra"
)

// CommandLine returns `caddy gray`.
func CommandLine() *cobra.Command {
	cmd := &cobra.Command{Use: "gray"}
	addCommands(cmd)
	return cmd
}

// SetClock makes series end by another clock, until the function that it returns is called. That
// one ends all series that are not in use.
func SetClock(now func() time.Time) (restore func()) {
	set := func(now func() time.Time) {
		series.mu.Lock()
		defer series.mu.Unlock()
		series.now = now
		series.sweep()
	}
	set(now)
	return func() {
		end := now().Add(seriesLife)
		set(func() time.Time { return end })
		set(time.Now)
	}
}

// OnWarning has what the adapter warns of go to a function, until the one that it returns is
// called.
func OnWarning(take func(text string)) (restore func()) {
	before := logWarning
	logWarning = take
	return func() { logWarning = before }
}
