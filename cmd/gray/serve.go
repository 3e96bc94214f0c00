package main

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/rollout/serve"
)

// serveCommand runs the controller.
func (p *program) serveCommand() *cobra.Command {
	var path, listen string
	var isCheck bool
	cmd := &cobra.Command{
		Use: "serve", GroupID: groupServe, Short: "Moves rollouts by what gateways, metrics and alerts say",
		Args: cobra.NoArgs,
		Long: "Runs the loop of rollouts beside the sources of their policies, until it is ended by SIGTERM. Any number\n" +
			"may run for one source. See https://github.com/grayrelease/gray/blob/main/docs/serve.md for the file.",
		Example: "  gray serve --config gray.yml\n" +
			"  gray serve --config gray.yml --check\n" +
			"  gray serve --config gray.yml --listen 127.0.0.1:2021",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := serve.ReadConfig(path)
			if err != nil {
				return wrong(err)
			}
			if isCheck {
				p.line("%s is valid", path)
				return nil
			}
			if listen != "" {
				if err := c.SetListen(listen); err != nil {
					return wrong(err)
				}
			}
			s, err := serve.New(c, slog.New(slog.NewTextHandler(p.err, nil)))
			if err != nil {
				return wrong(err)
			}
			return away(s.Run(cmd.Context()))
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", "", "The file of the configuration, YAML or JSON (required)")
	cmd.Flags().StringVar(&listen, "listen", "", "The address of the API, in place of the file's")
	cmd.Flags().BoolVar(&isCheck, "check", false, "Only say what is wrong with the file")
	_ = cmd.MarkFlagRequired("config")
	_ = cmd.MarkFlagFilename("config", "yml", "yaml", "json")
	return cmd
}

// wrong is the failure of a configuration, or of what it names.
func wrong(err error) error {
	var list problem.List
	if errors.As(err, &list) && !errors.Is(err, os.ErrNotExist) {
		return &failure{exitNot, err}
	}
	return away(err)
}
