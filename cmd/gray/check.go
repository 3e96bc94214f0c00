package main

import (
	"fmt"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/problem"
)

// checked is what `gray check -o json` prints of a file.
type checked struct {
	File     string    `json:"file"`
	Valid    bool      `json:"valid"`
	Problems []finding `json:"problems"`
	Warnings []finding `json:"warnings"`
}

type finding struct {
	Path    string `json:"path"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

func (p *program) checkCommand() *cobra.Command {
	var isFollowed bool
	cmd := &cobra.Command{
		Use: "check <policy.json> ...", Short: "Says what is wrong with policies", Args: cobra.MinimumNArgs(1),
		Long: "Says everything that is wrong with policies, each problem with its path and column, and warns of what is\n" +
			"valid and was probably meant otherwise. Files that a policy names are read on this machine.\n\n" +
			"The exit code is 1 if there are problems. Warnings change nothing of that.",
		Example: "  gray check policy.json\n" +
			"  gray check --followed policy.json\n" +
			"  cat policy.json | gray check -",
		RunE: func(_ *cobra.Command, args []string) error {
			var allowed *allow.List
			if isFollowed {
				allowed = &allow.List{}
			}
			return p.check(args, allowed)
		},
	}
	cmd.Flags().BoolVar(&isFollowed, "followed", false,
		"As gateways check what they follow: no files and environment variables of theirs")
	return cmd
}

func (p *program) check(files []string, allowed *allow.List) error {
	results := []checked{}
	isValid := true
	for _, file := range files {
		data, err := p.readPolicy(file)
		if err != nil {
			return err
		}
		c := checked{File: file, Problems: []finding{}, Warnings: []finding{}}
		e, err := live.Check(anyHost, data, allowed)
		c.Problems = append(c.Problems, findings(problem.Of(err))...)
		if c.Valid = err == nil; c.Valid {
			c.Warnings = append(c.Warnings, findings(e.Warnings())...)
			c.Warnings = append(c.Warnings, onlyCaddy(e)...)
		}
		isValid = isValid && c.Valid
		results = append(results, c)
	}
	if p.isJSON() {
		if err := p.json(results); err != nil {
			return err
		}
	} else {
		for _, c := range results {
			p.showChecked(c)
		}
	}
	if !isValid {
		return &failure{code: exitNot}
	}
	return nil
}

// onlyCaddy warns of attributes that other hosts refuse.
func onlyCaddy(e *core.Engine) []finding {
	var all []finding
	for _, a := range core.Attributes(e) {
		if strings.HasPrefix(a.Text, "{") {
			message := "`" + a.Text + "` is read, which Caddy alone has: other gateways refuse the policy"
			all = append(all, finding{Message: message})
		}
	}
	return all
}

func findings(list problem.List) []finding {
	var all []finding
	for _, one := range list {
		all = append(all, finding(one))
	}
	return all
}

func (p *program) showChecked(c checked) {
	for _, f := range c.Problems {
		p.line("%s: %s", c.File, problem.Problem(f))
	}
	for _, f := range c.Warnings {
		p.line("%s: %s %s", c.File, p.paint("warning:", color.FgYellow), problem.Problem(f))
	}
	if c.Valid {
		p.line("%s: valid, %s", c.File, several(len(c.Warnings), "warning"))
		return
	}
	p.line("%s: %s", c.File, p.paint(several(len(c.Problems), "problem"), color.FgRed))
}

func several(n int, what string) string {
	switch n {
	case 0:
		return "no " + what + "s"
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
