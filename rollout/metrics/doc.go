// Package metrics makes Prometheus metrics of what is in force: where rollouts are, and what their
// policies' sources say.
//
// Labels come from policies and configurations, and words of a small fixed set. Nothing that a
// client sends becomes one.
package metrics
