package store

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // Nacos names a revision by its MD5
	"encoding/hex"
	"errors"
	"time"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
)

// nacosConfirm is how long a configuration that was created may take to be readable.
const nacosConfirm = 10 * time.Second

// nacos writes with the header casMd5, which compares the MD5 of the content.
type nacos struct {
	client *remote.Nacos
	policy remote.NacosConfig
}

func newNacos(a *remote.Address, _ *source.Source) (writer, error) {
	client, err := remote.NewNacos(a)
	if err != nil {
		return nil, err
	}
	return &nacos{client, remote.NacosName(a)}, nil
}

func (n *nacos) close() { n.client.Close() }

func (n *nacos) put(ctx context.Context, key source.Key, data []byte, revision string) (string, error) {
	c := n.policy
	c.DataID = key.Beside("nacos", c.DataID)
	// Reading first tells whether the server has the interfaces of 2.x, and saves a write that the
	// comparison would refuse.
	if _, found, err := n.client.Read(ctx, c); err != nil {
		return "", err
	} else if found && revision == "" {
		return "", ErrConflict
	}
	c.MD5 = revision
	err := n.client.Write(ctx, c, data)
	if errors.Is(err, remote.ErrNacosConflict) {
		return "", ErrConflict
	}
	if err != nil {
		return "", err
	}
	if revision == "" {
		if err := n.confirm(ctx, c, data); err != nil {
			return "", err
		}
	}
	sum := md5.Sum(data) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:]), nil
}

// confirm finds out who has created a configuration. Where two do so at once Nacos 2 says "true" to
// both, though its database has taken only one (2.5.0,
// EmbeddedConfigInfoPersistServiceImpl.addConfigInfo drops the duplicate key). What it tells
// readers comes from the database, a moment later.
func (n *nacos) confirm(ctx context.Context, c remote.NacosConfig, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, nacosConfirm)
	defer cancel()
	for {
		content, found, err := n.client.Read(ctx, c)
		switch {
		case err != nil:
			return err
		case found && bytes.Equal(content, data):
			return nil
		case found:
			return ErrConflict
		}
		if !remote.Sleep(ctx, 20*time.Millisecond) {
			return errors.New("nacos does not show the configuration that was created")
		}
	}
}
