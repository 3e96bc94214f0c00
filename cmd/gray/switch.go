package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/rollout/operate"
)

func (p *program) switchCommand() *cobra.Command {
	var q request
	var isEnd bool
	cmd := &cobra.Command{
		Use:   "switch <version> [<source>] | switch --end [<source>]",
		Short: "Throws the kill switch: every request goes to one version",
		Long: "Throws the kill switch: every request goes to one version, whatever rules and rollout say, until the\n" +
			"switch is ended. It is written with the epoch after the one at the source. Where gateways have seen a\n" +
			"higher one, as after the source was restored from a backup, give that one with --epoch.",
		Example: "  gray switch v1 --reason 'errors on v2'\n" +
			"  gray switch --end --reason 'v2 is repaired'",
		Args: func(cmd *cobra.Command, args []string) error { return withSource(count(!isEnd))(cmd, args) },
	}
	p.addRequest(cmd, &q)
	cmd.Flags().BoolVar(&isEnd, "end", false, "End the switch")
	cmd.Flags().Int64Var(&q.epoch, "epoch", 0, "The highest epoch that gateways have seen (default: the source's)")
	cmd.ValidArgsFunction = p.completeVersion
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sw := live.Switch{Reason: q.reason, By: q.by}
		if !isEnd {
			sw.To = args[0]
		}
		return p.throw(cmd.Context(), sw, args[count(!isEnd):], q)
	}
	return cmd
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// throw writes the kill switch. Who sends everybody to the stable version is not asked.
func (p *program) throw(ctx context.Context, sw live.Switch, args []string, q request) error {
	s, err := p.source(args, 0)
	if err != nil {
		return err
	}
	r, err := operate.Read(ctx, s)
	if err != nil {
		return away(err)
	}
	if err := operate.CheckVersion(r.Policy.Versions, sw.To); err != nil {
		return &failure{exitNot, err}
	}
	if sw.To != r.Stable && !q.yes {
		what := r.Service + ": every request gets " + sw.To
		if sw.To == "" {
			what = r.Service + ": the kill switch ends, and rules and rollout decide again"
		}
		if err := p.confirm(ctx, what); err != nil {
			return err
		}
	}
	written, _, err := operate.Throw(ctx, s, sw, q.epoch)
	if err != nil {
		return refusal(err)
	}
	if p.isJSON() {
		return p.json(written)
	}
	what := "every request gets " + written.To
	if written.To == "" {
		what = "the kill switch has ended"
	}
	p.line("%s: %s%s", r.Service, what, details(written.Reason, written.By, "", fmt.Sprintf("epoch %d", written.Epoch)))
	return nil
}

// completeVersion completes the versions of the policy at the environment's source.
func (p *program) completeVersion(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	r, err := p.read(cmd.Context(), nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for name := range r.Policy.Versions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}
