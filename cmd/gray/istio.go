package main

import (
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/decider/istio"
)

// istioCommand says policies in Istio's words, and reads them.
func (p *program) istioCommand() *cobra.Command {
	return family("istio", "Says a policy in Istio's words, and reads them",
		"Writes a VirtualService and a DestinationRule of a policy, and reads a policy of them. What of either is\n"+
			"lost, the standard error says. See https://github.com/grayrelease/gray/blob/main/docs/istio.md.",
		"  gray istio export policy.json | kubectl apply -f -\n"+
			"  kubectl get virtualservice,destinationrule -o yaml | gray istio import --name shop -",
		p.istioExportCommand(), p.istioImportCommand())
}

func (p *program) istioExportCommand() *cobra.Command {
	var o istio.Options
	cmd := &cobra.Command{
		Use: "export <policy.json>", Short: "Writes Istio's manifests of a policy", Args: cobra.ExactArgs(1),
		Long: "Writes a DestinationRule, with a subset for each version, and a VirtualService. Says of each rule which\n" +
			"way it went: as a route; as weights, with --weights; or over ext_authz, by a decision server that the\n" +
			"gateway asks (gray decide). Then an AuthorizationPolicy and the mesh's configuration are written too.",
		Example: "  gray istio export policy.json\n" +
			"  gray istio export --weights --service shop.prod.svc.cluster.local policy.json\n" +
			"  gray istio export --host shop.example.com --gateway istio-system/public policy.json",
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := p.loadPolicy(args[0])
			if err != nil {
				return err
			}
			x, err := istio.NewExport(e, o)
			if err != nil {
				return &failure{exitNot, err}
			}
			return p.writeRoutes(x.Plan, x.Objects, x.Mesh)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "", "The name of the objects (default the policy's service)")
	flags.StringVarP(&o.Namespace, "namespace", "n", "", "The namespace of the objects")
	flags.StringVar(&o.Service, "service", "", "The host of the Kubernetes service (default the name)")
	flags.Uint32Var(&o.Port, "port", 0, "The port of that service, if it has several")
	flags.StringArrayVar(&o.Hosts, "host", nil, "A host that callers ask for (default the service)")
	flags.StringArrayVar(&o.Gateways, "gateway", nil, "A gateway that the routes are for, or mesh (default mesh)")
	flags.StringVar(&o.Label, "label", "", "The label of pods that tells versions apart (default version)")
	flags.BoolVar(&o.Weights, "weights", false, "Percentages become weights, which are drawn for each request")
	serverFlags(cmd, &o.Server)
	return cmd
}

// serverFlags are those about the decision server.
func serverFlags(cmd *cobra.Command, s *istio.Server) {
	flags := cmd.Flags()
	flags.StringVar(&s.Address, "server", "",
		"The decision server (default gray-decide.gray-system.svc.cluster.local:2023)")
	flags.StringVar(&s.Provider, "provider", "", "Its name in the mesh's configuration (default gray)")
	flags.DurationVar(&s.Timeout, "timeout", 0, "How long a request waits for it (default 200ms)")
	flags.StringVar(&s.Namespace, "gateway-namespace", "",
		"The namespace of the gateway's pods (default that of the first gateway)")
	flags.BoolVar(&s.EnvoyFilter, "envoy-filter", false,
		"Add an EnvoyFilter, for an Istio that does not pass clearRouteCache on")
	flags.StringToStringVar(&s.Selector, "selector", nil,
		"The labels of the gateway's pods (default istio=ingressgateway)")
}

func (p *program) istioImportCommand() *cobra.Command {
	var o istio.ImportOptions
	cmd := &cobra.Command{
		Use: "import <manifests.yaml>", Short: "Reads a policy of Istio's manifests", Args: cobra.ExactArgs(1),
		Long: "Reads a VirtualService, and the DestinationRules beside it, and writes the policy that decides the same.\n" +
			"Says of each field what of it a policy does not say. The exit code is 1 if a route had to be left out.",
		Example: "  gray istio import shop.yaml\n" +
			"  gray istio import --stable v1 shop.yaml > policy.json\n" +
			"  kubectl get virtualservice,destinationrule -o yaml | gray istio import --name shop -",
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := p.readPolicy(args[0])
			if err != nil {
				return err
			}
			in, err := istio.NewImport(text, o)
			if err != nil {
				return &failure{exitNot, err}
			}
			return p.writePolicy(in.Policy, in.Findings)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Name, "name", "", "The VirtualService, as name or namespace/name (default the only one)")
	flags.StringVar(&o.Stable, "stable", "", "The version served when no rule matches (default the heaviest)")
	flags.StringVar(&o.Label, "label", "", "The label of pods that tells versions apart (default version)")
	return cmd
}
