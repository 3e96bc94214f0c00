package source

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/grayrelease/gray/internal/remote"
)

// A file that changed less than this ago may change again without its time or size telling: it is read at every turn.
const fileSettled = 2 * time.Second

// file polls a file and its switch file. It follows symbolic links at each turn, so that the way in which Kubernetes replaces
// a mounted ConfigMap is seen.
type file struct {
	interval time.Duration
	parts    []*filePart
	contact  time.Time
}

type filePart struct {
	part    Part
	path    string
	info    os.FileInfo
	data    []byte
	missing bool
	known   bool
}

func newFile(a *remote.Address) (watcher, error) {
	if err := a.Only("interval"); err != nil {
		return nil, err
	}
	interval, err := a.Duration("interval", 50*time.Millisecond, 10*time.Millisecond)
	if err != nil {
		return nil, err
	}
	if a.Path == "" || a.Path[0] != '/' {
		return nil, errors.New("address: want file:///path")
	}
	// The switch first, as it outranks the document.
	return &file{interval: interval, parts: []*filePart{
		{part: Switch, path: a.Path + ".switch"},
		{part: Policy, path: a.Path},
	}}, nil
}

func (f *file) close() {}

func (f *file) run(ctx context.Context, emit func(Event)) error {
	for {
		var failure error
		for _, p := range f.parts { // one that cannot be read does not keep the other from being
			if err := p.poll(emit); err != nil && failure == nil {
				failure = err
			}
		}
		if failure != nil {
			return failure
		}
		if time.Since(f.contact) > time.Second {
			f.contact = time.Now()
			emit(Event{Contact: true})
		}
		if !remote.Sleep(ctx, f.interval) {
			return nil
		}
	}
}

func (p *filePart) poll(emit func(Event)) error {
	info, err := os.Stat(p.path)
	if errors.Is(err, os.ErrNotExist) {
		if !p.known || !p.missing {
			p.known, p.missing = true, true
			p.info = nil
			p.data = nil
			emit(Event{Part: p.part, Missing: true})
		}
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", p.path)
	}
	if p.unchanged(info) {
		return nil
	}
	if info.Size() == 0 && time.Since(info.ModTime()) < time.Second {
		return nil // a writer that writes in place begins so
	}
	data, err := readFile(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.info = info
	if p.known && !p.missing && bytes.Equal(data, p.data) {
		return nil
	}
	p.known, p.missing, p.data = true, false, data
	sum := sha256.Sum256(data)
	emit(Event{Part: p.part, Data: data, Revision: hex.EncodeToString(sum[:6])})
	return nil
}

func (p *filePart) unchanged(info os.FileInfo) bool {
	if p.info == nil || !os.SameFile(p.info, info) || p.info.Size() != info.Size() || !p.info.ModTime().Equal(info.ModTime()) {
		return false
	}
	age := time.Since(info.ModTime())
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
