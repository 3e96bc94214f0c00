package service

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// etcd writes the endpoint records of etcd's naming package, under a lease.
//
// go.etcd.io/etcd/client/v3 would be the kept library for it; see docs/services.md for why it is
// not used.
type etcd struct {
	client *remote.Etcd
	key    string
	record []byte
	life   time.Duration
	lease  int64 // 0: none
}

type etcdRecord struct {
	Op       int
	Addr     string
	Metadata map[string]string
}

func newEtcd(a *remote.Address, i Instance, life time.Duration) (writer, error) {
	if err := a.Only(append([]string{"ttl", "namespace"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(a.Path, "/")
	if name == "" {
		return nil, problem.New("", "the service is missing: want etcd://host:2379/service")
	}
	client, err := remote.NewEtcd(a)
	if err != nil {
		return nil, err
	}
	client.Timeout = min(client.Timeout, life/2)
	if i.Weight != 1 {
		i.Metadata[weightField] = strconv.FormatFloat(i.Weight, 'g', -1, 64)
	}
	record, err := json.Marshal(etcdRecord{Addr: i.Address, Metadata: i.Metadata})
	if err != nil {
		return nil, err
	}
	key := a.Options["namespace"] + name + "/" + i.Address
	return &etcd{client: client, key: key, record: record, life: life}, nil
}

func (e *etcd) keep(ctx context.Context) error {
	if e.lease != 0 {
		err := e.client.Renew(ctx, e.lease)
		if errors.Is(err, remote.ErrNoLease) {
			e.lease = 0
		} else if err != nil {
			return err
		}
	}
	if e.lease == 0 {
		lease, err := e.client.Grant(ctx, e.life)
		if err != nil {
			return err
		}
		e.lease = lease
	}
	err := e.client.Hold(ctx, e.key, e.record, e.lease)
	if err != nil && ctx.Err() == nil {
		e.lease = 0 // the server may have lost it in between
	}
	return err
}

func (e *etcd) suspend(ctx context.Context, _ string) error { return e.remove(ctx) }

func (e *etcd) remove(ctx context.Context) error {
	if e.lease == 0 {
		return nil
	}
	// A lease that is over is not an error, and neither is one that the server has lost.
	err := e.client.Renew(ctx, e.lease)
	if err == nil {
		err = e.client.Revoke(ctx, e.lease)
	}
	if err == nil || errors.Is(err, remote.ErrNoLease) {
		e.lease = 0
		return nil
	}
	return err
}

func (e *etcd) next()  { e.client.Next() }
func (e *etcd) close() { e.client.Close() }
