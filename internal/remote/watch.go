package remote

import "context"

// Watcher follows what is at an address.
type Watcher interface {
	// Run reports what there is, then each change, until ctx or an error ends it. Called again, it
	// goes on.
	Run(ctx context.Context) error
	// Close ends the connection.
	Close()
}

// Watch opens a watcher and runs it until ctx ends, again after every failure: see Loop, which
// tells failed why. The watcher is closed in the end.
func Watch(ctx context.Context, open func() (Watcher, error), failed func(error)) {
	var w Watcher
	Loop(ctx, func(ctx context.Context) error {
		if w == nil {
			opened, err := open()
			if err != nil {
				return err
			}
			w = opened
		}
		return w.Run(ctx)
	}, failed)
	if w != nil {
		w.Close()
	}
}
