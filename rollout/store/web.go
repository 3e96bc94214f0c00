package store

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
)

// web writes with PUT and If-Match, which compares the ETag (RFC 9110, section 13.1.1).
type web struct {
	client  *remote.Client
	address *remote.Address
}

func newWeb(a *remote.Address, _ *source.Source) (writer, error) {
	client, err := remote.NewWeb(a)
	if err != nil {
		return nil, err
	}
	return &web{client, a}, nil
}

func (w *web) close() { w.client.Close() }

func (w *web) put(ctx context.Context, key source.Key, data []byte, revision string) (string, error) {
	header := map[string]string{"Content-Type": "application/json"}
	switch {
	case revision == "":
		header["If-None-Match"] = "*"
	case strings.HasPrefix(revision, `"`):
		header["If-Match"] = revision
	default:
		return "", errors.New("the server names no strong ETag, by which two writers could be told apart")
	}
	path := remote.WebPath(w.address, key.Beside(w.address.Scheme, w.address.RawPath))
	resp, err := w.client.Do(ctx, remote.Request{Method: http.MethodPut, Path: path, Header: header, Body: data})
	if err != nil {
		return "", err
	}
	switch resp.Status {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		return resp.Header.Get("ETag"), nil
	case http.StatusPreconditionFailed:
		return "", ErrConflict
	}
	return "", w.client.Unexpected(resp.Status, resp.Body)
}
