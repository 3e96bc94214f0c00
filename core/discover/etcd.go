package discover

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// etcd follows the endpoint records under a prefix:
// {"Op":0,"Addr":"10.0.0.1:8080","Metadata":{"version":"v2"}}. A record ends with its lease, so an
// instance that stops renewing it leaves the list.
type etcd struct {
	address *remote.Address
	client  *remote.Etcd
	span    remote.EtcdRange
	wanted  map[string]string
	records map[string]etcdRecord // by key, of the records that match
	next    int64
}

func newEtcd(a *remote.Address) (registry, error) {
	if a.Path == "" {
		return nil, problem.New("", "the prefix is missing: want etcd://host:2379/prefix/?version=v2")
	}
	client, err := remote.NewEtcd(a)
	if err != nil {
		return nil, err
	}
	span := remote.EtcdPrefix(a.Options["namespace"] + a.Path)
	return &etcd{address: a, client: client, span: span, wanted: metadata(a, "namespace")}, nil
}

func (e *etcd) close() { e.client.Close() }

func (e *etcd) run(ctx context.Context, emit func([]Instance)) error {
	err := e.follow(ctx, emit)
	if err != nil {
		e.next = 0
	}
	if err == remote.ErrCompacted {
		return nil
	}
	if err != nil {
		e.client.Next()
	}
	return err
}

func (e *etcd) follow(ctx context.Context, emit func([]Instance)) error {
	if e.next == 0 {
		if err := e.read(ctx); err != nil {
			return err
		}
	}
	if err := e.report(emit); err != nil {
		return err
	}
	var failure error
	ranges := []remote.EtcdRange{e.span}
	err := e.client.Watch(ctx, ranges, e.next, 16<<20, func(changes []remote.EtcdKV, revision int64) bool {
		for i := range changes {
			e.apply(&changes[i])
		}
		if revision >= e.next {
			e.next = revision + 1
		}
		failure = e.report(emit)
		return failure == nil
	})
	if failure != nil {
		return failure
	}
	return err
}

func (e *etcd) read(ctx context.Context) error {
	kvs, revision, err := e.client.Range(ctx, e.span, 0, MaxInstances, maxAnswer)
	if err != nil {
		return err
	}
	e.records = map[string]etcdRecord{}
	for i := range kvs {
		e.apply(&kvs[i])
	}
	e.next = revision + 1
	return nil
}

// etcdRecord is an endpoint record that matches.
type etcdRecord struct {
	address string
	weight  float64
	version string
}

type endpoint struct {
	Op       int             `json:"Op"`
	Addr     string          `json:"Addr"`
	Metadata json.RawMessage `json:"Metadata"`
}

// apply takes one record in or out. What is no endpoint record is nobody's instance.
func (e *etcd) apply(kv *remote.EtcdKV) {
	delete(e.records, kv.Key)
	if kv.Deleted {
		return
	}
	var record endpoint
	const opDelete = 1
	if json.Unmarshal(kv.Value, &record) != nil || record.Op == opDelete {
		return
	}
	have := texts(record.Metadata)
	if matches(have, e.wanted) && len(e.records) <= MaxInstances {
		e.records[kv.Key] = etcdRecord{address: record.Addr, weight: recordWeight(have), version: have[versionField]}
	}
}

// recordWeight is the metadata "weight", for which endpoint records have no field of their own.
func recordWeight(metadata map[string]string) float64 {
	text, given := metadata["weight"]
	if !given {
		return 1
	}
	weight, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 1
	}
	return weight
}

// texts reads metadata, which may be anything, as names with texts.
func texts(raw json.RawMessage) map[string]string {
	var values map[string]any
	if json.Unmarshal(raw, &values) != nil {
		return nil
	}
	out := map[string]string{}
	for name, value := range values {
		if s, ok := value.(string); ok {
			out[name] = s
		} else {
			out[name] = fmt.Sprint(value)
		}
	}
	return out
}

func (e *etcd) report(emit func([]Instance)) error {
	l := newList(e.address)
	for _, r := range e.records {
		l.addText(r.address, r.weight, r.version)
	}
	instances, err := l.sorted()
	if err == nil {
		emit(instances)
	}
	return err
}
