package source

import (
	"context"
	"strconv"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// etcd reads all keys at one revision, then watches from the revision after it, so that nothing
// between the two is missed. The watch brings what has changed: it is not read again.
type etcd struct {
	client    *remote.Etcd
	name      string // of the policy
	documents map[Key]Document
	revision  int64         // at which the documents are known, 0 if none is
	pasts     map[Key]*past // outlive failures
}

func newEtcd(a *remote.Address) (backend, error) {
	if err := a.Only(append([]string{"namespace"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, problem.New("", "the key is missing: want etcd://host:2379/key")
	}
	client, err := remote.NewEtcd(a)
	if err != nil {
		return nil, err
	}
	e := &etcd{client: client, name: a.Options["namespace"] + a.Path, pasts: map[Key]*past{}}
	e.forget()
	return e, nil
}

func (e *etcd) past(key Key) *past {
	p := e.pasts[key]
	if p == nil {
		p = newPast()
		e.pasts[key] = p
	}
	return p
}

func (e *etcd) close() { e.client.Close() }

// failed has everything read anew: the next server, or this one after a restore from a backup, may
// be at an earlier revision.
func (e *etcd) failed() bool {
	e.forget()
	e.client.Next()
	return false
}

func (e *etcd) forget() {
	e.revision = 0
	e.documents = map[Key]Document{}
}

func (e *etcd) read(ctx context.Context, key Key) (Document, error) {
	if d, ok := e.documents[key]; ok {
		return d, nil
	}
	keys := remote.EtcdRange{Key: key.Beside("etcd", e.name)}
	kvs, revision, err := e.client.Range(ctx, keys, e.revision, 1, 2*remote.MaxDocument)
	if err != nil {
		return Document{}, err
	}
	if e.revision == 0 { // the header of a later answer has the newest revision, not the one asked for
		e.revision = revision
	}
	p := e.past(key)
	d := Document{Missing: true}
	if len(kvs) > 0 {
		p.found(kvs[0].Revision, kvs[0].Value, e.revision)
		d = etcdDocument(&kvs[0], p)
	} else {
		p.missed(e.revision)
	}
	e.documents[key] = d
	return d, nil
}

func etcdDocument(kv *remote.EtcdKV, p *past) Document {
	if kv.Deleted {
		return Document{Missing: true}
	}
	return Document{Data: kv.Value, Revision: strconv.FormatInt(kv.Revision, 10), order: p.order(kv.Revision)}
}

func (e *etcd) wait(ctx context.Context, _ bool, news func()) error {
	watched := map[string]Key{}
	var ranges []remote.EtcdRange
	for key := range e.documents {
		name := key.Beside("etcd", e.name)
		watched[name] = key
		ranges = append(ranges, remote.EtcdRange{Key: name})
	}
	arrived := func(changes []remote.EtcdKV, revision int64) bool {
		for i := range changes {
			if key, ok := watched[changes[i].Key]; ok {
				p := e.past(key)
				p.wrote(changes[i].Revision, changes[i].Value)
				e.documents[key] = etcdDocument(&changes[i], p)
			}
		}
		if revision > e.revision {
			e.revision = revision
		}
		news()
		return ctx.Err() == nil
	}
	err := e.client.Watch(ctx, ranges, e.revision+1, 2*remote.MaxDocument, arrived)
	if err == remote.ErrCompacted {
		e.forget()
		return nil
	}
	return err
}
