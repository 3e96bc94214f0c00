package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
)

// etcd writes in a transaction that compares the revision of the key's last change.
type etcd struct {
	client *remote.Etcd
	policy string
}

func newEtcd(a *remote.Address, _ *source.Source) (writer, error) {
	client, err := remote.NewEtcd(a)
	if err != nil {
		return nil, err
	}
	return &etcd{client, a.Options["namespace"] + a.Path}, nil
}

func (e *etcd) close() { e.client.Close() }

func (e *etcd) put(ctx context.Context, key source.Key, data []byte, revision string) (string, error) {
	seen, err := index(revision)
	if err != nil {
		return "", err
	}
	written, at, err := e.client.Put(ctx, key.Beside("etcd", e.policy), data, seen)
	if err != nil {
		return "", err
	}
	if !written {
		return "", ErrConflict
	}
	return strconv.FormatInt(at, 10), nil
}

// index reads a revision that is a number; "" is 0, which stands for no document in etcd and
// Consul.
func index(revision string) (int64, error) {
	if revision == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(revision, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a valid revision: want a number", revision)
	}
	return n, nil
}
