package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
)

// file writes under a lock that all writers take: FILE.lock, of which nothing is read. The file is
// replaced by renaming, so that whoever reads it sees the old content or the new one.
type file struct {
	policy string // its path
	source *source.Source
}

func newFile(a *remote.Address, s *source.Source) (writer, error) { return &file{a.Path, s}, nil }

func (f *file) close() {}

func (f *file) put(ctx context.Context, key source.Key, data []byte, revision string) (string, error) {
	path := key.Beside("file", f.policy)
	lock := flock.New(path + ".lock")
	if _, err := lock.TryLockContext(ctx, 2*time.Millisecond); err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	before, err := f.revision(ctx, key)
	if err != nil {
		return "", err
	}
	if before != revision {
		return "", ErrConflict
	}
	if err := replace(path, data, f.mode(path)); err != nil {
		return "", err
	}
	return f.revision(ctx, key)
}

// revision is that of the file as it is now, "" if there is none.
func (f *file) revision(ctx context.Context, key source.Key) (string, error) {
	d, err := f.source.Read(ctx, key)
	return d.Revision, err
}

// mode is that of the file or, before there is one, of the policy: who may read the policy is to
// read what stands beside it.
func (f *file) mode(path string) os.FileMode {
	for _, path := range []string{path, f.policy} {
		if info, err := os.Stat(path); err == nil {
			return info.Mode().Perm()
		}
	}
	return 0o644
}

// replace makes a file hold data, whole or not at all, and lasting.
func replace(path string, data []byte, mode os.FileMode) error {
	target, err := filepath.EvalSymlinks(path)
	if errors.Is(err, os.ErrNotExist) {
		target = path
	} else if err != nil {
		return err
	}
	folder := filepath.Dir(target)
	temporary, err := os.CreateTemp(folder, "."+filepath.Base(target)+".*")
	if err != nil {
		return fmt.Errorf("the folder cannot be written to: %w", err)
	}
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), target)
	}
	if err != nil {
		_ = os.Remove(temporary.Name())
		return err
	}
	return syncFolder(folder)
}

// syncFolder makes a rename last. Not every file system can.
func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_ = f.Sync()
	return f.Close()
}
