package main

// controllerBoard is the dashboard of `gray serve`.
func controllerBoard() *board {
	b := newBoard("gray-controller", "Gray: controller",
		"The release as the controller (gray serve) sees it, what it hears, and whom it tells.",
		"gray_", "source_connected")
	b.annotate()
	b.now()
	down := "count(" + b.series("signal_up") + " == 0) or 0 * count(" + b.series("source_connected") + ")"
	b.WithPanel(b.figure("Signals that are down", "Gateways, counters and Prometheus that could not be read when they "+
		"were last asked.", count, query{down, "signals"}))
	b.row("Requests, errors and duration by version, of Caddys in the same Prometheus")
	gateways := &board{prefix: "caddy_gray_", everywhere: true, DashboardBuilder: b.DashboardBuilder}
	gateways.requests()
	b.compared()
	b.release()
	b.row("Signals, notices and sources")
	b.WithPanel(b.timeline("Signals", "Whether each gateway, the counters of other programs and Prometheus could be read.",
		full/2, connected, query{"min by (kind, url) (" + b.series("signal_up") + ")", "{{kind}} {{url}}"}))
	b.WithPanel(b.steps("Notices", "What became of notices, since the start.", count, full/2,
		query{`sum by (outcome) (` + b.prefix + `notices_total{instance=~"$instance"})`, "{{outcome}}"}))
	b.sources()
	return b
}

// compared adds rate, errors and duration of the callers whom the controller compares: those of all
// gateways, whatever these are.
func (b *board) compared() {
	b.row("Compared callers by version")
	b.WithPanel(b.curve("New callers", "Callers a second who were not seen in this step before.", events, full/3,
		b.ofBoth(func(arm string) string {
			return "sum(rate(" + b.series("rollout_callers_total", arm) + "[$__rate_interval]))"
		})...))
	b.WithPanel(b.curve("Failed callers", "The share of callers who were bad by a guard on errors, since the step began.",
		share, full/3, b.ofBoth(b.badBy("errors"))...))
	b.WithPanel(b.curve("Slow callers", "The share of callers who were bad by a guard on latency, if the plan has one, "+
		"since the step began.", share, full/3, b.ofBoth(b.badBy("latency"))...))
}

// ofBoth are the queries of the version that is released, and of stable.
func (b *board) ofBoth(of func(arm string) string) []query {
	ofVersion := " * on () group_left (version) topk(1, " + b.most("version", "rollout_info") + ")"
	return []query{{of(`arm="canary"`) + ofVersion, "{{version}}"}, {of(`arm="control"`), "stable"}}
}

// badBy is the share of an arm's callers who were bad by guards that measure something.
func (b *board) badBy(measures string) func(arm string) string {
	return func(arm string) string {
		bad := b.series("rollout_bad_total", arm, `guard=~"`+measures+`.*"`)
		return "max(sum by (guard) (" + bad + ")) / sum(" +
			b.series("rollout_callers_total", arm) + ")"
	}
}
