package live

// restore puts in force what is remembered from users before, or else what the disk holds.
func (w *watch) restore() {
	w.restoreSwitch()
	w.restoreRollout()
	w.mu.Lock()
	known := w.memory
	w.mu.Unlock()
	if known.data == nil {
		data, written, err := w.keeper.read()
		if err != nil {
			w.logError("kept policy cannot be read", err)
		}
		known = memory{data: data, since: written}
	}
	if known.data == nil {
		return
	}
	d, err := compileDocument(w.host, known.data, w.allowed)
	if err != nil {
		w.logError("kept policy is refused", err)
		return
	}
	d.data = known.data
	d.origin = "kept"
	d.revision = known.revision
	d.since = known.since
	w.install(d)
	w.keeper.soon()
}

func (w *watch) restoreSwitch() {
	kept, err := w.keeper.readSwitch()
	if err != nil {
		w.logError("kept switch cannot be read", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kept != nil && kept.Epoch > w.ledger.newest.Epoch {
		w.ledger.newest = *kept
	}
}

func (w *watch) restoreRollout() {
	s, data, err := w.keeper.readRollout()
	if err != nil {
		w.logError("kept rollout state cannot be read", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s != nil && (w.rollouts.newest == nil || s.Epoch > w.rollouts.newest.Epoch) {
		w.rollouts.put(s, data, false)
	}
}
