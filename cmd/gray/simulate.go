package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/internal/accesslog"
)

// simulation is what `gray simulate -o json` prints.
type simulation struct {
	Log    *logStats `json:"log"`
	Shares []share   `json:"shares"`
	// Absent are attributes that the policy reads and no request of the log has.
	Absent []string `json:"absent,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// share is what one rule gave to one version.
type share struct {
	Version  string  `json:"version"`
	Rule     string  `json:"rule,omitempty"` // none of the stable version
	Requests int64   `json:"requests"`
	Percent  float64 `json:"percent"`
	// Callers is about how many distinct callers that were.
	Callers int `json:"callers"`
}

func (p *program) simulateCommand() *cobra.Command {
	var percents []string
	cmd := &cobra.Command{
		Use: "simulate <policy.json> <access.log> ...", Short: "Says what a policy would have decided about a log",
		Long: "Decides about each request of access logs as a gateway does, and says which share of them, and how many\n" +
			"callers, each version and rule gets. It reads the JSON of Caddy and of Traefik, and the common and combined\n" +
			"formats; plain, by gzip, or from the standard input (-). Several logs count as one.\n\n" +
			"A log has only what its gateway writes to it: Caddy leaves cookies and tokens out unless it has\n" +
			"`log_credentials`, Traefik all headers unless `accessLog.fields.headers` keeps them, and the common format has\n" +
			"none. What a policy reads and the log never has is said: such rules see callers without it.",
		Example: "  gray simulate policy.json access.log\n" +
			"  gray simulate policy.json access.log access.log.1.gz\n" +
			"  gray simulate --percent ramp=25 policy.json access.log\n" +
			"  zcat access.log.*.gz | gray simulate policy.json -",
		Args: cobra.MinimumNArgs(2),
	}
	cmd.Flags().StringArrayVar(&percents, "percent", nil, "A rule's percentage in spot of the policy's, as rule=percent")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := p.loadPolicy(args[0])
		if err != nil {
			return err
		}
		if e, err = withPercents(e, percents); err != nil {
			return err
		}
		result, err := p.simulate(cmd.Context(), e, args[1:])
		if err != nil {
			return err
		}
		if p.isJSON() {
			return p.json(result)
		}
		p.showSimulation(result)
		return nil
	}
	return cmd
}

// withPercents puts percentages of a command line on an engine.
func withPercents(e *core.Engine, percents []string) (*core.Engine, error) {
	given := map[string]float64{}
	for _, text := range percents {
		rule, number, _ := strings.Cut(text, "=")
		percent, err := strconv.ParseFloat(number, 64)
		if err != nil || !(percent >= 0 && percent <= 100) {
			return nil, usage("--percent: %q is not a rule and its percentage: want rule=5, from 0 to 100", text)
		}
		if !slices.Contains(e.RuleNames(), rule) {
			return nil, usage("--percent: %q is not the name of a rule (there are: %s)", rule, strings.Join(e.RuleNames(), ", "))
		}
		given[rule] = percent
	}
	if len(given) == 0 {
		return e, nil
	}
	changed := e.With(core.Overlay{Percent: given, Reason: "--percent"})
	for rule := range given {
		if _, isChanged := changed.Overlay().Percent[rule]; !isChanged {
			return nil, usage("--percent: rule %q has a split, which has no percentage", rule)
		}
	}
	return changed, nil
}

func (p *program) simulate(ctx context.Context, e *core.Engine, logs []string) (*simulation, error) {
	var tallies []*tally
	stats, err := p.readLogs(ctx, logs, func() func(*accesslog.Record, spot) {
		t := newTally(e)
		tallies = append(tallies, t)
		return t.take
	})
	if err != nil {
		return nil, err
	}
	total := newTally(e)
	for _, t := range tallies {
		total.merge(t)
	}
	result := &simulation{Log: stats, Shares: total.shares(stats.Requests), Notes: notesOf(e)}
	if stats.Requests > 0 {
		for _, a := range total.absent {
			result.Absent = append(result.Absent, a.Text)
		}
	}
	return result, nil
}

// notesOf says what a simulation cannot know.
func notesOf(e *core.Engine) []string {
	if anonymous := e.Policy().Anonymous; anonymous == "random" || anonymous == "cookie" {
		return []string{"callers without an identity were given random ones: another run gives other numbers"}
	}
	return nil
}

// tally counts the decisions of one engine. One goroutine uses it.
type tally struct {
	engine  *core.Engine
	counted map[*core.Decision]*counted
	absent  []core.Attribute // that no request has had
}

// counted is how often a decision was made, and for whom.
type counted struct {
	requests int64
	callers  *callers // nil if there are too many decisions
}

// mostCounted is of how many decisions the callers are counted.
const mostCounted = 256

func newTally(e *core.Engine) *tally {
	return &tally{engine: e, counted: map[*core.Decision]*counted{}, absent: core.Attributes(e)}
}

func (t *tally) take(r *accesslog.Record, _ spot) { t.decide(r) }

// decide decides about a request, and counts that. It also returns who the caller counts as.
func (t *tally) decide(r *accesslog.Record) (d *core.Decision, identity string) {
	c := &core.Caller{Request: &r.Request, Client: r.Client}
	d = core.Decide(t.engine, c)
	for i := 0; i < len(t.absent); i++ {
		if core.HasAttribute(t.engine, c, t.absent[i]) {
			t.absent = slices.Delete(t.absent, i, i+1)
			i--
		}
	}
	identity = core.KnownIdentity(t.engine, c)
	t.of(d).add(identity)
	return d, identity
}

func (t *tally) of(d *core.Decision) *counted {
	n := t.counted[d]
	if n == nil {
		n = newCounted(len(t.counted))
		t.counted[d] = n
	}
	return n
}

// newCounted returns the count of the nth kind of decisions.
func newCounted(n int) *counted {
	if n >= mostCounted {
		return &counted{}
	}
	return &counted{callers: &callers{}}
}

func (n *counted) add(identity string) {
	n.requests++
	if identity != "" && n.callers != nil {
		n.callers.add(identity)
	}
}

// count returns about how many callers that were.
func (n *counted) count() int {
	if n.callers == nil {
		return 0
	}
	return n.callers.count()
}

func (n *counted) merge(other *counted) {
	n.requests += other.requests
	if n.callers != nil && other.callers != nil {
		n.callers.merge(other.callers)
	}
}

func (t *tally) merge(other *tally) {
	for d, n := range other.counted {
		t.of(d).merge(n)
	}
	t.absent = slices.DeleteFunc(t.absent, func(a core.Attribute) bool {
		return !slices.ContainsFunc(other.absent, func(b core.Attribute) bool { return a.Text == b.Text })
	})
}

func (t *tally) shares(requests int64) []share {
	list := []share{}
	for d, n := range t.counted {
		s := share{Version: d.Version, Rule: d.Rule, Requests: n.requests,
			Percent: 100 * float64(n.requests) / float64(requests), Callers: n.count()}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Rule, b.Rule))
	})
	return list
}

func (p *program) showSimulation(s *simulation) {
	s.Log.show(p)
	p.line("")
	t := newTable(p.out)
	t.row("VERSION", "RULE", "REQUESTS", "SHARE", "CALLERS")
	for _, one := range s.Shares {
		t.row(one.Version, ruleText(one.Rule), thousands(one.Requests), fmt.Sprintf("%.3g %%", one.Percent),
			callersText(one.Callers))
	}
	_ = t.Flush()
	p.showAbsent(s.Absent)
	p.showNotes(s.Notes)
	s.Log.showSkipped(p)
}

func (p *program) showNotes(notes []string) {
	for _, note := range notes {
		p.line("\n%s", strings.ToUpper(note[:1])+note[1:]+".")
	}
}

func ruleText(rule string) string {
	if rule == "" {
		return "-"
	}
	return printable(rule)
}

// callersText rounds a number of callers to what is known of it.
func callersText(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	unit := 10
	for n >= 1000*unit {
		unit *= 10
	}
	return "about " + thousands(int64((n+unit/2)/unit*unit))
}

// showAbsent says what the log does not have.
func (p *program) showAbsent(absent []string) {
	if len(absent) == 0 {
		return
	}
	p.line("\nNever in the log: %s.", printable(strings.Join(absent, ", ")))
	p.line("Rules and identities that read them saw callers without them: `gray help simulate` says what logs have.")
}
