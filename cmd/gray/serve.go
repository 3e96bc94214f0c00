package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/rollout/serve"
)

// serveFlags are the command line in place of a file: one service.
type serveFlags struct {
	config, listen string
	isCheck        bool
	service        serve.Service
	prometheus     string
}

// serveCommand runs the controller.
func (p *program) serveCommand() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve", GroupID: groupServe, Short: "Moves rollouts by what gateways, metrics and alerts say",
		Args: cobra.NoArgs,
		Long: "Runs the loop of rollouts beside the sources of their policies, until it is ended by SIGTERM. Any number\n" +
			"may run for one source. One service fits the command line; more, and all else, are in a file, see\n" +
			"https://github.com/grayrelease/gray/blob/main/docs/serve.md.",
		Example: "  gray serve --config gray.yml\n" +
			"  gray serve --config gray.yml --check\n" +
			"  gray serve --service shop --source etcd://10.0.0.9:2379/gray/shop --gateway http://10.0.0.5:2019",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.read()
			return runServer(p, cmd, c, err, f.isCheck, serve.New)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "The file of the configuration, YAML or JSON")
	flags.StringVar(&f.listen, "listen", "", "The address of the API, in place of the file's")
	flags.BoolVar(&f.isCheck, "check", false, "Only say what is wrong with the configuration")
	flags.StringVar(&f.service.Service, "service", "", "Without a file: the name of the service")
	flags.StringVar(&f.service.Source, "source", "", "Without a file: the URL of its policy")
	flags.StringArrayVar(&f.service.Gateways, "gateway", nil,
		"Without a file: the admin endpoint of a Caddy that measures")
	flags.StringVar(&f.prometheus, "prometheus", "", "Without a file: the URL of Prometheus")
	cmd.MarkFlagsOneRequired("config", "service")
	for _, flag := range []string{"service", "source", "gateway", "prometheus"} {
		cmd.MarkFlagsMutuallyExclusive("config", flag)
	}
	cmd.MarkFlagsRequiredTogether("service", "source")
	_ = cmd.MarkFlagFilename("config", "yml", "yaml", "json")
	return cmd
}

// read returns the configuration of the file, or of the command line.
func (f *serveFlags) read() (*serve.Config, error) {
	if f.config == "" {
		c := &serve.Config{Listen: f.listen, Services: []serve.Service{f.service}}
		if f.prometheus != "" {
			c.Prometheus = &serve.Prometheus{URL: f.prometheus}
		}
		return c, c.Check()
	}
	c, err := serve.ReadConfig(f.config)
	if err != nil || f.listen == "" {
		return c, err
	}
	c.Listen = f.listen
	return c, c.Check()
}

// runServer runs what a configuration describes until the context of the command ends, or only says
// that the configuration is valid. Err is why it could not be read.
func runServer[C any, S interface {
	Run(ctx context.Context) error
}](
	p *program, cmd *cobra.Command, c C, err error, isCheck bool, open func(C, *slog.Logger) (S, error),
) error {
	if err != nil {
		return wrong(err)
	}
	if isCheck {
		p.line("the configuration is valid")
		return nil
	}
	s, err := open(c, slog.New(slog.NewTextHandler(p.err, nil)))
	if err != nil {
		return wrong(err)
	}
	return away(s.Run(cmd.Context()))
}

// wrong is the failure of a configuration, or of what it names.
func wrong(err error) error {
	var list problem.List
	if errors.As(err, &list) && !errors.Is(err, os.ErrNotExist) {
		return &failure{exitNot, err}
	}
	return away(err)
}
