package live

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
)

// keepPause is the least time between two writes to disk, so that a burst of changes does not wait
// for the disk. A switch is always written at once.
const keepPause = 500 * time.Millisecond

// keeper writes the last good document and the lists of instances to disk, not more often than
// every keepPause; the switch, and where a rollout is, at once. Its lock is taken inside that of
// the watch, never the other way round.
type keeper struct {
	failed func(what string, err error) // takes the watch's lock: called without ours

	flushing sync.Mutex // one flush at a time: when flush returns, all is on disk

	mu       sync.Mutex
	disk     disk
	document []byte // to be written, nil if it is on disk
	lists    map[string][]discover.Instance
	stop     func() // the timer of the next write, nil if there is none
	wrote    time.Time
}

func (k *keeper) keepDocument(data []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.document = data
}

func (k *keeper) keepLists(lists map[string][]discover.Instance) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lists = lists
}

// soon has what is to be kept written: at once, or after a pause if something was written just now.
func (k *keeper) soon() {
	k.mu.Lock()
	if k.disk.folder == "" || k.document == nil && k.lists == nil {
		k.mu.Unlock()
		return
	}
	pause := keepPause - now().Sub(k.wrote)
	if pause > 0 {
		if k.stop == nil {
			k.stop = after(pause, func() {
				defer func() { _ = recover() }()
				k.flush()
			})
		}
		k.mu.Unlock()
		return
	}
	k.mu.Unlock()
	k.flush()
}

// flush writes what is to be kept.
func (k *keeper) flush() {
	defer handled()
	k.flushing.Lock()
	defer k.flushing.Unlock()
	k.mu.Lock()
	d := k.disk
	document := k.document
	lists := k.lists
	k.document = nil
	k.lists = nil
	k.wrote = now()
	if k.stop != nil {
		k.stop()
		k.stop = nil
	}
	k.mu.Unlock()
	if document != nil {
		if err := d.write("policy", document); err != nil {
			k.failed("policy cannot be kept on disk", err)
		}
	}
	if len(lists) == 0 {
		return
	}
	data, err := json.Marshal(lists)
	if err == nil {
		err = d.write("upstreams", data)
	}
	if err != nil {
		k.failed("upstreams cannot be kept on disk", err)
	}
}

func (k *keeper) keepSwitch(s *Switch) {
	if s == nil {
		return
	}
	k.mu.Lock()
	d := k.disk
	k.mu.Unlock()
	if err := d.writeSwitch(*s); err != nil {
		k.failed("switch cannot be kept on disk: a restart may forget it", err)
	}
}

func (k *keeper) open(folder, name string) disk {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.disk = newDisk(folder, name)
	return k.disk
}

// read returns the document that the disk holds, and when it was written.
func (k *keeper) read() ([]byte, time.Time, error) {
	k.mu.Lock()
	d := k.disk
	k.mu.Unlock()
	return d.read("policy")
}

func (k *keeper) readSwitch() (*Switch, error) {
	k.mu.Lock()
	d := k.disk
	k.mu.Unlock()
	return d.readSwitch()
}

// keepRollout writes where a rollout is: soon enough to outlive the process, or lasting.
func (k *keeper) keepRollout(s *core.RolloutState, data []byte, lasting bool) {
	k.mu.Lock()
	d := k.disk
	k.mu.Unlock()
	if err := d.writeRollout(s, data, lasting); err != nil {
		k.failed("rollout state cannot be kept on disk: a restart may forget it", err)
	}
}

func (k *keeper) readRollout() (*core.RolloutState, []byte, error) {
	k.mu.Lock()
	d := k.disk
	k.mu.Unlock()
	return d.readRollout()
}
