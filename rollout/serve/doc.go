// Package serve moves rollouts where no gateway does, and where more is known than a gateway
// measures: it is what `gray serve` runs. For each service it follows the policy at its source,
// runs the loop of its rollout, and feeds it with signals:
//
//   - the evidence of gateways (Caddy's /gray/<service>/evidence), a caller counted once over all;
//   - counters of other programs, scraped directly: those of Traefik, Envoy, Istio, or any;
//   - the queries of the plan, at Prometheus;
//   - alerts, which Alertmanager delivers;
//   - a hook that must agree before the percentage rises.
//
// Any number of controllers may serve the same source: states are written by compare-and-set, so
// that one of them raises a percentage, once. They need nothing but the source.
//
//	c, err := serve.ReadConfig("gray.yml")
//	s, err := serve.New(c, slog.Default())
//	err = s.Run(ctx) // until the context ends
package serve
