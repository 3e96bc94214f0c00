package source

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/internal/remote"
)

// consul waits by a blocking query on the names of the keys that start with the document's key, which also answers when a value changes, and
// then reads the two keys. So one connection serves both, and what else lies under the prefix is never transferred.
type consul struct {
	client *remote.Consul
	key    string
	query  string // datacenter, namespace, partition
	index  int64
	seen   []int64 // ModifyIndex by Part: 0 not read yet, -1 missing
}

func newConsul(a *remote.Address) (watcher, error) {
	if err := a.Only(append([]string{"dc", "namespace", "partition"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	key := strings.TrimPrefix(a.Path, "v1/kv/")
	if key == "" {
		return nil, errors.New("address: the key is missing: want consul://host:8500/key")
	}
	client, err := remote.NewConsul(a)
	if err != nil {
		return nil, err
	}
	return &consul{client: client, key: key, query: client.Scope(a), seen: []int64{0, 0}}, nil
}

func (c *consul) close() { c.client.Close() }

func (c *consul) run(ctx context.Context, emit func(Event)) error {
	err := c.follow(ctx, emit)
	if err != nil {
		c.index = 0
		c.seen = []int64{0, 0}
		c.client.Next()
	}
	return err
}

func (c *consul) follow(ctx context.Context, emit func(Event)) error {
	for ctx.Err() == nil {
		resp, index, err := c.client.Get(ctx, c.path(c.key)+"&keys&separator=/", c.index, 1<<20)
		if err != nil {
			return err
		}
		if resp.Status != 200 && !missingKey(resp) {
			return c.client.Unexpected(resp.Status, resp.Body)
		}
		changed := false
		for _, part := range []Part{Switch, Policy} {
			news, err := c.read(ctx, part, emit)
			if err != nil {
				return err
			}
			changed = changed || news
		}
		if !changed {
			emit(Event{Contact: true})
			// A neighbour under the same prefix may change all the time.
			if !remote.Sleep(ctx, 20*time.Millisecond) {
				return nil
			}
		}
		c.index = index
	}
	return nil
}

func (c *consul) path(key string) string {
	return "/v1/kv/" + (&url.URL{Path: key}).EscapedPath() + "?" + c.query
}

type consulKV struct {
	ModifyIndex int64  `json:"ModifyIndex"`
	Value       []byte `json:"Value"`
}

// read reads one key and reports it when it is not what was reported last.
func (c *consul) read(ctx context.Context, part Part, emit func(Event)) (news bool, err error) {
	key := c.key
	if part == Switch {
		key += "/switch"
	}
	resp, _, err := c.client.Get(ctx, c.path(key), 0, 2*remote.MaxDocument)
	if err != nil {
		return false, err
	}
	if missingKey(resp) {
		if c.seen[part] == -1 {
			return false, nil
		}
		c.seen[part] = -1
		emit(Event{Part: part, Missing: true})
		return true, nil
	}
	var kvs []consulKV
	if resp.Status != 200 || json.Unmarshal(resp.Body, &kvs) != nil || len(kvs) != 1 {
		return false, c.client.Unexpected(resp.Status, resp.Body)
	}
	if c.seen[part] == kvs[0].ModifyIndex {
		return false, nil
	}
	c.seen[part] = kvs[0].ModifyIndex
	emit(Event{Part: part, Data: kvs[0].Value, Revision: strconv.FormatInt(kvs[0].ModifyIndex, 10)})
	return true, nil
}

// missingKey tells Consul's answer for a key that does not exist from the 404 of something that is no Consul.
func missingKey(resp *remote.Response) bool {
	return resp.Status == 404 && resp.Header.Get("X-Consul-Index") != ""
}
