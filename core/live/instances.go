package live

import (
	"log/slog"

	"github.com/grayrelease/gray/core/discover"
)

// instancesOf returns what a document's versions are served by. Called with mu held.
func (w *watch) instancesOf(d *document) (all map[string][]discover.Instance, isHeld bool) {
	all = map[string][]discover.Instance{}
	for version, f := range d.feeds {
		list, known := w.instances(f)
		if known && len(list) == 0 && version == d.engine.Stable() {
			list = w.held(f)
			isHeld = len(list) > 0
		}
		if known {
			all[version] = list
		}
	}
	return all, isHeld
}

// instances returns what the registry lists or, until it has answered, what it listed last.
func (w *watch) instances(f *feed) (list []discover.Instance, known bool) {
	list, known, _, _ = f.read()
	if !known {
		list, known = w.lists[f.discovery.Name]
	}
	return list, known
}

// held returns the last instances that the registry listed, while it lists none. They serve the
// stable version: a registry that restarts, or whose checks all warn for a moment, is no reason to
// answer nobody. A canary without instances is gone at once: stable serves.
func (w *watch) held(f *feed) []discover.Instance {
	if list := f.lastListed(); len(list) > 0 {
		return list
	}
	return w.lists[f.discovery.Name]
}

// instancesChanged is called by a feed that has news.
func (w *watch) instancesChanged(identity string) {
	changed := w.showInstances(identity)
	if changed {
		w.keepLists()
		w.keeper.soon()
	}
	handled()
}

// showInstances puts changed lists in force, and reports whether there are any.
func (w *watch) showInstances(identity string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := map[string]int{}
	held := map[string]bool{}
	for _, u := range w.users {
		if u.document == nil {
			continue
		}
		shown := u.current.Load().(*Current)
		lists, isHeld := w.instancesOf(u.document)
		if isHeld != shown.StableHeld {
			held[u.document.engine.Stable()] = isHeld
		}
		for version, list := range lists {
			before, there := shown.Upstreams[version]
			if !there || !sameInstances(before, list) {
				changed[version] = len(list)
			}
		}
	}
	if len(changed) > 0 || len(held) > 0 { // requests first, the log after
		w.refresh()
	}
	for version, isHeld := range held {
		if isHeld {
			w.note(slog.LevelWarn,
				"the registry lists no instance of the stable version; those that it listed last stay in use",
				"version", version)
		} else {
			w.note(slog.LevelInfo, "the registry lists instances of the stable version again", "version", version)
		}
	}
	for version, count := range changed {
		w.note(slog.LevelInfo, "upstreams changed", "version", version, "instances", count)
	}
	if d := w.offered; d != nil {
		for version, f := range d.feeds {
			if f.discovery.Identity == identity {
				w.noteFailure(version, f)
			}
		}
	}
	return len(changed) > 0 || len(held) > 0
}

// noteFailure logs that an entry cannot be read, if so. Called with mu held.
func (w *watch) noteFailure(version string, f *feed) {
	if _, _, _, failure := f.read(); failure != "" {
		w.note(slog.LevelWarn, "discovery cannot be read; the last list stays", "version", version,
			"discover", f.discovery.Name, "error", failure)
	}
}

// rememberLists keeps a document's lists for when the same entries are followed again. Called with
// mu held.
func (w *watch) rememberLists(d *document) {
	if w.lists == nil {
		w.lists = map[string][]discover.Instance{}
	}
	w.gather(w.lists, d)
}

// keepLists has the lists that are in use now written to disk. While no handle has a document,
// those from before stay.
func (w *watch) keepLists() {
	w.mu.Lock()
	defer w.mu.Unlock()
	lists := map[string][]discover.Instance{}
	for _, u := range w.users {
		if u.document != nil {
			w.gather(lists, u.document)
		}
	}
	if len(lists) == 0 {
		return
	}
	w.lists = lists
	w.keeper.keepLists(lists)
}

// gather adds the lists that a document uses, by discovery name. Called with mu held.
func (w *watch) gather(lists map[string][]discover.Instance, d *document) {
	inUse, _ := w.instancesOf(d)
	for version, f := range d.feeds {
		if list, known := inUse[version]; known && (len(list) > 0 || lists[f.discovery.Name] == nil) {
			lists[f.discovery.Name] = list
		}
	}
}

// restoreLists reads the lists that the disk holds, unless newer ones are remembered.
func (w *watch) restoreLists(d disk) {
	lists, err := d.readUpstreams()
	if err != nil {
		w.logError("kept upstreams cannot be read", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lists == nil {
		w.lists = lists
	}
}

// upstreamStates reports how the instances of a document's versions stand. Instances are those that
// requests are served by: the feed may know better already. Called with mu held.
func (w *watch) upstreamStates(d *document, current *Current) map[string]Upstreams {
	if len(d.feeds) == 0 {
		return nil
	}
	states := map[string]Upstreams{}
	for version, f := range d.feeds {
		_, known, contact, failure := f.read()
		states[version] = Upstreams{
			Discover: f.discovery.Name, Instances: current.Upstreams[version],
			Kept: !known, Held: current.StableHeld && version == d.engine.Stable(),
			Contact: contact, Error: failure,
		}
	}
	return states
}
