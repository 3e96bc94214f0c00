// Package core decides which version of a service a request gets: the engine of every host, which knows none of them.
//
// To read it in order: Policy (policy.go) is what users write; New (engine.go) checks it, with the lines of conditions in
// condition.go, and compile (compile.go) makes the graph of questions that Decide (decide.go) walks for each request. Where the
// values of a request come from is in source.go and a file for each of cookies, queries, baggage and claims; who the caller is in
// identity.go, which share of callers a percentage takes in bucket.go. Explain tells why, Pass tells whoever comes after, Handler is
// the middleware of it all, and Follow keeps a policy in force that changes while it serves.
//
// The package runs compiled and in the Yaegi interpreter. It keeps to the standard library and to the language of Go 1.20; where
// the two want different code, a file ends in _yaegi.go.
package core
