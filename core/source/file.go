package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// Who writes a file may take a while. What changed less than fileSettling ago may not be all; what
// changed less than fileSettled ago may change again without its time or size telling, and is read
// at every turn.
const (
	fileSettling = time.Second
	fileSettled  = 2 * time.Second
)

// file polls files. It follows symbolic links at each turn, so that the way in which Kubernetes
// replaces a mounted ConfigMap is seen.
type file struct {
	path     string
	interval time.Duration
	last     map[Key]*fileContent
}

// fileContent is what was read last.
type fileContent struct {
	info     os.FileInfo // nil if there is no such file
	document Document
}

func newFile(a *remote.Address) (backend, error) {
	if err := a.Only("interval"); err != nil {
		return nil, err
	}
	interval, err := a.Duration("interval", 50*time.Millisecond, 10*time.Millisecond)
	if err != nil {
		return nil, err
	}
	if a.Path == "" || a.Path[0] != '/' {
		return nil, problem.New("", "the path is missing: want file:///path")
	}
	return &file{path: a.Path, interval: interval, last: map[Key]*fileContent{}}, nil
}

func (f *file) close() {}

func (f *file) failed() bool { return true }

func (f *file) wait(ctx context.Context, _ bool, _ func()) error {
	remote.Sleep(ctx, f.interval)
	return nil
}

func (f *file) read(_ context.Context, key Key) (Document, error) {
	path := key.Beside("file", f.path)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return f.keep(key, nil, Document{Missing: true}), nil
	}
	if err != nil {
		return Document{}, err
	}
	if !info.Mode().IsRegular() {
		return Document{}, fmt.Errorf("%s is not a regular file", path)
	}
	last := f.last[key]
	if last != nil && isUnchanged(last.info, info) {
		last.document.Settling = false
		return last.document, nil
	}
	data, err := readFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return f.keep(key, nil, Document{Missing: true}), nil
	}
	if err != nil {
		return Document{}, err
	}
	sum := sha256.Sum256(data)
	age := time.Since(info.ModTime())
	return f.keep(key, info, Document{
		Data: data, Revision: hex.EncodeToString(sum[:6]), order: info.ModTime().UnixNano(),
		Settling: age < fileSettling && age > -fileSettling,
	}), nil
}

func (f *file) keep(key Key, info os.FileInfo, d Document) Document {
	f.last[key] = &fileContent{info, d}
	return d
}

func isUnchanged(before, now os.FileInfo) bool {
	if before == nil || !os.SameFile(before, now) || before.Size() != now.Size() ||
		!before.ModTime().Equal(now.ModTime()) {
		return false
	}
	age := time.Since(now.ModTime())
	return age > fileSettled || age < -fileSettled
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, remote.MaxDocument+1))
	if err == nil && len(data) > remote.MaxDocument {
		err = fmt.Errorf("%s is larger than %d bytes", path, remote.MaxDocument)
	}
	return data, err
}
