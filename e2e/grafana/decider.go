package main

// deciderBoard is the dashboard of `gray decide`.
func deciderBoard() *board {
	b := newBoard("gray-decider", "Gray: decision servers",
		"What gateways ask the decision servers (gray decide), how fast they answer, and the release as they have it.",
		"gray_", "decisions_total")
	b.annotate()
	b.now()
	on := "count(" + b.series("source_forced") + " == 1) or 0 * count(" + b.series("source_forced") + ")"
	b.WithPanel(b.figure("Switched", "Instances in which the kill switch sends everybody to one version.", count,
		query{on, "instances"}))
	b.questions()
	b.row("Decisions by version")
	b.WithPanel(b.curve("Decisions", "Requests a second, by the version that was chosen.", perSecond, full/4,
		query{b.rate("version", "decisions_total"), "{{version}}"}))
	b.decisions(full / 4)
	b.WithPanel(b.tokens(full / 4))
	b.row("Release")
	b.where()
	b.row("Sources")
	b.sources()
	return b
}

// questions adds rate, errors and duration of what gateways ask. They are counted before it is
// known what service a question is about.
func (b *board) questions() {
	all := &board{prefix: b.prefix, everything: true, DashboardBuilder: b.DashboardBuilder}
	b.row("Requests, errors and duration, of all services")
	b.WithPanel(b.curve("Questions", "What gateways ask a second, by the protocol.", perSecond, full/3,
		query{all.rate("protocol", "decider_questions_total"), "{{protocol}}"}))
	mistakes := all.rate("result", "decider_questions_total", `result!="decided"`) +
		" / ignoring (result) group_left () sum(rate(" + all.series("decider_questions_total") + "[$__rate_interval]))"
	b.WithPanel(b.curve("Errors", "The share of questions about which nothing was decided: there was no policy, no such "+
		"service, or a mistake in the question.", share, full/3, query{mistakes, "{{result}}"}))
	b.WithPanel(b.curve("Duration", "Time from a question's header to its answer: the quantiles 50 %, 90 % and 99 %.",
		duration, full/3, all.quantiles("protocol", "decider_duration_seconds")...))
}
