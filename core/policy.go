package core

import (
	"github.com/grayrelease/gray/core/jwt"
)

//go:generate go -C ../e2e/schema run .

// Policy is the policy document: who gets which version of one service. Its JSON form is the same
// in files, configuration centres, Caddy's JSON and Traefik's dynamic configuration.
//
// Rules are tried in order and the first that matches decides; when none does, the stable version
// serves. A value that is not UTF-8 or is longer than 8,192 bytes counts as absent, and so does a
// whole query of more than 65,536 bytes.
type Policy struct {
	// Schema is the URL or the path of the document's JSON Schema, for editors. Gray does not read
	// it. Default: none.
	Schema string `json:"$schema,omitempty" mapstructure:"$schema"`
	// Service names the service; it is part of every default salt. Required.
	Service string `json:"service,omitempty"`
	// Enabled set to false turns the policy off: every request gets the stable version, whatever
	// the rules say. Default: true.
	Enabled *bool `json:"enabled,omitempty"`
	// Stable is the version that serves when no rule matches. Required, one of Versions.
	Stable string `json:"stable,omitempty"`
	// Versions are the service's versions by name: 1 to 63 of A-Z a-z 0-9 . _ - Required.
	Versions map[string]Version `json:"versions,omitempty"`
	// Identity says who the caller is, for percentages and for `identity` conditions: attributes as
	// in conditions (`claim sub`, `cookie uid`, `header X-User-ID`, `query id`, `ip`). The first
	// that has a non-empty value counts. Default: ip.
	Identity []string `json:"identity,omitempty"`
	// Anonymous says what becomes of a caller without an identity at a rule with a percentage:
	// "stable" (the rule does not match, the default), "random" (a new random identity for each
	// request) or "cookie" (a random identity, remembered in a cookie).
	Anonymous string `json:"anonymous,omitempty"`
	// Cookie is the cookie of Anonymous "cookie".
	Cookie Cookie `json:"cookie,omitzero"`
	// Rules send callers to versions, in order.
	Rules []Rule `json:"rules,omitempty"`
	// Lists are named sets of values, which conditions refer to by `in @name`.
	Lists map[string][]string `json:"lists,omitempty"`
	// Header is the request header that carries the version to the upstream. What the client sent
	// under that name is removed; conditions see it only from trusted peers. Default:
	// X-Gray-Version.
	Header string `json:"header,omitempty"`
	// Trust lists addresses and prefixes of peers (the connection's other end, not the client
	// behind it) whose own Header and `gray` baggage member conditions may match, as a gateway
	// further in does with what a gateway further out decided. Default: none.
	Trust []string `json:"trust,omitempty"`
	// Vouch says who vouches for the request headers that Identity names (`header K`, `baggage K`),
	// which a client may send too: "peers" (they count only from peers in Trust, which is then
	// required) or "gateway" (what runs before gray in the gateway sets or removes them, so they
	// count from every peer). Default: nobody; they count from every peer, and Caddy warns of it.
	Vouch string `json:"vouch,omitempty"`
	// JWT says where tokens are and how they are verified. Required if `claim` is used.
	JWT *jwt.Config `json:"jwt,omitempty"`
	// Tester lets links with a token give a browser a version, whatever the rules say. Default: none.
	Tester *Tester `json:"tester,omitempty"`
	// Rollout raises the percentage of a rule step by step, and takes it back when the version is
	// bad. Default: none.
	Rollout *Rollout `json:"rollout,omitempty"`
}

// Version is where one version of the service runs: one of the fields, or none if something else
// knows the upstreams.
type Version struct {
	// Upstreams are the version's instances, as URLs or host:port, each with ` weight=N` behind it if
	// it is to get N times the requests of one without (1 to 1000).
	Upstreams []string `json:"upstreams,omitempty"`
	// Discover is the URL of a service registry's entry that lists the version's instances.
	Discover string `json:"discover,omitempty"`
}

// Cookie is the cookie that remembers a random identity. It is HttpOnly.
type Cookie struct {
	// Name of the cookie. Default: gray_id.
	Name string `json:"name,omitempty"`
	// Lifetime of the cookie, as a Go duration or in days (30d). Default: 720h.
	Lifetime string `json:"lifetime,omitempty"`
	// Domain that the cookie is for, with its subdomains. Default: the request's host alone.
	Domain string `json:"domain,omitempty"`
	// Path that the cookie is for, with what is under it. Default: /.
	Path string `json:"path,omitempty"`
	// SameSite: "lax", "strict" or "none". "lax" sends the cookie with links from other sites, so
	// that they find the visitor in the same version; "none" also with what other sites embed, and
	// requires Secure "always". Default: lax.
	SameSite string `json:"same_site,omitempty" mapstructure:"same_site"`
	// Secure: "auto" (sent over TLS only, if the client came by TLS: to the gateway, or to a trusted
	// peer that says so in X-Forwarded-Proto) or "always". Default: auto.
	Secure string `json:"secure,omitempty"`
	// Draw says which requests of callers without an identity are given one: "any", or "navigation",
	// those by which a browser opens a page. What a page loads at once, before its first answer is
	// there, then gets no identities of its own: to percentages it is nobody. Requests that do not
	// say what they are, by Sec-Fetch-Mode, count as navigations. Default: any.
	Draw string `json:"draw,omitempty"`
	// Secret signs identities, so that no caller can choose one: the text itself, of 32 bytes or
	// more, or file:///path of a file that is read once. Of the lines of either, the first signs and
	// all are accepted. A cookie that is not signed counts as none. Default: identities are not
	// signed.
	Secret string `json:"secret,omitempty"`
}

// Tester says which links give a browser a version: those with ?gray=TOKEN, where the secret has
// made the token, see TesterToken. The version goes into a cookie, which has the domain, path,
// same_site and secure of Cookie. ?gray= takes it back. A version that an overlay forces outranks
// both, and none gives one that an overlay has withdrawn.
type Tester struct {
	// Secret signs tokens: the text itself, of 32 bytes or more, or file:///path of a file that is
	// read once. Of the lines of either, the first signs cookies and all are accepted. Required.
	Secret string `json:"secret,omitempty"`
	// Lifetime of the cookie, as a Go duration or in days (30d). Default: 12h.
	Lifetime string `json:"lifetime,omitempty"`
}

// Rule sends callers to a version: those for which every condition holds and whose position is
// under the percentage, or in a version's range of a split.
type Rule struct {
	// Name of the rule in explanations, logs and metrics; unique. Default: rule-1, rule-2 and so
	// on, by position.
	Name string `json:"name,omitempty"`
	// Version that the rule gives, one of Policy.Versions. Required, unless there is a Split.
	Version string `json:"version,omitempty"`
	// When lists conditions, of which all must hold:
	//
	//	["not"] attribute [key] operator [operand]
	//
	//	attribute header K | cookie K | query K | claim PATH | baggage K | ip | path | host | method | identity
	//	operator  = != in prefix suffix contains matches exists < <= > >= semver
	//	operand   the rest of the line; `in` takes a comma-separated list or @listname; in double quotes
	//	          where a comma or edge space is meant (\" and \\ within)
	//
	// In Caddy, a placeholder such as {http.auth.user.id} is an attribute too; other gateways refuse
	// it.
	//
	// An absent value makes every operator false, != is exactly `not ... =`, and `not` negates the
	// line. Where an attribute has several values the line holds when any does, before `not`.
	When []string `json:"when,omitempty"`
	// Percent is the share of callers that the rule takes, from 0 to 100, decimals allowed. 0 takes
	// none. Default: 100, or 0 for the rule of a rollout.
	Percent *float64 `json:"percent,omitempty"`
	// Split gives several versions in place of one: each takes its share of the callers, from 0 to
	// 100, decimals allowed; whom none takes, the rule does not match. Together at most 100; stable
	// is not among them. One hash decides for all, and no version loses callers by the growth of
	// another as long as there is room. The order of names (v9 before v10) says where each begins,
	// so a version that is done stays with 0. Default: the rule has one version.
	Split map[string]float64 `json:"split,omitempty"`
	// Salt picks which callers a percentage takes. Default: the service, a slash and the version; of a
	// split, the first of its versions.
	Salt string `json:"salt,omitempty"`
}

// DefaultHeader is the request header that carries the version, unless a policy names another.
const DefaultHeader = "X-Gray-Version"

// Defaults of the document.
const (
	defaultCookie   = "gray_id"
	defaultLifetime = "720h"
)

// What becomes of callers without an identity.
const (
	anonymousStable = "stable"
	anonymousRandom = "random"
	anonymousCookie = "cookie"
)

// Who vouches for the headers that identities are read from.
const (
	vouchPeers   = "peers"
	vouchGateway = "gateway"
)
