package live

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/internal/remote"
)

// disk keeps what a service must not lose, in files that people can read: NAME.policy.json is the
// document as the source had it, NAME.switch.json the newest switch, NAME.rollout.json where the
// rollout is, NAME.upstreams.json the instances by discovery URL.
type disk struct {
	folder string // "" keeps nothing
	name   string
}

// newDisk names the files after the source: readable, and made unique by a hash. Credentials are in
// neither.
func newDisk(folder, source string) disk { return disk{folder: folder, name: FileName(source)} }

// FileName returns a name for a file that is about a text: what people can read of the text, and a
// hash that tells it from others.
func FileName(text string) string {
	sum := sha256.Sum256([]byte(text))
	return readable(text) + "-" + hex.EncodeToString(sum[:6])
}

// readable keeps the last letters and digits of a text, the rest as dashes.
func readable(text string) string {
	var name []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			name = append(name, c)
		} else if len(name) > 0 && name[len(name)-1] != '-' {
			name = append(name, '-')
		}
	}
	if len(name) > 60 {
		name = name[len(name)-60:]
	}
	return string(name)
}

func (d disk) path(kind string) string { return filepath.Join(d.folder, d.name+"."+kind+".json") }

func (d disk) read(kind string) (data []byte, written time.Time, err error) {
	if d.folder == "" {
		return nil, time.Time{}, nil
	}
	f, err := os.Open(d.path(kind))
	if errors.Is(err, os.ErrNotExist) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	data, err = io.ReadAll(io.LimitReader(f, 4*remote.MaxDocument))
	return data, info.ModTime(), err
}

// write replaces a file so that it holds the old content or the new one, whatever happens, and is
// readable by its owner only.
func (d disk) write(kind string, data []byte) error {
	if err := d.place(kind, data, true); err != nil || d.folder == "" {
		return err
	}
	return syncFolder(d.folder)
}

// place replaces a file. Without lasting it outlives the process, and not yet the machine: that
// takes a while.
func (d disk) place(kind string, data []byte, lasting bool) error {
	if d.folder == "" {
		return nil
	}
	if err := os.MkdirAll(d.folder, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(d.folder, d.name+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && lasting {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), d.path(kind))
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
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

func (d disk) readSwitch() (*Switch, error) {
	data, _, err := d.read("switch")
	if err != nil || data == nil {
		return nil, err
	}
	s, err := ParseSwitch(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.path("switch"), err)
	}
	return &s, nil
}

func (d disk) writeSwitch(s Switch) error {
	if d.folder == "" {
		return nil
	}
	// Another process may share the folder and be ahead.
	kept, err := d.readSwitch()
	if err == nil && kept != nil && (kept.Epoch > s.Epoch || kept.Epoch == s.Epoch && kept.To == s.To) {
		return nil
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return d.write("switch", append(data, '\n'))
}

func (d disk) readRollout() (*core.RolloutState, []byte, error) {
	data, _, err := d.read("rollout")
	if err != nil || data == nil {
		return nil, nil, err
	}
	s, err := core.ParseRolloutState(data)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.path("rollout"), err)
	}
	return s, data, nil
}

func (d disk) writeRollout(s *core.RolloutState, data []byte, lasting bool) error {
	if d.folder == "" {
		return nil
	}
	// Another process may share the folder and be ahead.
	kept, _, err := d.readRollout()
	if err == nil && kept != nil && (kept.Epoch > s.Epoch || kept.Epoch == s.Epoch && !lasting) {
		return nil
	}
	if !lasting {
		return d.place("rollout", data, false)
	}
	return d.write("rollout", data)
}

func (d disk) readUpstreams() (map[string][]discover.Instance, error) {
	lists := map[string][]discover.Instance{}
	data, _, err := d.read("upstreams")
	if err == nil && data != nil {
		err = json.Unmarshal(data, &lists)
	}
	return lists, err
}
