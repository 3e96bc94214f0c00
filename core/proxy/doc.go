// Package proxy forwards requests to the upstreams of one version. It balances over them, leaves out for a while those that
// fail, and hands a request back to its caller, who serves it from stable, when no upstream can be reached.
//
// A request is never sent twice: it moves on to another upstream only while nothing of it has been sent. What net/http does
// by itself stays: a request without a body and of an idempotent method is repeated when the kept connection that it was
// sent on turns out to have been closed by the upstream.
//
// The package uses the standard library only and is written for the Yaegi interpreter too: on the path of a request there
// are plain functions instead of methods, and callbacks are prepared once for each upstream.
package proxy
