package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/grayrelease/gray/core/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bucket is an HTTP server that keeps what is put, with ETags and their conditions.
func bucket(t *testing.T) string {
	var mu sync.Mutex
	documents := map[string]string{}
	etag := func(text string) string {
		return fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:16])
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		text, there := documents[r.URL.Path]
		if r.Method == http.MethodGet {
			if !there {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("ETag", etag(text))
			_, _ = io.WriteString(w, text)
			return
		}
		if r.Header.Get("If-None-Match") == "*" && there ||
			r.Header.Get("If-Match") != "" && (!there || r.Header.Get("If-Match") != etag(text)) {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		body, _ := io.ReadAll(r.Body)
		documents[r.URL.Path] = string(body)
		w.Header().Set("ETag", etag(string(body)))
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/user.json"
}

func TestPut(t *testing.T) {
	for name, url := range map[string]string{
		"file": "file://" + filepath.Join(t.TempDir(), "user.json"),
		"http": bucket(t),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			s, err := Open(url, nil)
			require.NoError(t, err)
			for _, key := range []source.Key{source.Policy, source.Switch} {
				d, err := s.Get(ctx, key)
				require.NoError(t, err)
				require.True(t, d.Missing)

				first, err := s.Put(ctx, key, []byte("one"), "")
				require.NoError(t, err)
				_, err = s.Put(ctx, key, []byte("two"), "")
				require.ErrorIs(t, err, ErrConflict, "there is one already")

				d, err = s.Get(ctx, key)
				require.NoError(t, err)
				require.Equal(t, "one", string(d.Data))
				require.Equal(t, first, d.Revision)

				second, err := s.Put(ctx, key, []byte("two"), first)
				require.NoError(t, err)
				_, err = s.Put(ctx, key, []byte("three"), first)
				require.ErrorIs(t, err, ErrConflict, "it was written meanwhile")
				_, err = s.Put(ctx, key, []byte("three"), second)
				require.NoError(t, err)
			}
		})
	}
}

func TestFileKeepsItsModeAndItsLink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "user.json")
	require.NoError(t, os.WriteFile(path, []byte("policy"), 0o640))
	s, err := Open("file://"+path, nil)
	require.NoError(t, err)
	_, err = s.Put(context.Background(), source.Switch, []byte("sw"), "")
	require.NoError(t, err)
	info, err := os.Stat(path + ".switch")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm(), "who may read the policy is to read the switch")

	link := filepath.Join(dir, "link.json")
	require.NoError(t, os.Symlink(path, link))
	s, err = Open("file://"+link, nil)
	require.NoError(t, err)
	d, err := s.Get(context.Background(), source.Policy)
	require.NoError(t, err)
	_, err = s.Put(context.Background(), source.Policy, []byte("next"), d.Revision)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "next", string(data))
}

func TestErrors(t *testing.T) {
	_, err := Open("redis://h/k", nil)
	require.ErrorContains(t, err, "unknown scheme")

	s, err := Open("file:///nowhere/user.json", nil)
	require.NoError(t, err)
	_, err = s.Put(context.Background(), source.Policy, []byte("x"), "")
	require.ErrorContains(t, err, "/nowhere/user.json cannot be written")

	s, err = Open("etcd://127.0.0.1:1/k", nil)
	require.NoError(t, err)
	_, err = s.Put(context.Background(), source.Policy, []byte("x"), "W/7")
	require.ErrorContains(t, err, `"W/7" is not a valid revision`)
	_, err = s.Put(context.Background(), source.Policy, []byte("x"), "")
	require.ErrorContains(t, err, "refused")

	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }))
	defer plain.Close()
	s, err = Open(plain.URL+"/k", nil)
	require.NoError(t, err)
	d, err := s.Get(context.Background(), source.Policy)
	require.NoError(t, err)
	_, err = s.Put(context.Background(), source.Policy, []byte("y"), d.Revision)
	require.ErrorContains(t, err, "no strong ETag")

	_, err = s.Put(context.Background(), source.Policy, []byte(strings.Repeat("x", 8<<20+1)), "")
	require.ErrorContains(t, err, "larger than")
}
