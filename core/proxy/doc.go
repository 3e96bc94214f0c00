// Package proxy forwards requests to the upstreams of one version. It balances over them and leaves
// out those that fail, for a while. If it can reach no upstream, it returns the request to its
// caller, who serves it from stable.
//
// A request is never sent twice: it is tried on another upstream only while nothing of it has been
// sent. There is one exception, which net/http makes. If an upstream has closed a kept connection,
// a request without a body and of an idempotent method is sent again on another connection.
//
// The package imports only the standard library and can be interpreted by Yaegi. Requests therefore
// pass through plain functions instead of methods, and callbacks are prepared once for each
// upstream.
package proxy
