package live

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core"
)

// user is a handle as its watch knows it. It does not know the watch: types that refer to each
// other in a circle are beyond Yaegi. The lock of the watch guards it, except current.
type user struct {
	service string // "" takes documents about any
	apply   func(*Current) error
	log     *slog.Logger // nil logs nothing
	cache   string

	base  *core.Engine // serves until there is a document; nil: nothing does
	isOff bool         // the policy beside the source is not enabled

	document *document // in force, nil if there is none
	rejected *Rejected // the newest document, if this handle refused it
	current  *atomic.Value
	ready    chan struct{}
	isReady  bool
}

func newUser(o Options, p *core.Policy) *user {
	u := &user{
		service: o.Service, apply: o.Apply, log: o.Logger, cache: o.Cache,
		current: newCurrent(), ready: make(chan struct{}),
	}
	if u.service == "" && p != nil {
		u.service = p.Service
	}
	return u
}

// setBase says what serves before the first document of a source.
func setBase(u *user, base *core.Engine) {
	u.isOff = !base.Enabled()
	reason := "there is no policy document yet: everybody gets the stable version"
	u.base = base.With(core.Overlay{Force: base.Stable(), Reason: reason})
}

// overlaid puts on the engine of a document what outranks its rules: where its rollout is, the
// switch, and above them a policy beside the source that is not enabled.
func overlaid(u *user, d *document, force string) *core.Engine {
	e := d.engine
	if d.rollout != nil {
		if o, err := d.rollout.Overlay(e.Rollout()); err == nil {
			e = e.With(o)
		}
	}
	if force != "" {
		e = e.With(core.Overlay{Force: force, Reason: fmt.Sprintf("the switch sends everybody to %q", force)})
	}
	if u.isOff {
		reason := "the configuration beside the source says off: everybody gets the stable version"
		e = e.With(core.Overlay{Force: e.Stable(), Reason: reason})
	}
	return e
}

// try hands what would be in force to the host, and notes it if the host takes it.
func try(u *user, next *Current) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New(fmt.Sprint("internal error: ", p))
		}
	}()
	if next.Engine != nil && next.Origin != "none" && u.service != "" && next.Engine.Service() != u.service {
		return fmt.Errorf("service: the document is about %q, not %q", next.Engine.Service(), u.service)
	}
	if u.apply != nil {
		if err := u.apply(next); err != nil {
			return err
		}
	}
	u.current.Store(next)
	if next.Origin != "none" && !u.isReady {
		u.isReady = true
		close(u.ready)
	}
	return nil
}

// reject notes that the handle refuses a document.
func reject(u *user, revision string, err error, now time.Time) {
	u.rejected = &Rejected{Revision: revision, Error: err.Error(), At: now}
}
