package live

import "time"

// What tests replace: the time, and what they await instead of it.
var (
	// now tells the time.
	now = time.Now
	// after calls f once d has passed, unless the function that it returns is called before.
	after = func(d time.Duration, f func()) (stop func()) {
		t := time.AfterFunc(d, f)
		return func() { t.Stop() }
	}
	// handled is called after everything that may have changed a state.
	handled = func() {}
)
