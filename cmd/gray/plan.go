package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/accesslog"
	"github.com/grayrelease/gray/rollout/forecast"
	"github.com/grayrelease/gray/rollout/guard"
)

// planned is what `gray plan -o json` prints.
type planned struct {
	Service string        `json:"service"`
	Rule    string        `json:"rule"`
	Version string        `json:"version"`
	Guards  []string      `json:"guards"`
	Ends    string        `json:"ends"` // the phase that it ends in: completed, rolled-back, or where it stays
	Steps   []plannedStep `json:"steps"`
	// The rest is about a log, if there is one.
	Traffic *plannedTraffic `json:"traffic,omitempty"`
	Log     *logStats       `json:"log,omitempty"`
	Absent  []string        `json:"absent,omitempty"`
	Notes   []string        `json:"notes,omitempty"`
}

// plannedTraffic is the traffic that the rule of the rollout asks its percentage about.
type plannedTraffic struct {
	PerSecond float64 `json:"requests_per_second"`
	PerHour   float64 `json:"callers_per_hour"`
	Failing   float64 `json:"failing_percent"` // of the requests
}

// plannedStep is one step. Times are in seconds.
type plannedStep struct {
	Line   string     `json:"line"`
	Begins time.Time  `json:"begins"`
	Ends   *time.Time `json:"ends,omitempty"` // absent if it does not end within a year
	Waits  string     `json:"waits,omitempty"`
	// Needs is how long it takes until enough callers of the canary were compared.
	Needs float64 `json:"needs_seconds,omitempty"`
	// Callers and Requests are what the canary gets in the step.
	Callers  float64     `json:"canary_callers,omitempty"`
	Requests float64     `json:"canary_requests,omitempty"`
	Found    []detection `json:"found,omitempty"`
}

// detection is how soon a version that is worse is found, in the median.
type detection struct {
	Name string `json:"name"` // how bad it is
	// Requests of the canary until then, and how long they take; 0 if it is not found.
	Requests int     `json:"canary_requests,omitempty"`
	Seconds  float64 `json:"seconds,omitempty"`
}

func (p *program) planCommand() *cobra.Command {
	var start string
	cmd := &cobra.Command{
		Use:   "plan <policy.json> [<access.log> ...]",
		Short: "Says when the steps of a rollout begin, and what its guards would find",
		Long: "Says when the steps of a policy's rollout begin, if the version is well and people approve at once. With\n" +
			"access logs also how many callers and requests the canary gets in each step at the same traffic, how long it\n" +
			"takes until enough callers were compared, and how soon the guard `errors` finds a version that fails more\n" +
			"often than stable: in the median of 51 releases, by the test that gateways run, as if each request had a\n" +
			"caller of its own. What logs carry is in `gray help simulate`.",
		Example: "  gray plan policy.json\n" +
			"  gray plan policy.json access.log\n" +
			"  gray plan --start 2025-10-10T09:00:00Z policy.json access.log",
		Args: cobra.MinimumNArgs(1),
	}
	cmd.Flags().StringVar(&start, "start", "", "When the rollout begins, as in 2025-10-10T09:00:00Z (default: now)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		begins := now()
		if start != "" {
			var err error
			if begins, err = time.Parse(time.RFC3339, start); err != nil {
				return usage("--start: %q is not a time (as in 2025-10-10T09:00:00Z)", start)
			}
		}
		e, err := p.loadPolicy(args[0])
		if err != nil {
			return err
		}
		if e.Rollout() == nil {
			return &failure{exitNot, fmt.Errorf("%s has no rollout: `gray help simulate` is about other policies", args[0])}
		}
		result, err := p.plan(cmd.Context(), e, begins.UTC(), args[1:])
		if err != nil {
			return err
		}
		if p.isJSON() {
			return p.json(result)
		}
		p.showPlan(result)
		return nil
	}
	return cmd
}

func (p *program) plan(ctx context.Context, e *core.Engine, begins time.Time, logs []string) (*planned, error) {
	plan := e.Rollout()
	result := &planned{Service: e.Service(), Rule: plan.Rule, Version: plan.Version, Guards: []string{}}
	for _, g := range plan.Guards {
		result.Guards = append(result.Guards, g.Line)
	}
	var traffic *reached
	if len(logs) > 0 {
		var err error
		if traffic, err = p.readTraffic(ctx, e, logs, result); err != nil {
			return nil, err
		}
	}
	var known forecast.Traffic
	if traffic != nil {
		known = traffic
	}
	steps, phase := forecast.Steps(plan, begins, known)
	result.Ends = phase
	for _, s := range steps {
		result.Steps = append(result.Steps, plannedOf(e, s, traffic))
	}
	return result, nil
}

// readTraffic reads logs. The traffic is nil if the rule asks about nobody there.
func (p *program) readTraffic(ctx context.Context, e *core.Engine, logs []string, result *planned) (*reached, error) {
	type both struct {
		reached *reached
		tally   *tally
	}
	var parts []both
	stats, err := p.readLogs(ctx, logs, func() func(*accesslog.Record, spot) {
		b := both{newReached(e), newTally(e)}
		parts = append(parts, b)
		return func(r *accesslog.Record, at spot) {
			b.tally.take(r, at)
			b.reached.take(r, at)
		}
	})
	if err != nil {
		return nil, err
	}
	total := both{newReached(e), newTally(e)}
	for _, b := range parts {
		total.reached.merge(b.reached)
		total.tally.merge(b.tally)
	}
	result.Log = stats
	if stats.Requests > 0 {
		for _, a := range total.tally.absent {
			result.Absent = append(result.Absent, a.Text)
		}
	}
	t := total.reached
	t.span = stats.Last.Sub(stats.First)
	switch {
	case t.span <= 0:
		result.Notes = append(result.Notes,
			"the log is no longer than a moment, or has no times: it says nothing of the traffic")
		return nil, nil
	case t.requests == 0:
		result.Notes = append(result.Notes, "no request of the log reaches the rule of the rollout: nothing will move")
		return t, nil
	}
	result.Notes = append(result.Notes, "the log is "+spanText(t.span)+
		" long: callers who come later are estimated by how fast new ones came at its end")
	result.Traffic = &plannedTraffic{t.perSecond(), t.Callers(time.Hour), 100 * float64(t.failed) / float64(t.requests)}
	return t, nil
}

// plannedOf describes a step.
func plannedOf(e *core.Engine, s forecast.Step, traffic *reached) plannedStep {
	line := e.Policy().Rollout.Steps[s.Number-1]
	one := plannedStep{Line: line, Begins: s.Begins, Waits: s.Waits, Needs: s.Needs.Seconds()}
	if !s.Ends.IsZero() {
		one.Ends = &s.Ends
	}
	if traffic == nil || traffic.requests == 0 || s.Percent == 0 {
		return one
	}
	rate := traffic.perSecond() * s.Percent / 100
	if one.Ends != nil {
		lasts := s.Ends.Sub(s.Begins)
		one.Callers = traffic.Callers(lasts) * s.Percent / 100
		one.Requests = rate * lasts.Seconds()
	}
	if s.Percent == 100 || !comparesErrors(e.Rollout()) {
		return one
	}
	for _, w := range worse(traffic.failing()) {
		const most = 50000
		d := detection{Name: w.name}
		release := forecast.Worse{Percent: s.Percent, Stable: traffic.failing(), Ratio: w.ratio}
		plan := e.Rollout()
		if n, found := release.Median(plan.Tolerance, guard.Threshold(plan), most); found {
			d.Requests = n
			d.Seconds = float64(n) / rate
		}
		one.Found = append(one.Found, d)
	}
	return one
}

// comparesErrors reports whether a guard compares the errors of both versions, and acts.
func comparesErrors(plan *core.RolloutPlan) bool {
	for _, g := range plan.Guards {
		if g.Measures == core.GuardErrors && g.Limit == 0 && g.Then != core.GuardWatch {
			return true
		}
	}
	return false
}

type worseCase struct {
	name  string
	ratio float64
}

// worse are the versions whose detection is told.
func worse(stable float64) []worseCase {
	const times, most = 5, 0.5
	cases := []worseCase{{name: "every second request fails", ratio: most / stable}}
	if times*stable < most {
		cases = append(cases, worseCase{name: "5 times the errors", ratio: times})
	}
	return cases
}

func (p *program) showPlan(r *planned) {
	guards := "no guards"
	if len(r.Guards) > 0 {
		guards = "guards: " + strings.Join(r.Guards, ", ")
	}
	p.line("%s: %s by rule %s, %s", printable(r.Service), r.Version, printable(r.Rule), guards)
	if t := r.Traffic; t != nil {
		p.line("Traffic of the log at that rule: %.3g requests a second of %s callers an hour; %.2g %% fail",
			t.PerSecond, callersText(int(math.Round(t.PerHour))), t.Failing)
	}
	p.line("")
	t := newTable(p.out)
	header := []any{"STEP", "BEGINS", "LASTS"}
	if r.Traffic != nil {
		header = append(header, "CALLERS", "REQUESTS", "ENOUGH AFTER")
	}
	t.row(header...)
	for _, s := range r.Steps {
		t.row(p.stepCells(&s, r.Traffic != nil)...)
	}
	_ = t.Flush()
	p.showEnd(r)
	p.showFound(r)
	p.showAbsent(r.Absent)
	p.showNotes(r.Notes)
	if r.Log != nil {
		r.Log.showSkipped(p)
	}
}

func (p *program) stepCells(s *plannedStep, hasTraffic bool) []any {
	lasts := "for ever"
	if s.Ends != nil {
		lasts = spanText(s.Ends.Sub(s.Begins))
		if strings.Contains(s.Line, "until approved") {
			lasts += " or more"
		}
	}
	cells := []any{s.Line, clockText(s.Begins), lasts}
	if hasTraffic {
		enough := "-"
		switch {
		case s.Needs < 0:
			enough = "never"
		case s.Needs > 0:
			enough = spanText(time.Duration(s.Needs * float64(time.Second)))
		}
		cells = append(cells, callersText(int(math.Round(s.Callers))), thousands(int64(math.Round(s.Requests))), enough)
	}
	if s.Waits != "" {
		cells = append(cells, printable(s.Waits))
	}
	return cells
}

// showEnd says how it ends.
func (p *program) showEnd(r *planned) {
	last := len(r.Steps) - 1
	switch {
	case r.Ends == core.PhaseCompleted && last >= 0:
		p.line("\nComplete at %s, if the version is well and people approve at once.", clockText(*r.Steps[last].Ends))
	case r.Ends == core.PhaseRolledBack:
		p.line("\n%s", p.paint("It is rolled back before it is complete: `expires` is too short.", color.FgRed))
	default:
		p.line("\n%s", p.paint("It does not end within a year: too few callers reach the rule for what the steps want.",
			color.FgRed))
	}
}

// showFound says how soon versions that are worse are found.
func (p *program) showFound(r *planned) {
	t := newTable(p.out)
	for _, s := range r.Steps {
		for _, d := range s.Found {
			if d.Requests == 0 {
				t.row("  "+s.Line, d.Name, "not within 50,000 requests of the canary")
				continue
			}
			t.row("  "+s.Line, d.Name, "rolled back after "+spanText(time.Duration(d.Seconds*float64(time.Second))),
				several(d.Requests, "request")+" of the canary")
		}
	}
	if r.Traffic != nil && len(r.Steps) > 0 && r.Steps[0].Found != nil {
		p.line("\nIf it is worse than stable:")
		_ = t.Flush()
	}
}

// spanText is a duration without what is small.
func spanText(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	case d >= time.Hour:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return d.Round(100 * time.Millisecond).String()
}
