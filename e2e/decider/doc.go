// Package decider tests the decision server behind real gateways, which run the configurations of
// docs/decide.md.
package decider
