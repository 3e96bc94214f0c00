// Package decider decides for gateways that are not ours: it is what `gray decide` runs. A gateway
// asks for each request which version gets it, and changes the request as the answer says. Policies
// are followed and decided as in every host.
//
// Envoy asks by gRPC, in the protocol of its filter ext_authz (envoy.service.auth.v3). By HTTP ask
// Envoy, nginx (auth_request), HAProxy (Lua), Traefik (forwardAuth) and Caddy (forward_auth): GET
// /decide, with the request in X-Forwarded-Method, -Proto, -Host, -Uri and -For.
//
// The answer always lets the request pass. What is wrong with a question, a host that no policy is
// for, and a policy that is not known yet are answered by no version: what the client claimed is
// removed, and the gateway's default serves, which is to be the stable version.
//
//	c, err := decider.ReadConfig("decide.yml")
//	s, err := decider.New(c, slog.Default())
//	err = s.Run(ctx) // until the context ends
package decider
