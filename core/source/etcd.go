package source

import (
	"context"
	"errors"
	"strconv"

	"github.com/grayrelease/gray/internal/remote"
)

// etcd reads both keys at one revision, then watches from the revision after it, so that nothing between the two is missed.
type etcd struct {
	client *remote.Etcd
	keys   []string // by Part
	next   int64    // the first revision not seen; 0 is none seen
}

func newEtcd(a *remote.Address) (watcher, error) {
	if err := a.Only(append([]string{"namespace"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, errors.New("address: the key is missing: want etcd://host:2379/key")
	}
	client, err := remote.NewEtcd(a)
	if err != nil {
		return nil, err
	}
	key := a.Options["namespace"] + a.Path
	return &etcd{client: client, keys: []string{key, key + "/switch"}}, nil
}

func (e *etcd) close() { e.client.Close() }

func (e *etcd) run(ctx context.Context, emit func(Event)) error {
	err := e.follow(ctx, emit)
	if err == remote.ErrCompacted {
		e.next = 0
		return nil
	}
	if err != nil {
		// The next server, or this one after a restore from a backup, may be at an earlier revision: read anew.
		e.next = 0
		e.client.Next()
	}
	return err
}

func (e *etcd) follow(ctx context.Context, emit func(Event)) error {
	if e.next == 0 {
		if err := e.read(ctx, emit); err != nil {
			return err
		}
	}
	ranges := []remote.EtcdRange{{Key: e.keys[Policy]}, {Key: e.keys[Switch]}}
	return e.client.Watch(ctx, ranges, e.next, 2*remote.MaxDocument,
		func() { emit(Event{Contact: true}) },
		func(changes []remote.EtcdKV, revision int64) {
			e.report(changes, emit)
			if revision >= e.next {
				e.next = revision + 1
			}
		})
}

// read reports both keys as they are at one revision. The switch goes first, as it outranks the document.
func (e *etcd) read(ctx context.Context, emit func(Event)) error {
	var at int64
	for _, part := range []Part{Switch, Policy} {
		kvs, revision, err := e.client.Range(ctx, remote.EtcdRange{Key: e.keys[part]}, at, 1, 2*remote.MaxDocument)
		if err != nil {
			return err
		}
		at = revisionRead(at, revision)
		if len(kvs) == 0 {
			kvs = []remote.EtcdKV{{Key: e.keys[part], Deleted: true}}
		}
		e.report(kvs, emit)
	}
	e.next = at + 1
	return nil
}

// revisionRead is the revision to read the next key at: that of the first. (The header always holds the newest one.)
func revisionRead(first, answered int64) int64 {
	if first == 0 {
		return answered
	}
	return first
}

// report tells the last state of each key among the changes.
func (e *etcd) report(changes []remote.EtcdKV, emit func(Event)) {
	for _, part := range []Part{Switch, Policy} {
		for i := len(changes) - 1; i >= 0; i-- {
			if changes[i].Key != e.keys[part] {
				continue
			}
			if changes[i].Deleted {
				emit(Event{Part: part, Missing: true})
			} else {
				emit(Event{Part: part, Data: changes[i].Value, Revision: strconv.FormatInt(changes[i].Revision, 10)})
			}
			break
		}
	}
}
