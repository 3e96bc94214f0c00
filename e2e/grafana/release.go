package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// phases of a rollout, in the order of their numbers in timelines.
var phases = []state{{"waiting", yellow}, {"running", blue}, {"paused", orange}, {"baking", purple},
	{"completed", green}, {"rolled-back", red}}

var verdicts = []state{{"good", green}, {"undecided", yellow}, {"bad", red}}

// numbered are the series of a metric as the number of the state that their label names. Of
// several the highest counts, by some labels.
func (b *board) numbered(by, metric, label string, states []state) string {
	var parts []string
	for i, s := range states {
		number := string(rune('0' + i))
		parts = append(parts, number+" * "+b.series(metric, label+`="`+s.text+`"`))
	}
	return "max by (" + by + ") (" + strings.Join(parts, " or ") + ")"
}

// now adds the figures that every dashboard begins with.
func (b *board) now() {
	b.WithPanel(b.figure("Phase", "Where the rollout is. Several: gateways disagree.", count,
		query{b.most("phase", "rollout_phase"), "{{phase}}"}).TextMode(common.BigValueTextModeName))
	b.WithPanel(b.figure("Version", "The version that is released, and the rule whose percentage rises.", count,
		query{b.most("version, rule", "rollout_info"), "{{version}} by {{rule}}"}).TextMode(common.BigValueTextModeName))
	b.WithPanel(b.figure("Percentage", "The percentage of the rollout's rule.", percent,
		query{"max(" + b.series("rollout_percent") + ")", "percentage"}))
	b.WithPanel(b.figure("Step", "The step of the plan, and how many it has.", count,
		query{"max(" + b.series("rollout_step") + ")", "step"}).
		WithTarget(query{"max(" + b.series("rollout_steps") + ")", "of"}.now(1)).
		TextMode(common.BigValueTextModeValueAndName))
	b.WithPanel(b.figure("Needs a person", "The step lasts until it is approved.", count,
		query{"max(" + b.series("rollout_needs_approval") + ")", "approval"}).
		Mappings(mapped([]state{{"no", grey}, {"approval", yellow}})))
}

// release adds how the rollout goes.
func (b *board) release() {
	b.row("Release")
	b.where()
	b.found()
}

// where adds where each instance has the rollout.
func (b *board) where() {
	b.WithPanel(b.steps("Percentage by instance", "The percentage of the rollout's rule.", percent, full/3,
		query{b.most("instance", "rollout_percent"), "{{instance}}"}))
	b.WithPanel(b.timeline("Phase by instance", "The phase of the rollout.", full/3, phases,
		query{b.numbered("instance", "rollout_phase", "phase", phases), "{{instance}}"}))
	b.WithPanel(b.steps("Epoch by instance", "The number of the state that each instance obeys. They are the same, but "+
		"for the moment in which a new state spreads.", count, full/3,
		query{b.most("instance", "rollout_epoch"), "{{instance}}"}))
}

// found adds what those who measure have found.
func (b *board) found() {
	b.WithPanel(dashed(b.lines("Evidence and threshold", "The evidence (ln E) that the canary is bad. A guard acts when "+
		"it reaches its threshold. For queries: looks in a row that were bad.", count, full/2,
		query{b.most("guard", "rollout_evidence"), "{{guard}}"},
		query{b.most("guard", "rollout_threshold"), "{{guard}}: threshold"}), ": threshold$").AxisSoftMin(0))
	b.WithPanel(b.timeline("Verdicts", "What each guard says; of several instances the worst.", full/2, verdicts,
		query{b.numbered("guard", "rollout_verdict", "verdict", verdicts), "{{guard}}"}))
	b.WithPanel(b.curve("Callers", "Distinct callers who were compared, from zero at each step: those whom the "+
		"percentage took (canary) and did not take (control). Of several instances the one that has seen most.",
		count, full/3,
		query{b.most("arm", "rollout_callers_total"), "{{arm}}"}))
	bad := "sum by (guard, arm) (" + b.series("rollout_bad_total") + ") / on (arm) group_left () " +
		"sum by (arm) (" + b.series("rollout_callers_total") + ")"
	b.WithPanel(b.curve("Bad callers", "The share of them who were bad by a guard: failed, or slow.", share, full/3,
		query{bad, "{{guard}}: {{arm}}"}))
	rollbacks := named(b.most("guard", "rollout_rollbacks_total"), "guard", "a person, or the time")
	b.WithPanel(b.steps("Rollbacks", "Rollouts that were rolled back, by the guard that did, if one did.", count, full/3,
		query{rollbacks, "by {{guard}}"}))
}

// annotate marks steps and rollbacks in all panels, at the times that the metrics tell.
func (b *board) annotate() {
	b.annotation("Steps", blue, "!=")
	b.annotation("Rollbacks", red, "=")
}

func (b *board) annotation(name, color, isRolledBack string) {
	const same = " * on (instance, service) group_left ("
	valueOf := func(metric, label string) string {
		return same + label + ") count_values by (instance, service) (\"" + label + "\", " + b.series(metric) + ")"
	}
	expression := "max by (phase, step, percent) (1000 * " + b.series("rollout_changed_timestamp_seconds") +
		same + "phase) " + b.series("rollout_phase", "phase"+isRolledBack+`"rolled-back"`) +
		valueOf("rollout_step", "step") + valueOf("rollout_percent", "percent") + ")"
	b.Annotation(dashboard.NewAnnotationQueryBuilder().Name(name).Datasource(source).Enable(true).IconColor(color).
		Expr(expression).Step("10s").UseValueForTime(true).TitleFormat("{{phase}}").
		TextFormat("step {{step}}, {{percent}} %").
		Target(prometheus.NewDataqueryBuilder().Datasource(source).Expr(expression).Interval("10s").RefId("Anno").Range()))
}
