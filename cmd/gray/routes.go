package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/decider/manifest"
	"github.com/grayrelease/gray/decider/routes"
)

// written is what `gray istio export -o json` and its like print.
type written struct {
	Rules     []routes.RuleWay   `json:"rules"`
	Notes     []string           `json:"notes"`
	General   []string           `json:"general"`
	Manifests []*manifest.Object `json:"manifests"`
	Mesh      string             `json:"mesh,omitempty"`
}

// wasRead is what `gray istio import -o json` and its like print.
type wasRead struct {
	Policy   *core.Policy     `json:"policy"`
	Findings []routes.Finding `json:"findings"`
}

// writeRoutes prints manifests, and on the other stream what became of each rule.
func (p *program) writeRoutes(plan *routes.Plan, objects []*manifest.Object, mesh string) error {
	if p.isJSON() {
		return p.json(written{plan.Rules, plan.Notes, routes.General, objects, mesh})
	}
	text, err := manifest.Write(objects)
	if err != nil {
		return away(err)
	}
	if mesh != "" {
		p.line("# The mesh's configuration needs this (istioctl, Helm's values, or the ConfigMap istio):")
		for line := range strings.Lines(mesh) {
			p.line("# %s", strings.TrimRight(line, "\n"))
		}
		p.line("---")
	}
	_, _ = p.out.Write(text)
	ways := map[routes.Way]color.Attribute{routes.ByRoute: color.FgGreen, routes.ByWeights: color.FgCyan,
		routes.ByServer: color.FgYellow, routes.ByNothing: color.FgRed}
	for _, r := range plan.Rules {
		way := p.paintError(string(r.Way), ways[r.Way])
		if r.Why != "" {
			way += ": " + printable(r.Why)
		}
		p.errorLine("rule %s -> %s: %s", printable(r.Rule), strings.Join(r.Versions, ", "), way)
		for _, lost := range r.Lost {
			p.errorLine("  lost: %s", lost)
		}
	}
	for _, note := range plan.Notes {
		p.errorLine("note: %s", printable(note))
	}
	return nil
}

// writePolicy prints a policy, and on the other stream what it does not say. It fails if that is a
// rule.
func (p *program) writePolicy(policy *core.Policy, findings []routes.Finding) error {
	isWhole := true
	for _, f := range findings {
		isWhole = isWhole && !f.LeftOut
	}
	if p.isJSON() {
		if findings == nil {
			findings = []routes.Finding{}
		}
		if err := p.json(wasRead{policy, findings}); err != nil {
			return err
		}
	} else {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(policy); err != nil {
			return away(err)
		}
		_, _ = p.out.Write(text.Bytes())
		for _, f := range findings {
			mark := p.paintError("not said:", color.FgYellow)
			if f.LeftOut {
				mark = p.paintError("left out:", color.FgRed)
			}
			p.errorLine("%s %s", mark, printable(f.String()))
		}
	}
	if !isWhole {
		return &failure{code: exitNot}
	}
	return nil
}

func (p *program) errorLine(format string, args ...any) {
	_, _ = fmt.Fprintf(p.err, format+"\n", args...)
}

// meshCommands are those that say policies in the words of meshes and gateways.
func (p *program) meshCommands() []*cobra.Command {
	commands := []*cobra.Command{p.istioCommand(), p.gatewayCommand()}
	for _, c := range commands {
		c.GroupID = groupMesh
	}
	return commands
}

// family is a command that has others under it.
func family(use, short, long, example string, commands ...*cobra.Command) *cobra.Command {
	parent := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	parent.AddCommand(commands...)
	return parent
}
