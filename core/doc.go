// Package core decides which version of a service a request gets. It is the engine of every host,
// and knows none of them.
//
// To read it in order: Policy (policy.go) is what users write, and ParsePolicy (decode.go) reads
// it. New (engine.go) checks it (check.go, rule.go), with the lines of conditions in condition.go,
// and compile (compile.go) makes the graph of questions that Decide (decide.go) walks for each
// request. attribute.go is the table of what conditions may ask about, value.go reads the values,
// and cookies, queries, baggage and claims have a file each. identity.go says who the caller is,
// bucket.go which share of callers a percentage takes. An Overlay (overlay.go) ranks above the
// rules. Explain (explain.go) says why a decision is what it is, Pass (effects.go) puts the
// decision on the request, Handler (handler.go) is the middleware of it all, and Vary (vary.go)
// lists what caches must know.
//
// The package runs compiled and in the Yaegi interpreter. It keeps to the standard library and to
// the language of Go 1.20. Where the two need different code, a file ends in _yaegi.go.
package core
