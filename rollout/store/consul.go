package store

import (
	"context"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
)

// consul writes in a transaction that compares the index of the key's last change.
type consul struct {
	client *remote.Consul
	policy string
}

func newConsul(a *remote.Address, _ *source.Source) (writer, error) {
	client, err := remote.NewConsul(a)
	if err != nil {
		return nil, err
	}
	return &consul{client, strings.TrimPrefix(a.Path, "v1/kv/")}, nil
}

func (c *consul) close() { c.client.Close() }

func (c *consul) put(ctx context.Context, key source.Key, data []byte, revision string) (string, error) {
	seen, err := index(revision)
	if err != nil {
		return "", err
	}
	written, at, err := c.client.Put(ctx, key.Beside("consul", c.policy), data, seen)
	if err != nil {
		return "", err
	}
	if !written {
		return "", ErrConflict
	}
	return strconv.FormatInt(at, 10), nil
}
