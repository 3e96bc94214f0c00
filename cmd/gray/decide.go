package main

import (
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/decider"
)

// decideFlags are the command line in place of a file: one service.
type decideFlags struct {
	config, listen, grpc, admin string
	isCheck                     bool
	service                     decider.Service
}

// decideCommand runs the decision server.
func (p *program) decideCommand() *cobra.Command {
	var f decideFlags
	cmd := &cobra.Command{
		Use: "decide", GroupID: groupServe, Short: "Decides for Envoy, nginx, HAProxy and other gateways",
		Args: cobra.NoArgs,
		Long: "Answers gateways that ask, for each request, which version gets it: by gRPC (Envoy's ext_authz) and by\n" +
			"HTTP (GET /decide), until it is ended by SIGTERM. One service fits the command line; more, and all else, are in\n" +
			"a file. How gateways ask: https://github.com/grayrelease/gray/blob/main/docs/decide.md.",
		Example: "  gray decide --config decide.yml\n" +
			"  gray decide --config decide.yml --check\n" +
			"  gray decide --service shop --source etcd://10.0.0.9:2379/gray/shop --grpc 127.0.0.1:2023",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.read()
			return runServer(p, cmd, c, err, f.isCheck, decider.New)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.config, "config", "c", "", "The file of the configuration, YAML or JSON")
	flags.StringVar(&f.listen, "listen", "", "The address of decisions by HTTP, in place of the file's")
	flags.StringVar(&f.grpc, "grpc", "", "The address of decisions by gRPC, in place of the file's")
	flags.StringVar(&f.admin, "admin", "", "The address of the state and the metrics, in place of the file's")
	flags.BoolVar(&f.isCheck, "check", false, "Only say what is wrong with the configuration")
	flags.StringVar(&f.service.Service, "service", "", "Without a file: the name of the service")
	flags.StringVar(&f.service.Source, "source", "", "Without a file: the URL of its policy")
	cmd.MarkFlagsOneRequired("config", "service")
	cmd.MarkFlagsMutuallyExclusive("config", "service")
	cmd.MarkFlagsMutuallyExclusive("config", "source")
	cmd.MarkFlagsRequiredTogether("service", "source")
	_ = cmd.MarkFlagFilename("config", "yml", "yaml", "json")
	return cmd
}

// read returns the configuration of the file, or of the command line.
func (f *decideFlags) read() (*decider.Config, error) {
	c := &decider.Config{Services: []decider.Service{f.service}}
	if f.config != "" {
		var err error
		if c, err = decider.ReadConfig(f.config); err != nil {
			return nil, err
		}
	}
	for _, given := range []struct {
		flag string
		into *string
	}{{f.listen, &c.Listen}, {f.grpc, &c.GRPC}, {f.admin, &c.Admin}} {
		if given.flag != "" {
			*given.into = given.flag
		}
	}
	return c, c.Check()
}
