package remote

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// ErrNoLease is returned by Etcd.Renew when the lease is over.
var ErrNoLease = errors.New("etcd: the lease is over")

type etcdLease struct {
	ID  string `json:"ID"`
	TTL string `json:"TTL,omitempty"`
}

type etcdRenewed struct {
	Result etcdLease      `json:"result"`
	Error  etcdWatchError `json:"error"`
}

// Grant makes a lease, whose keys go when it is not renewed in time. The server may round the time
// up.
func (e *Etcd) Grant(ctx context.Context, ttl time.Duration) (lease int64, err error) {
	seconds := int64((ttl + time.Second - 1) / time.Second)
	var answer etcdLease
	request := etcdLease{ID: "0", TTL: strconv.FormatInt(seconds, 10)}
	if err := e.call(ctx, "/v3/lease/grant", request, &answer, 64<<10); err != nil {
		return 0, err
	}
	lease, err = strconv.ParseInt(answer.ID, 10, 64)
	if err != nil {
		return 0, errors.New("etcd: a lease without an id")
	}
	return lease, nil
}

// Renew renews a lease. The error is ErrNoLease if there is none.
func (e *Etcd) Renew(ctx context.Context, lease int64) error {
	var answer etcdRenewed
	request := etcdLease{ID: strconv.FormatInt(lease, 10)}
	if err := e.call(ctx, "/v3/lease/keepalive", request, &answer, 64<<10); err != nil {
		return err
	}
	if answer.Error.Message != "" {
		return e.Unexpected(200, []byte(answer.Error.Message))
	}
	if answer.Result.TTL == "" || answer.Result.TTL == "0" {
		return ErrNoLease
	}
	return nil
}

// Revoke ends a lease, and removes its keys.
func (e *Etcd) Revoke(ctx context.Context, lease int64) error {
	var answer etcdHeader
	return e.call(ctx, "/v3/lease/revoke", etcdLease{ID: strconv.FormatInt(lease, 10)}, &answer, 64<<10)
}

type etcdLeaseCompare struct {
	Key    []byte `json:"key"`
	Target string `json:"target"`
	Result string `json:"result"`
	Lease  string `json:"lease"`
}

type etcdLeasePut struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
	Lease string `json:"lease"`
}

type etcdLeaseOperation struct {
	Put etcdLeasePut `json:"request_put"`
}

type etcdLeaseTransaction struct {
	Compare []etcdLeaseCompare   `json:"compare"`
	Failure []etcdLeaseOperation `json:"failure"`
}

// Hold writes a key under a lease, unless it is there under that lease.
func (e *Etcd) Hold(ctx context.Context, key string, value []byte, lease int64) error {
	id := strconv.FormatInt(lease, 10)
	request := etcdLeaseTransaction{
		Compare: []etcdLeaseCompare{{[]byte(key), "LEASE", "EQUAL", id}},
		Failure: []etcdLeaseOperation{{etcdLeasePut{[]byte(key), value, id}}},
	}
	var answer etcdTransactionResponse
	return e.call(ctx, "/v3/kv/txn", request, &answer, 64<<10)
}
