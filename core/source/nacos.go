package source

import (
	"context"
	"crypto/md5" //nolint:gosec // Nacos names a revision by its MD5
	"encoding/hex"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// Nacos compares first and enters the long poll after that: a change in between is told only when
// the poll ends. After a change another is likely, so the comparison alone is asked for, this many
// times, before the next poll.
const (
	nacosLooks = 20
	nacosLook  = 50 * time.Millisecond
)

// nacos holds one long poll for all configurations (2.x). The interfaces of 3.x that HTTP reaches
// have none: they are asked at an interval.
type nacos struct {
	client   *remote.Nacos
	policy   remote.NacosConfig
	interval time.Duration
	md5      map[Key]string // of what was read
	writes   map[Key]int64  // changes that were seen, not counting one that may be another server's
	isNew    map[Key]bool   // what is read next may be another server's
	looks    int            // still to do
}

func newNacos(a *remote.Address) (backend, error) {
	own := []string{"group", "namespace", "context", "api", "interval"}
	if err := a.Only(append(own, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, problem.New("", "the dataId is missing: want nacos://host:8848/dataId?group=G&namespace=N")
	}
	interval, err := a.Duration("interval", 500*time.Millisecond, 50*time.Millisecond)
	if err != nil {
		return nil, err
	}
	client, err := remote.NewNacos(a)
	if err != nil {
		return nil, err
	}
	return &nacos{
		client: client, policy: remote.NacosName(a), interval: interval,
		md5: map[Key]string{}, writes: map[Key]int64{}, isNew: map[Key]bool{},
	}, nil
}

func (n *nacos) close() { n.client.Close() }

func (n *nacos) failed() bool {
	for _, key := range keys {
		n.isNew[key] = true
	}
	n.client.Next()
	return false
}

func (n *nacos) config(key Key) remote.NacosConfig {
	c := n.policy
	c.DataID = key.Beside("nacos", c.DataID)
	c.MD5 = n.md5[key]
	return c
}

func (n *nacos) read(ctx context.Context, key Key) (Document, error) {
	data, found, err := n.client.Read(ctx, n.config(key))
	if err != nil {
		return Document{}, err
	}
	revision := ""
	if found {
		sum := md5.Sum(data) //nolint:gosec // see the import
		revision = hex.EncodeToString(sum[:])
	}
	if n.md5[key] != revision && !n.isNew[key] {
		n.writes[key]++
	}
	n.isNew[key] = false
	n.md5[key] = revision
	return Document{Data: data, Revision: revision, Missing: !found, order: n.writes[key]}, nil
}

func (n *nacos) wait(ctx context.Context, changed bool, _ func()) error {
	if n.client.V3 {
		remote.Sleep(ctx, remote.Jitter(n.interval))
		return nil
	}
	var configs []remote.NacosConfig
	for key := range n.md5 {
		configs = append(configs, n.config(key))
	}
	if changed {
		n.looks = nacosLooks
	}
	for n.looks > 0 {
		n.looks--
		if !remote.Sleep(ctx, nacosLook) {
			return nil
		}
		news, err := n.client.Changed(ctx, configs, false)
		if err != nil || news {
			return err
		}
	}
	_, err := n.client.Changed(ctx, configs, true)
	return err
}
