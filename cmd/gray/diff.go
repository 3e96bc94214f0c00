package main

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/accesslog"
)

// difference is what `gray diff -o json` prints.
type difference struct {
	Changes []change `json:"changes"`
	// The rest is about a log, if there is one.
	Log    *logStats `json:"log,omitempty"`
	Stay   int64     `json:"stay,omitempty"` // requests whose version stays
	Moves  []*move   `json:"moves,omitempty"`
	Absent []string  `json:"absent,omitempty"`
	Notes  []string  `json:"notes,omitempty"`
}

// change is one part of a policy that is different.
type change struct {
	Path string          `json:"path"`
	Old  json.RawMessage `json:"old,omitempty"`
	New  json.RawMessage `json:"new,omitempty"`
}

// move is requests that get another version.
type move struct {
	From     string   `json:"from"`
	To       string   `json:"to"`
	Rule     string   `json:"rule,omitempty"` // by which the new policy decides
	Requests int64    `json:"requests"`
	Percent  float64  `json:"percent"`
	Callers  int      `json:"callers"` // about how many
	Examples []string `json:"examples"`
}

func (p *program) diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff <old.json> <new.json> [<access.log> ...]", Short: "Says what another policy changes, and who moves",
		Long: "Says which rules, versions and other parts of a policy are added, removed and changed. With access logs\n" +
			"also how many of their requests and callers get another version, in which direction, by which rule, and\n" +
			"which for example. What logs carry is in `gray help simulate`.",
		Example: "  gray diff old.json new.json\n" +
			"  gray diff old.json new.json access.log\n" +
			"  git show HEAD:policy.json | gray diff - policy.json",
		Args: cobra.MinimumNArgs(2),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		before, err := p.loadPolicy(args[0])
		if err != nil {
			return err
		}
		after, err := p.loadPolicy(args[1])
		if err != nil {
			return err
		}
		d := &difference{Changes: changes(before, after)}
		if len(args) > 2 {
			if err := p.compare(cmd.Context(), d, before, after, args[2:]); err != nil {
				return err
			}
		}
		if p.isJSON() {
			return p.json(d)
		}
		p.showDifference(d)
		return nil
	}
	return cmd
}

// changes returns what is different in two policies.
func changes(before, after *core.Engine) []change {
	older, newer := parts(before), parts(after)
	paths := map[string]bool{}
	for path := range older {
		paths[path] = true
	}
	for path := range newer {
		paths[path] = true
	}
	list := []change{}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if !reflect.DeepEqual(older[path], newer[path]) {
			list = append(list, change{Path: path, Old: older[path], New: newer[path]})
		}
	}
	var common [2][]string // rules that both have, in the order of each
	for i, names := range [][]string{before.RuleNames(), after.RuleNames()} {
		for _, name := range names {
			path := problem.Field("rules", name)
			if older[path] != nil && newer[path] != nil {
				common[i] = append(common[i], name)
			}
		}
	}
	if !slices.Equal(common[0], common[1]) {
		list = append(list, change{Path: "the order of rules", Old: raw(common[0]), New: raw(common[1])})
	}
	return list
}

// parts returns the parts of a policy by their paths: rules and versions by their names.
func parts(e *core.Engine) map[string]json.RawMessage {
	found := map[string]json.RawMessage{}
	policy := *e.Policy()
	for name, version := range policy.Versions {
		found[problem.Field("versions", name)] = raw(version)
	}
	for i, name := range e.RuleNames() {
		rule := policy.Rules[i]
		rule.Name = ""
		found[problem.Field("rules", name)] = raw(rule)
	}
	policy.Versions = nil
	policy.Rules = nil
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(raw(policy), &fields)
	maps.Copy(found, fields)
	return found
}

// raw is a value as JSON, with < and > as they are.
func raw(value any) json.RawMessage {
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return json.RawMessage(strings.TrimSpace(text.String()))
}

// compare decides about each request of logs by both policies.
func (p *program) compare(ctx context.Context, d *difference, before, after *core.Engine, logs []string) error {
	var all []*comparison
	stats, err := p.readLogs(ctx, logs, func() func(*accesslog.Record, spot) {
		c := &comparison{before: before, after: newTally(after), moves: map[movement]*moved{}}
		all = append(all, c)
		return c.take
	})
	if err != nil {
		return err
	}
	total := &comparison{after: newTally(after), moves: map[movement]*moved{}}
	for _, c := range all {
		total.merge(c)
	}
	d.Log = stats
	d.Stay = total.stay
	d.Moves = total.list(stats.Requests)
	d.Notes = notesOf(after)
	if stats.Requests > 0 {
		for _, a := range total.after.absent {
			d.Absent = append(d.Absent, a.Text)
		}
	}
	return nil
}

// comparison counts who moves. One goroutine uses it.
type comparison struct {
	before *core.Engine
	after  *tally
	stay   int64
	moves  map[movement]*moved
}

type movement struct{ from, to, rule string }

type moved struct {
	counted  *counted
	examples []example // the first ones
}

// example is a request that moves.
type example struct {
	at   spot
	text string
}

const mostExamples = 3

func (c *comparison) take(r *accesslog.Record, at spot) {
	was := core.Decide(c.before, &core.Caller{Request: &r.Request, Client: r.Client})
	is, identity := c.after.decide(r)
	if was.Version == is.Version {
		c.stay++
		return
	}
	m := c.of(movement{was.Version, is.Version, is.Rule})
	m.counted.add(identity)
	if len(m.examples) < mostExamples || at.compare(m.examples[len(m.examples)-1].at) < 0 {
		m.addExample(example{at, requestText(r, identity)})
	}
}

func (c *comparison) of(k movement) *moved {
	m := c.moves[k]
	if m == nil {
		m = &moved{counted: newCounted(len(c.moves))}
		c.moves[k] = m
	}
	return m
}

func (m *moved) addExample(e example) {
	m.examples = append(m.examples, e)
	slices.SortFunc(m.examples, func(a, b example) int { return a.at.compare(b.at) })
	m.examples = m.examples[:min(len(m.examples), mostExamples)]
}

func (c *comparison) merge(other *comparison) {
	c.stay += other.stay
	c.after.merge(other.after)
	for k, m := range other.moves {
		sum := c.of(k)
		sum.counted.merge(m.counted)
		for _, e := range m.examples {
			sum.addExample(e)
		}
	}
}

func (c *comparison) list(requests int64) []*move {
	list := []*move{}
	for k, m := range c.moves {
		one := &move{From: k.from, To: k.to, Rule: k.rule, Requests: m.counted.requests,
			Percent: 100 * float64(m.counted.requests) / float64(requests), Callers: m.counted.count()}
		for _, e := range m.examples {
			one.Examples = append(one.Examples, e.text)
		}
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b *move) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.From+a.To+a.Rule, b.From+b.To+b.Rule))
	})
	return list
}

// requestText describes a request for people. What is in it came from clients.
func requestText(r *accesslog.Record, identity string) string {
	text := r.Request.Method + " " + cut(r.Request.Host+r.Request.URL.RequestURI())
	if identity != "" {
		text += " of " + cut(identity)
	} else if r.Client != "" {
		text += " from " + cut(r.Client)
	}
	return strings.Clone(printable(text))
}

// cut shortens a text of a client.
func cut(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

func (p *program) showDifference(d *difference) {
	if len(d.Changes) == 0 {
		p.line("The policies are the same.")
	}
	for _, c := range d.Changes {
		switch {
		case c.Old == nil:
			p.line("%s %s: %s", p.paint("+", color.FgGreen), c.Path, shortJSON(c.New))
		case c.New == nil:
			p.line("%s %s: %s", p.paint("-", color.FgRed), c.Path, shortJSON(c.Old))
		default:
			p.line("%s %s: %s -> %s", p.paint("~", color.FgYellow), c.Path, shortJSON(c.Old), shortJSON(c.New))
		}
	}
	if d.Log == nil {
		return
	}
	p.line("")
	d.Log.show(p)
	p.line("%s of them get the version that they got before.", thousands(d.Stay))
	for _, m := range d.Moves {
		p.line("\n%s -> %s by %s: %s requests (%.3g %%), %s callers, for example", m.From, m.To, byRule(m.Rule),
			thousands(m.Requests), m.Percent, callersText(m.Callers))
		for _, e := range m.Examples {
			p.line("  %s", e)
		}
	}
	p.showAbsent(d.Absent)
	p.showNotes(d.Notes)
	d.Log.showSkipped(p)
}

func byRule(rule string) string {
	if rule == "" {
		return "no rule"
	}
	return "rule " + printable(rule)
}

func shortJSON(text json.RawMessage) string {
	const most = 200
	if len(text) > most {
		return printable(string(text[:most])) + "..."
	}
	return printable(string(text))
}
