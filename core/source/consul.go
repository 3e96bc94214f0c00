package source

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// A neighbour under the same prefix may change all the time: what is no news is looked at not more
// often than this.
const consulPause = 20 * time.Millisecond

// consul waits by a blocking query on the names of the keys that start with the policy's key, which
// also answers when a value changes. So one connection serves all, and what else lies under the
// prefix is never transferred.
type consul struct {
	client *remote.Consul
	name   string // of the policy
	index  int64
}

func newConsul(a *remote.Address) (backend, error) {
	if err := a.Only(append([]string{"dc", "namespace", "partition"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(a.Path, "v1/kv/")
	if name == "" {
		return nil, problem.New("", "the key is missing: want consul://host:8500/key")
	}
	client, err := remote.NewConsul(a)
	if err != nil {
		return nil, err
	}
	return &consul{client: client, name: name}, nil
}

func (c *consul) close() { c.client.Close() }

func (c *consul) failed() bool {
	c.index = 0
	c.client.Next()
	return false
}

func (c *consul) read(ctx context.Context, key Key) (Document, error) {
	kv, err := c.client.Read(ctx, key.Beside("consul", c.name), remote.MaxDocument)
	if err != nil || kv == nil {
		return Document{Missing: true}, err
	}
	return Document{Data: kv.Value, Revision: strconv.FormatInt(kv.Index, 10), order: kv.Index}, nil
}

func (c *consul) wait(ctx context.Context, changed bool, _ func()) error {
	if !changed && !remote.Sleep(ctx, consulPause) {
		return nil
	}
	index, err := c.client.Wait(ctx, c.name, c.index)
	c.index = index
	return err
}
