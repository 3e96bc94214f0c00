package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/rollout"
	"github.com/grayrelease/gray/rollout/operate"
	"github.com/grayrelease/gray/rollout/store"
)

// request is what a person wants to be written, and on what conditions.
type request struct {
	reason, by string
	epoch      int64
	yes        bool
}

func (p *program) addRequest(cmd *cobra.Command, q *request) {
	cmd.Flags().StringVar(&q.reason, "reason", "", "Why, for the record")
	cmd.Flags().StringVar(&q.by, "by", p.by, "Who does it, for the record")
	cmd.Flags().BoolVarP(&q.yes, "yes", "y", false, "Do not ask")
}

// verbTexts have more about verbs than rollout.Text says.
var verbTexts = map[string]string{
	rollout.Advance:  "The step begins at once, whatever this one waits for. After the last one the rollout is complete.",
	rollout.Pause:    "The percentage stays, and guards go on. The time of the pause does not count towards the step.",
	rollout.Resume:   "A guard that has paused the rollout does not pause this attempt again.",
	rollout.Rollback: "It works in every phase, after completion too, and lasts until `gray retry`, or another plan.",
	rollout.Retry:    "A new attempt begins at the first step, with new evidence.",
	rollout.Goto:     "Steps count from 1. It may go up or down.",
}

// verbCommands returns a command for each verb of rollouts.
func (p *program) verbCommands() []*cobra.Command {
	var commands []*cobra.Command
	for _, verb := range rollout.Verbs() {
		commands = append(commands, p.verbCommand(verb))
	}
	return commands
}

func (p *program) verbCommand(verb string) *cobra.Command {
	var q request
	var to string
	n := 0 // arguments before the source
	cmd := &cobra.Command{
		Use: verb + " [<source>]", Short: rollout.Text(verb),
		Example: "  gray " + verb + " --reason 'looks well'\n" +
			"  gray " + verb + " --yes etcd://10.0.0.9:2379/gray/shop",
	}
	cmd.Long = rollout.Text(verb) + "."
	if more := verbTexts[verb]; more != "" {
		cmd.Long += " " + more
	}
	p.addRequest(cmd, &q)
	cmd.Flags().Int64Var(&q.epoch, "epoch", 0, "Only if the state's epoch is still this one")
	switch verb {
	case rollout.Goto:
		n = 1
		cmd.Use = "goto <step> [<source>]"
		cmd.Example = "  gray goto 2 --reason 'once more with 5 %'"
	case rollout.Rollback:
		cmd.Flags().StringVar(&to, "to", "", "The version that must be the one it goes back to (default: any)")
		cmd.Example = "  gray rollback --reason 'errors at checkout'\n" +
			"  gray rollback --to v1 etcd://10.0.0.9:2379/gray/shop"
	}
	cmd.Args = withSource(n)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c := rollout.Command{Verb: verb, By: q.by, Reason: q.reason, Epoch: q.epoch}
		if verb == rollout.Goto {
			step, err := strconv.Atoi(args[0])
			if err != nil {
				return usage("%s is not a step: want a number from 1", problem.Quote(args[0]))
			}
			c.Step = step
		}
		s, err := p.source(args, n)
		if err != nil {
			return err
		}
		return p.do(cmd.Context(), s, c, to, q.yes)
	}
	return cmd
}

// do gives a command, after it has shown what will happen and, before a raise, has asked.
func (p *program) do(ctx context.Context, s *store.Store, c rollout.Command, to string, yes bool) error {
	r, err := operate.Read(ctx, s)
	if err != nil {
		return away(err)
	}
	if to != "" && to != r.Stable {
		return &failure{exitNot, fmt.Errorf(
			"a rollout goes back to the stable version, %s: for another one use `gray switch %s`", r.Stable, to)}
	}
	next, err := r.Preview(c)
	if err != nil {
		return refusal(err)
	}
	if asksFirst(c.Verb, r, &next) && !yes {
		what := fmt.Sprintf("%s: %s -> %s", r.Service, place(r.Plan, r.State), place(r.Plan, &next))
		if err := p.confirm(ctx, what); err != nil {
			return err
		}
		c.Epoch = r.State.Epoch // what was shown is what is changed
	}
	state, err := operate.Do(ctx, s, c)
	if err != nil {
		return refusal(err)
	}
	if p.isJSON() {
		return p.json(&state)
	}
	p.line("%s: %s: %s (epoch %d)", r.Service, place(r.Plan, &state), printable(state.Reason), state.Epoch)
	if to := r.Forced(); to != "" {
		p.line("Every request gets %s all the same: the kill switch is on, or the policy is not enabled", to)
	}
	return nil
}

// asksFirst reports whether a person is asked before a command: if it may raise the percentage.
func asksFirst(verb string, r *operate.Release, next *core.RolloutState) bool {
	isDown := verb == rollout.Goto && r.State != nil && next.Percent <= r.State.Percent
	return rollout.Raises(verb) && !isDown
}

// place says in a few words where a rollout is.
func place(plan *core.RolloutPlan, s *core.RolloutState) string {
	switch {
	case s == nil:
		return "not begun"
	case s.Phase == core.PhaseRolledBack:
		return "rolled back to " + plan.Stable
	}
	text := fmt.Sprintf("%s at %s", s.Phase, percentText(s.Percent))
	if s.Step > 0 {
		text += fmt.Sprintf(", step %d of %d", s.Step, len(plan.Steps))
	}
	if s.Approved {
		text += ", approved"
	}
	return text
}

// refusal is the failure of what is not possible, or of a source that is away.
func refusal(err error) error {
	var access *store.AccessError
	if errors.As(err, &access) || errors.Is(err, operate.ErrNoPolicy) || errors.Is(err, operate.ErrNoRollout) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return away(err)
	}
	return &failure{exitNot, err}
}

// confirm asks whether to go on. Where nobody can be asked, it says how to do without.
func (p *program) confirm(ctx context.Context, what string) error {
	if !p.isTerminal(p.in) {
		return usage("%s: this raises what a new version gets: add --yes, since nobody can be asked here", what)
	}
	_, _ = fmt.Fprintf(p.err, "%s\nGo on? [y/N] ", what)
	answers := make(chan string, 1)
	go func() { // which a person who leaves has no answer for
		var answer string
		_, _ = fmt.Fscanln(p.in, &answer)
		answers <- strings.ToLower(answer)
	}()
	select {
	case answer := <-answers:
		if answer == "y" || answer == "yes" {
			return nil
		}
	case <-ctx.Done():
		_, _ = fmt.Fprintln(p.err)
	}
	return &failure{exitNot, errors.New("nothing was changed")}
}
