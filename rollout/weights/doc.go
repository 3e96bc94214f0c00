// Package weights keeps the weights of routes in Kubernetes equal to the percentage of a rollout:
// of an Istio VirtualService, or of an HTTPRoute of the Gateway API.
//
// They are written by server-side apply, with a field manager of their own. Lists of routes are one
// value to Kubernetes (they are atomic), so what is applied is the whole list as it was read, with
// other weights. It is refused if somebody else has changed the object meanwhile, and then read
// again.
package weights
