// Package routes says a policy in routes: lists of matches on requests, each with the versions that
// it leads to and their weights. Meshes and gateways that are not ours decide by such lists; the
// packages beside this one write them in the words of one kind, and read them.
//
// A route says less than a rule. So Compile also says of each rule which way it goes and what is
// lost: as a route, as weights, or over a decision server that the gateway asks by ext_authz.
//
// What no route compares as gray does, whatever it matches, is in General.
package routes

// General lists how routes of Envoy differ from conditions for any rule. All of it concerns
// requests that clients do not send by themselves.
var General = []string{
	"a header that is repeated is compared as one value, joined by commas; gray compares each value",
	"a value longer than 8,192 bytes or not UTF-8 is compared; to gray it is absent",
	"a path is compared as Istio normalises it: an escaped slash (%2F) is no slash",
}
