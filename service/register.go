package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

const (
	// defaultLife is how long a registry lists an instance that it does not hear of.
	defaultLife = 15 * time.Second
	// beats is how often an instance is heard of within that time.
	beats = 5
	// farewellTime bounds the deregistration at the end.
	farewellTime = 3 * time.Second
)

// Registry is where instances register.
type Registry struct {
	// URL of the registry and the service's name there:
	//
	//	consul://host:8500/service
	//	etcd://host:2379/service
	//	nacos://host:8848/service?group=G&namespace=N
	//
	// They are found by discovery URLs of the same scheme and name. Several servers are separated by
	// commas; the next one is asked when one fails. Options are those of discovery URLs for access,
	// and `ttl`: how long the registry lists an instance that it does not hear of, at least 1s,
	// default 15s. ${NAME} is an environment variable. Required.
	URL string
	// Options outrank those in the URL: user, password, token, TLS and so on. Default: none.
	Options map[string]string
	// Logger gets a line when the instance is registered, lost, taken out, and for every new failure.
	// Default: slog.Default().
	Logger *slog.Logger
}

// Register registers an instance at the registry of a URL; see Registry, whose zero options it has.
func Register(ctx context.Context, url string, i Instance) (*Registration, error) {
	return Registry{URL: url}.Register(ctx, i)
}

// Register registers an instance and keeps it registered, until ctx ends or Deregister is called.
// It connects to nothing by itself and waits for nothing: a registry that is down is asked again,
// and one that has lost the instance is told again. The error is about the configuration: a
// problem.List.
func (g Registry) Register(ctx context.Context, i Instance) (*Registration, error) {
	r, err := g.open(i)
	if err != nil {
		return nil, err
	}
	ctx, r.cancel = context.WithCancel(ctx)
	go r.run(ctx)
	return r, nil
}

func (g Registry) open(i Instance) (*Registration, error) {
	problems := i.check()
	address, err := remote.Resolve(g.URL, g.Options, []string{"consul", "etcd", "nacos"}, nil)
	if err != nil {
		return nil, append(problem.Of(err).Under("URL"), problems...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	life, err := address.Duration("ttl", defaultLife, time.Second)
	if err != nil {
		return nil, problem.Of(err).Under("URL")
	}
	i = i.complete()
	if address.Scheme != "consul" {
		if i, err = i.located(address); err != nil {
			return nil, err
		}
	}
	w, err := writers[address.Scheme](address, i, life)
	if err != nil {
		return nil, problem.Of(err).Under("URL")
	}
	log := g.Logger
	if log == nil {
		log = slog.Default()
	}
	return &Registration{
		writer: w, pause: life / beats, changed: make(chan struct{}, 1), done: make(chan struct{}),
		registered: make(chan struct{}),
		log:        log.With("registry", address.Redacted(), "address", i.Address, "version", i.Version),
	}, nil
}

// writer tells one registry of one instance.
type writer interface {
	// keep registers the instance, or renews its registration.
	keep(ctx context.Context) error
	// suspend has the registry list the instance no longer; keep lists it again.
	suspend(ctx context.Context, why string) error
	// remove deregisters the instance.
	remove(ctx context.Context) error
	// next has the next server asked from now on.
	next()
	close()
}

var writers = map[string]func(a *remote.Address, i Instance, life time.Duration) (writer, error){
	"consul": newConsul,
	"etcd":   newEtcd,
	"nacos":  newNacos,
}

// Registration is an instance that is kept registered.
type Registration struct {
	writer  writer
	pause   time.Duration // between two renewals
	log     *slog.Logger
	cancel  context.CancelFunc
	changed chan struct{} // what is wanted has
	done    chan struct{} // the instance is deregistered

	mu           sync.Mutex
	why          string // the instance is suspended, "" if it is not
	state        RegistrationState
	hasBeen      bool
	registered   chan struct{}
	farewell     context.Context // bounds the end
	farewellDone error
}

// RegistrationState is how a registration stands.
type RegistrationState struct {
	// Registered reports whether the registry lists the instance, as far as it has been heard.
	Registered bool
	// Suspended says why the instance is taken out for now, "" if it is not.
	Suspended string
	// Error says why the registry could not be told the last time, "" if it could.
	Error string
}

// State returns how the registration stands.
func (r *Registration) State() RegistrationState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// Registered returns a channel that is closed once the registry has listed the instance.
func (r *Registration) Registered() <-chan struct{} { return r.registered }

// Done returns a channel that is closed once the instance is deregistered and nothing runs any
// more.
func (r *Registration) Done() <-chan struct{} { return r.done }

// Suspend has the registry list the instance no longer, until Resume is called. Why is for people,
// and must not be "".
func (r *Registration) Suspend(why string) { r.want(why) }

// Resume has the registry list the instance again.
func (r *Registration) Resume() { r.want("") }

func (r *Registration) want(why string) {
	r.mu.Lock()
	isNews := r.why != why
	r.why = why
	r.mu.Unlock()
	if !isNews {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default: // it is to look already
	}
}

// Deregister takes the instance out of the registry, and ends what keeps it there. It returns once
// that is done, with an error if the registry could not be told before ctx ended; the registry then
// lists the instance until its time is over. It may be called more than once.
func (r *Registration) Deregister(ctx context.Context) error {
	r.mu.Lock()
	if r.farewell == nil {
		r.farewell = ctx
	}
	r.mu.Unlock()
	r.cancel()
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.farewellDone
}

// run keeps the registry informed until ctx ends.
func (r *Registration) run(ctx context.Context) {
	defer close(r.done)
	defer r.writer.close()
	failures := 0
	for {
		pause := remote.Jitter(r.pause)
		if err := r.tell(ctx); err != nil && ctx.Err() == nil {
			pause = min(remote.Pause(failures), pause)
			failures++
			r.writer.next()
		} else {
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-r.changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			r.end(ctx)
			return
		}
	}
}

// tell tells the registry what is wanted now.
func (r *Registration) tell(ctx context.Context) error {
	r.mu.Lock()
	why := r.why
	r.mu.Unlock()
	telling, cancel := context.WithTimeout(ctx, r.pause*(beats-1))
	defer cancel()
	var err error
	if why == "" {
		err = r.writer.keep(telling)
	} else {
		err = r.writer.suspend(telling, why)
	}
	if ctx.Err() != nil {
		return err // what failed did so because all ends
	}
	r.note(RegistrationState{Registered: err == nil && why == "", Suspended: why}, err)
	return err
}

// note keeps the state and logs what is new in it.
func (r *Registration) note(now RegistrationState, err error) {
	if err != nil {
		now.Error = err.Error()
	}
	r.mu.Lock()
	before := r.state
	if err != nil {
		now.Registered = before.Registered // until its time is over
	}
	r.state = now
	if now.Registered && !r.hasBeen {
		r.hasBeen = true
		close(r.registered)
	}
	r.mu.Unlock()
	switch {
	case err != nil && before.Error == "":
		r.log.Warn("the registry cannot be told of this instance; trying again", "error", now.Error)
	case err == nil && now.Suspended != "" && (before.Suspended != now.Suspended || before.Error != ""):
		r.log.Warn("this instance is out of the registry", "reason", now.Suspended)
	case err == nil && now.Registered && (!before.Registered || before.Error != ""):
		r.log.Info("this instance is registered")
	}
}

// end deregisters the instance.
func (r *Registration) end(ctx context.Context) {
	r.mu.Lock()
	parent := r.farewell
	r.mu.Unlock()
	if parent == nil {
		parent = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(parent, farewellTime)
	defer cancel()
	err := r.writer.remove(ctx)
	for failures := 0; err != nil && remote.Sleep(ctx, remote.Pause(failures)); failures++ {
		r.writer.next()
		err = r.writer.remove(ctx)
	}
	r.mu.Lock()
	r.state = RegistrationState{}
	if err != nil {
		r.state.Error = err.Error()
	}
	r.farewellDone = err
	r.mu.Unlock()
	if err != nil {
		r.log.Warn("the registry cannot be told that this instance ends; it goes when its time is over",
			"error", err.Error())
		return
	}
	r.log.Info("this instance is deregistered")
}
