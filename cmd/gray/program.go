package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// program is what the commands have of the world.
type program struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string
	by       string // who runs it

	isTerminal func(stream any) bool // that a person sits at

	format string // of the output: text or json
}

// Exit codes. See exitCodesText.
const (
	exitDone    = 0
	exitNot     = 1
	exitWaiting = 2
	exitUsage   = 3
	exitAway    = 4
)

const exitCodesText = `Exit codes:

  0  done. Of check: no problems. Of wait: the rollout is complete
  1  not done: the rollout is not in a phase for that, somebody else was faster, or you said no.
     Of check: there are problems. Of wait: the rollout was rolled back
  2  of wait: the rollout is paused, or the time is over
  3  the command line is wrong, or lacks --yes where nobody can be asked
  4  a source, a gateway or a file cannot be read or written, or has nothing to work with`

// failure is an error with its exit code. Without an error nothing is printed.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string {
	if f.err == nil {
		return ""
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// usage is a failure of who calls the command.
func usage(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// away is the failure of something that is not there.
func away(err error) error {
	if err == nil {
		return nil
	}
	return &failure{exitAway, err}
}

// run runs a command line and returns the exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	var f *failure
	if !errors.As(err, &f) { // of cobra
		f = &failure{exitUsage, fmt.Errorf("%w\nRun `gray help` for the commands, and `gray help <command>` for one", err)}
	}
	if f.err != nil {
		_, _ = fmt.Fprintln(p.err, "gray: "+f.err.Error())
	}
	return f.code
}

// Groups of commands in the help.
const (
	groupOperate = "operate"
	groupBefore  = "before"
	groupServe   = "serve"
	groupMesh    = "mesh"
)

// examplesLast moves the examples to the end of cobra's template: that is what is left on the
// screen.
func examplesLast(template string) string {
	const examples = "{{if .HasExample}}\n\nExamples:\n{{.Example}}{{end}}"
	return strings.Replace(template, examples, "", 1) + strings.TrimPrefix(examples, "\n") + "\n"
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gray",
		Short: "Operates releases",
		Long: "Shows where a release is, moves it, and says before a change what it would do.\n\n" +
			"Commands that operate a release take the URL of the policy's source, as gateways do:\n" +
			"etcd://host:2379/key, consul://host:8500/key, nacos://host:8848/dataId, http(s)://host/file,\n" +
			"file:///path, or the path of a file. Default: the environment variable GRAY_SOURCE.",
		Example: "  export GRAY_SOURCE=etcd://10.0.0.9:2379/gray/shop\n" +
			"  gray status\n" +
			"  gray approve --reason 'looks well'\n" +
			"  gray rollback --reason 'errors at checkout'",
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVarP(&p.format, "output", "o", formatText, "The output: text or json")
	_ = root.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{formatText, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if p.format != formatText && p.format != formatJSON {
			return usage("--output: %q is not an output: want text or json", p.format)
		}
		return nil
	}
	root.SetUsageTemplate(examplesLast(root.UsageTemplate()))
	root.AddGroup(&cobra.Group{ID: groupOperate, Title: "Operate a release:"},
		&cobra.Group{ID: groupBefore, Title: "Before a change:"},
		&cobra.Group{ID: groupServe, Title: "Run a controller, or a decision server:"},
		&cobra.Group{ID: groupMesh, Title: "Meshes and gateways that are not ours:"})
	root.AddCommand(p.operating()...)
	root.AddCommand(p.before()...)
	root.AddCommand(p.serveCommand(), p.decideCommand())
	root.AddCommand(p.meshCommands()...)
	root.AddCommand(p.exitCodes())
	return root
}

// operating are the commands that operate a release.
func (p *program) operating() []*cobra.Command {
	commands := append([]*cobra.Command{p.statusCommand()}, p.verbCommands()...)
	commands = append(commands, p.switchCommand(), p.historyCommand(), p.whyCommand(), p.waitCommand())
	for _, c := range commands {
		c.GroupID = groupOperate
	}
	return commands
}

// before are the commands that say what a change would do.
func (p *program) before() []*cobra.Command {
	commands := []*cobra.Command{p.checkCommand(), p.explainCommand(), p.simulateCommand(), p.diffCommand(),
		p.planCommand()}
	for _, c := range commands {
		c.GroupID = groupBefore
	}
	return commands
}

func (p *program) exitCodes() *cobra.Command {
	return &cobra.Command{
		Use: "exit-codes", Short: "Says what exit codes mean", Long: exitCodesText, Args: cobra.NoArgs,
		Example: "  gray wait --timeout 2h || echo \"not complete: $?\"",
		Run:     func(*cobra.Command, []string) { p.line("%s", exitCodesText) },
	}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
