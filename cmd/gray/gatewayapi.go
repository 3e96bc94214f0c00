package main

import (
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/decider/gatewayapi"
)

// gatewayCommand says policies as HTTPRoutes, and reads them.
func (p *program) gatewayCommand() *cobra.Command {
	return family("gateway-api", "Says a policy as an HTTPRoute of the Gateway API, and reads them",
		"Writes an HTTPRoute of a policy, and reads a policy of one. What of either is lost, the standard error\n"+
			"says. See https://github.com/grayrelease/gray/blob/main/docs/istio.md#gateway-api.",
		"  gray gateway-api export --gateway infra/public policy.json | kubectl apply -f -\n"+
			"  kubectl get httproute shop -o yaml | gray gateway-api import -",
		p.gatewayExportCommand(), p.gatewayImportCommand())
}

func (p *program) gatewayExportCommand() *cobra.Command {
	var o gatewayapi.Options
	cmd := &cobra.Command{
		Use: "export <policy.json>", Short: "Writes an HTTPRoute of a policy", Args: cobra.ExactArgs(1),
		Long: "Writes an HTTPRoute that leads to a service for each version. Says of each rule which way it went: as a\n" +
			"route; as weights, with --weights; or over ext_authz, by a decision server that the gateway asks\n" +
			"(gray decide). Then Istio's AuthorizationPolicy and the mesh's configuration are written too.",
		Example: "  gray gateway-api export --gateway infra/public policy.json\n" +
			"  gray gateway-api export --weights --backend v1=shop --backend v2=shop-next policy.json",
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := p.loadPolicy(args[0])
			if err != nil {
				return err
			}
			x, err := gatewayapi.NewExport(e, o)
			if err != nil {
				return &failure{exitNot, err}
			}
			return p.writeRoutes(x.Plan, x.Objects, x.Mesh)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "", "The name of the route (default the policy's service)")
	flags.StringVarP(&o.Namespace, "namespace", "n", "", "The namespace of the route")
	flags.StringArrayVar(&o.Hosts, "host", nil, "A host that the route is for (default all of the gateway's)")
	flags.StringArrayVar(&o.Gateways, "gateway", nil,
		"A gateway that the route belongs to (default the service of that name, for calls in a mesh)")
	flags.StringToStringVar(&o.Services, "backend", nil,
		"The Kubernetes service of a version, as v1=shop (default the name, a dash and the version)")
	flags.Int32Var(&o.Port, "port", 80, "The port of the services")
	flags.BoolVar(&o.Weights, "weights", false, "Percentages become weights, which are drawn for each request")
	serverFlags(cmd, &o.Server)
	return cmd
}

func (p *program) gatewayImportCommand() *cobra.Command {
	var o gatewayapi.ImportOptions
	cmd := &cobra.Command{
		Use: "import <route.yaml>", Short: "Reads a policy of an HTTPRoute", Args: cobra.ExactArgs(1),
		Long: "Reads an HTTPRoute, and writes the policy that decides the same, with rules in the order in which the\n" +
			"Gateway API prefers matches. Says of each field what of it a policy does not say. The exit code is 1 if a\n" +
			"rule had to be left out.",
		Example: "  gray gateway-api import shop.yaml\n" +
			"  kubectl get httproute shop -o yaml | gray gateway-api import --stable shop-v1 -",
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := p.readPolicy(args[0])
			if err != nil {
				return err
			}
			in, err := gatewayapi.NewImport(text, o)
			if err != nil {
				return &failure{exitNot, err}
			}
			return p.writePolicy(in.Policy, in.Findings)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "The HTTPRoute, as name or namespace/name (default the only one)")
	cmd.Flags().StringVar(&o.Stable, "stable", "", "The version served when no rule matches (default the heaviest)")
	return cmd
}
