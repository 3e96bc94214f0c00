// Package caddysites has one service in Caddy in several ways, with gray and without, for
// measurements of what gray costs.
package caddysites

import "strings"

// Browser is a request as Firefox sends it, for fmt: first Host, then the number of the user. User
// 1 gets stable after all five rules have been checked, as it is not among the five percent.
const Browser = "GET /cart?item=42 HTTP/1.1\r\nHost: %s\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
	"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n" +
	"Cookie: theme=dark; session=3f0e8a6c51d94b7e; uid=u-%d\r\nX-App-Version: 2.2.9\r\nUpgrade-Insecure-Requests: 1\r\n" +
	"Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-User: ?1\r\n" +
	"Priority: u=0, i\r\n\r\n"

// besideTheRamp is the policy of the ways with gray, but for the rule with a percentage.
const besideTheRamp = `
		stable v1
		version v1 V1
		version v2 V2
		identity cookie uid, ip
		rule testers v2 {
			when header X-App-Version = beta
		}
		rule staff v2 {
			when cookie role in staff, qa
			when not header X-Device = kiosk
		}
		rule office v2 {
			when ip in 10.0.0.0/8, 2001:db8::/32
		}
		rule new-app v2 {
			when header X-App-Version semver >=2.3.0
		}
`

var ways = map[string]string{
	"plain": `
	reverse_proxy V1 {
		PROXY
	}
`,
	"header": `
	request_header X-Gray-Version v1
	reverse_proxy V1 {
		PROXY
	}
`,
	"floor": `
	request_header X-Gray-Version v1
	reverse_proxy V1 V2 {
		lb_policy weighted_round_robin 95 5
		PROXY
	}
`,
	"gray": `
	gray shop {` + besideTheRamp + `
		rule ramp v2 {
			percent 5
		}
	}
	reverse_proxy {
		dynamic gray
		PROXY
	}
`,
	"four": `
	gray four {` + besideTheRamp + `
	}
	reverse_proxy {
		dynamic gray
		PROXY
	}
`,
	"guards": `
	gray guarded {` + besideTheRamp + `
		rule ramp v2
		rollout ramp {
			step 5% for 1000h
			guard errors
			guard latency p90
			guard errors < 2%
		}
	}
	reverse_proxy {
		dynamic gray
		PROXY
	}
`,
	"cel": `
	@v2 expression <<CEL
		{http.request.header.X-App-Version} == "beta" ||
		({http.request.cookie.role} in ["staff", "qa"] && {http.request.header.X-Device} != "kiosk") ||
		client_ip("10.0.0.0/8", "2001:db8::/32") ||
		{http.request.header.X-App-Version}.matches("^(2\\.([3-9]|[1-9][0-9]+)|[3-9]|[1-9][0-9]+)\\.")
		CEL
	reverse_proxy @v2 V2 {
		PROXY
	}
	reverse_proxy V1 {
		PROXY
	}
`,
}

// Ways returns what a site of a Caddyfile has in it, for each way, where the versions run at
// addresses. Proxy is a line for each reverse_proxy, or "".
//
//   - plain: a proxy without versions
//   - again: the same; how far the two are apart shows how far to trust the rest
//   - header: the same, with the header that names the version, for upstreams
//   - floor: by Caddy's own means what clients and upstreams see of gray, and nothing else: the
//     header, whose value is right for most, and five percent of requests on the other version
//   - gray: five rules
//   - four: those of them that cel has too
//   - guards: the five, under a rollout whose guards measure
//   - cel: named matchers of Caddy and CEL, which have no percentages: four of the rules
func Ways(v1, v2, proxy string) map[string]string {
	replace := strings.NewReplacer("V1", v1, "V2", v2, "PROXY", proxy)
	all := map[string]string{"again": replace.Replace(ways["plain"])}
	for name, way := range ways {
		all[name] = replace.Replace(way)
	}
	return all
}
