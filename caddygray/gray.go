// Package caddygray releases new versions of a service gradually with Caddy. A policy of rules and
// percentages decides who gets which version (see the package core). Everything else remains
// Caddy's.
//
// Four modules work together. The handler `gray` decides. The matcher `gray` lets any other
// handler differ by version. The upstream source `dynamic gray` gives `reverse_proxy` the upstreams
// of the version. The selection policy `gray` keeps a caller on one of them.
//
//	:8080 {
//		gray user-service {
//			stable v1
//			version v1 127.0.0.1:9001
//			version v2 127.0.0.1:9002
//			rule testers v2 {
//				when header X-App-Version = beta
//			}
//		}
//		reverse_proxy {
//			dynamic gray
//		}
//	}
package caddygray

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	caddy.RegisterModule(Handler{})
	caddy.RegisterModule(Matcher{})
	caddy.RegisterModule(Upstreams{})
	caddy.RegisterModule(Selection{})
	httpcaddyfile.RegisterHandlerDirective("gray", parseDirective)
	// Before every directive that may use a placeholder, and before anything rewrites the request.
	httpcaddyfile.RegisterDirectiveOrder("gray", httpcaddyfile.After, "tracing")
}
