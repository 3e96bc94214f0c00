package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/operate"
)

// status is what `gray status -o json` prints.
type status struct {
	Service string              `json:"service"`
	Source  string              `json:"source"`
	Stable  string              `json:"stable"`
	Forced  string              `json:"forced,omitempty"` // the version that every request gets
	Switch  *live.Switch        `json:"switch,omitempty"`
	Rollout *live.RolloutStatus `json:"rollout,omitempty"`
	Notes   []string            `json:"notes,omitempty"` // what is wrong with the documents
}

func newStatus(r *operate.Release) *status {
	return &status{Service: r.Service, Source: r.Source, Stable: r.Stable, Forced: r.Forced(), Switch: r.Switch,
		Rollout: r.Status(), Notes: r.Notes}
}

func (p *program) statusCommand() *cobra.Command {
	var watches bool
	cmd := &cobra.Command{
		Use: "status [<source>]", Short: "Shows where a release is", Args: withSource(0),
		Long: "Shows where a release is by the documents of its source: the policy, the kill switch, and the state of\n" +
			"the rollout. What the guards find at the moment is known to the gateways: `gray help why` says where.",
		Example: "  gray status etcd://10.0.0.9:2379/gray/shop\n" +
			"  gray status -w\n" +
			"  gray status -o json | jq .rollout.phase",
		RunE: func(cmd *cobra.Command, args []string) error {
			if watches {
				return p.watchStatus(cmd.Context(), args)
			}
			r, err := p.read(cmd.Context(), args)
			if err != nil {
				return err
			}
			if p.isJSON() {
				return p.json(newStatus(r))
			}
			p.showStatus(p.out, newStatus(r))
			return nil
		},
	}
	cmd.Flags().BoolVarP(&watches, "watch", "w", false, "Go on, and show each change")
	return cmd
}

// read reads the release at the source that is the only argument.
func (p *program) read(ctx context.Context, args []string) (*operate.Release, error) {
	s, err := p.source(args, 0)
	if err != nil {
		return nil, err
	}
	r, err := operate.Read(ctx, s)
	return r, away(err)
}

func (p *program) showStatus(w io.Writer, st *status) {
	t := newTable(w)
	t.row("service", st.Service)
	t.row("source", st.Source)
	t.row("stable", st.Stable)
	t.row("switch", p.switchText(st))
	if r := st.Rollout; r != nil {
		p.showRollout(t, r)
	} else {
		t.row("rollout", "none")
	}
	for _, note := range st.Notes {
		t.row("note", p.paint(note, color.FgYellow))
	}
	_ = t.Flush()
}

func (p *program) switchText(st *status) string {
	sw := st.Switch
	switch {
	case sw != nil && sw.To != "":
		return p.paint("every request gets "+sw.To, color.FgRed, color.Bold) + details(sw.Reason, sw.By, sw.At,
			fmt.Sprintf("epoch %d", sw.Epoch))
	case st.Forced != "":
		return "off; the policy is not enabled: every request gets " + st.Forced
	case sw != nil:
		return "off" + details(sw.Reason, sw.By, sw.At, fmt.Sprintf("epoch %d", sw.Epoch))
	}
	return "off"
}

// details appends what there is of a reason, who and when.
func details(reason, by, at string, more ...string) string {
	text := ""
	if reason != "" {
		text = ": " + printable(reason)
	}
	var rest []string
	for _, part := range append([]string{by, at}, more...) {
		if part != "" {
			rest = append(rest, printable(part))
		}
	}
	if len(rest) == 0 {
		return text
	}
	return text + " (" + strings.Join(rest, ", ") + ")"
}

// printable returns a text of a document as a terminal may see it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

func (p *program) showRollout(t table, r *live.RolloutStatus) {
	where := fmt.Sprintf("%s: %s gets %s", p.phase(r.Phase), r.Version, percentText(r.Percent))
	if r.Phase == core.PhaseRolledBack {
		where = p.phase(r.Phase) + ": nobody gets " + r.Version
	}
	if r.Epoch > 0 {
		where += ", for " + age(r.Since)
	}
	t.row("rollout", where)
	t.row("reason", strings.TrimPrefix(details(r.Reason, r.By, ""), ": "))
	if r.Epoch > 0 {
		t.row("attempt", fmt.Sprintf("%d, epoch %d", r.Attempt, r.Epoch))
	}
	for i, line := range r.Plan {
		mark, label := " ", ""
		switch {
		case i+1 == r.Step && r.Phase != core.PhaseCompleted:
			mark = ">"
		case i < r.Step:
			mark = "+"
		}
		if i == 0 {
			label = "steps"
		}
		line = fmt.Sprintf("%s %d  %s", mark, i+1, line)
		if i+1 == r.Step && r.Approved {
			line += ", approved"
		}
		t.row(label, line)
	}
	for _, v := range r.Guards {
		t.row("guard", verdictText(v))
	}
	if r.Note != "" {
		t.row("note", p.paint(r.Note, color.FgYellow))
	}
}

func verdictText(v core.RolloutVerdict) string {
	text := v.Guard + ": " + v.Verdict
	if v.Reason != "" {
		text += ": " + printable(v.Reason)
	}
	return text
}

func (p *program) historyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "history [<source>]", Short: "Shows what happened to a rollout", Args: withSource(0),
		Long: "Shows what happened to a rollout, the newest last: the last 50 changes of its state, of former attempts too.",
		Example: "  gray history etcd://10.0.0.9:2379/gray/shop\n" +
			"  gray history -o json | jq -r '.[] | select(.phase == \"rolled-back\") | .reason'",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := p.read(cmd.Context(), args)
			if err != nil {
				return err
			}
			history := []core.RolloutEvent{}
			if r.State != nil {
				history = append(history, r.State.History...)
			}
			if p.isJSON() {
				return p.json(history)
			}
			t := newTable(p.out)
			t.row("TIME", "ATTEMPT", "EPOCH", "STEP", "PERCENT", "BY", "PHASE", "REASON")
			for _, e := range history {
				t.row(clockText(e.At), e.Attempt, e.Epoch, e.Step, percentText(e.Percent), printable(e.By), e.Phase,
					printable(e.Reason))
			}
			return away(t.Flush())
		},
	}
}

func (p *program) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why [<source>]", Short: "Says why a rollout is where it is", Args: withSource(0),
		Long: "Says why a rollout is where it is: who brought it there and, after a guard, what the guard had counted.\n\n" +
			"What the guards find at the moment is known to each gateway: `caddy gray status` at a Caddy.",
		Example: "  gray why etcd://10.0.0.9:2379/gray/shop",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := p.read(cmd.Context(), args)
			if err != nil {
				return err
			}
			st := r.Status()
			if st == nil {
				return away(operate.ErrNoRollout)
			}
			if p.isJSON() {
				return p.json(st)
			}
			p.showWhy(r, st)
			return nil
		},
	}
}

func (p *program) showWhy(r *operate.Release, st *live.RolloutStatus) {
	if to := r.Forced(); to != "" {
		p.line("%s", "Every request gets "+to+", whatever the rollout says: "+p.switchText(newStatus(r)))
	}
	t := newTable(p.out)
	t.row("phase", p.phase(st.Phase))
	t.row("because", printable(st.Reason))
	if st.By != "" {
		t.row("by", fmt.Sprintf("%s, at %s (%s ago)", printable(st.By), clockText(st.Since), age(st.Since)))
	}
	for _, v := range st.Guards {
		t.row("guard", fmt.Sprintf("%s (then %s)", v.Guard, v.Then))
		t.row("canary", armText(v.Canary))
		t.row("stable", armText(v.Control))
		t.row("evidence", fmt.Sprintf("%.3g to 1 that %s is worse; it acts at %.3g to 1",
			math.Exp(v.Evidence), st.Version, math.Exp(v.Threshold)))
	}
	_ = t.Flush()
}

func armText(a core.RolloutArm) string {
	share := ""
	if a.Callers > 0 {
		share = fmt.Sprintf(" (%.2g %%)", 100*float64(a.Bad)/float64(a.Callers))
	}
	return fmt.Sprintf("%d of %d callers bad%s", a.Bad, a.Callers, share)
}

// compact is a value as one line of JSON.
func compact(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
