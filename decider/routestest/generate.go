// Package routestest generates policies that routes can say, and requests for them.
package routestest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/grayrelease/gray/core"
)

// Shape says what policies may have.
type Shape struct {
	// Percents allows percentages: "none", "last" (in the last rule, or in rules for all callers),
	// or "any".
	Percents string
	// Plain allows only what Gateway API says: no negations, no hosts, and of paths whole ones.
	Plain bool
}

// Values that conditions ask for and requests have, so that they meet often.
var (
	headerNames = []string{"X-User-Tag", "X-App-Version", "X-Tenant", "Accept-Language"}
	values      = []string{"gray-user", "beta", "a.b", "x|y", "1", "be", "", "zh-CN,zh", `q"t`, "a*", "grün"}
	paths       = []string{"/", "/cart", "/cart/pay", "/api/v1/items", "/img/logo.png", "/cartoon"}
	methods     = []string{"GET", "POST", "PUT"}
	hosts       = []string{"shop.example.com", "www.example.com", "shop.example.org"}
	cookies     = []string{"u-1", "gray", "a b", ""}
)

// Policy generates a policy with rules in the order of a document that Import writes.
func Policy(r *rand.Rand, shape Shape) *core.Policy {
	p := &core.Policy{Service: "shop", Stable: "v1", Versions: map[string]core.Version{"v1": {}}}
	others := []string{"v2", "v3", "canary-4"}[:1+r.IntN(3)]
	for _, version := range others {
		p.Versions[version] = core.Version{}
	}
	rules := 1 + r.IntN(5)
	for i := range rules {
		rule := core.Rule{Version: others[r.IntN(len(others))]}
		if r.IntN(4) > 0 {
			rule.Name = fmt.Sprintf("%s %d", []string{"testers", "ramp", "staff"}[r.IntN(3)], i)
		}
		rule.When = when(r, shape)
		isLast := i == rules-1
		switch {
		case shape.Percents == "any" && r.IntN(2) == 0 || shape.Percents == "last" && isLast && r.IntN(2) == 0:
			percentage(r, &rule, others)
		case len(rule.When) == 0 && !isLast:
			rule.When = []string{"header X-User-Tag = beta"}
		}
		if rule.Percent == nil && rule.Split == nil && r.IntN(6) == 0 && len(rule.When) > 0 {
			rule.Version = p.Stable
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

func percentage(r *rand.Rand, rule *core.Rule, others []string) {
	if len(others) > 1 && r.IntN(3) == 0 {
		rule.Version = ""
		rule.Split = map[string]float64{}
		for _, version := range others {
			rule.Split[version] = float64(1 + r.IntN(30))
		}
		return
	}
	percent := []float64{1, 5, 50, 99, 0.5, 12.5, 0.01}[r.IntN(7)]
	rule.Percent = &percent
}

// when generates conditions about different parts of requests.
func when(r *rand.Rand, shape Shape) []string {
	var lines []string
	if r.IntN(5) == 0 {
		operands := []core.ConditionParts{
			{Attribute: "method", Operator: "=", Operands: []string{methods[r.IntN(3)]}},
			{Attribute: "method", Operator: "in", Operands: []string{"GET", "PUT"}},
			{Attribute: "method", Operator: "=", Not: true, Operands: []string{"GET"}},
		}
		lines = append(lines, pick(r, operands, shape, 1).String())
	}
	if r.IntN(6) == 0 && !shape.Plain {
		operands := []core.ConditionParts{
			{Attribute: "host", Operator: "=", Operands: []string{hosts[r.IntN(3)]}},
			{Attribute: "host", Operator: "in", Operands: hosts[:2]},
			{Attribute: "host", Operator: "suffix", Operands: []string{".example.org"}},
		}
		lines = append(lines, operands[r.IntN(3)].String())
	}
	if r.IntN(4) == 0 {
		path := paths[r.IntN(len(paths))]
		operands := []core.ConditionParts{
			{Attribute: "path", Operator: "=", Operands: []string{path}},
			{Attribute: "path", Operator: "prefix", Operands: []string{path}},
			{Attribute: "path", Operator: "suffix", Operands: []string{".png"}},
			{Attribute: "path", Operator: "contains", Operands: []string{"/v1/"}},
			{Attribute: "path", Operator: "prefix", Not: true, Operands: []string{path}},
			{Attribute: "path", Operator: "suffix", Not: true, Operands: []string{".png"}},
		}
		lines = append(lines, pick(r, operands, shape, 1).String())
	}
	names := slices.Clone(headerNames)
	slices.Sort(names)
	if r.IntN(6) == 0 && !shape.Plain {
		value := cookies[r.IntN(len(cookies))]
		operands := []core.ConditionParts{
			{Attribute: "cookie", Key: "uid", Operator: "=", Operands: []string{value}},
			{Attribute: "cookie", Key: "uid", Operator: "in", Operands: []string{value, "u-2"}},
			{Attribute: "cookie", Key: "uid", Operator: "exists"},
		}
		names = append(names, operands[r.IntN(3)].String())
	}
	for _, name := range names {
		if strings.Contains(name, " ") {
			lines = append(lines, name)
		} else if r.IntN(3) == 0 {
			lines = append(lines, headerLine(r, name, shape))
		}
	}
	slices.SortStableFunc(lines, func(a, b string) int { return rank(a) - rank(b) })
	return lines
}

// rank is the order in which Import writes conditions.
func rank(line string) int {
	c, _ := core.ParseCondition(line)
	first := strings.ToLower(c.Key)
	switch c.Attribute {
	case "method", "host", "path":
		at := map[string]int{"method": 0, "host": 1, "path": 2}[c.Attribute]
		if c.Not {
			return 1000 + map[string]int{"host": 0, "method": 1, "path": 2}[c.Attribute]
		}
		return at
	case "cookie":
		first = "cookie"
	}
	at := 10 + 10*slices.Index([]string{"accept-language", "cookie", "x-app-version", "x-tenant", "x-user-tag"}, first)
	if c.Not {
		return 1000 + at
	}
	return at
}

func pick(r *rand.Rand, from []core.ConditionParts, shape Shape, plain int) core.ConditionParts {
	if shape.Plain {
		return from[r.IntN(plain)]
	}
	return from[r.IntN(len(from))]
}

func headerLine(r *rand.Rand, name string, shape Shape) string {
	value := values[r.IntN(len(values))]
	full := value
	if full == "" {
		full = "x"
	}
	c := core.ConditionParts{Attribute: "header", Key: name}
	switch r.IntN(8) {
	case 0, 1, 2:
		c.Operator, c.Operands = "=", []string{value}
	case 3:
		c.Operator, c.Operands = "in", []string{full, "rc"}
	case 4:
		c.Operator, c.Operands = "prefix", []string{full}
	case 5:
		c.Operator, c.Operands = "suffix", []string{full}
	case 6:
		c.Operator, c.Operands = "matches", []string{[]string{"^be", "b[aeiou]", "(?i)GRAY|beta", "^(?:v[0-9]+)$"}[r.IntN(4)]}
	default:
		c.Operator = "exists"
	}
	if !shape.Plain && r.IntN(4) == 0 && (len(c.Operands) == 0 || c.Operands[0] != "") {
		c.Not = true
	}
	return c.String()
}

// Request generates a request. It repeats no header.
func Request(r *rand.Rand) *http.Request {
	target := paths[r.IntN(len(paths))]
	if r.IntN(3) == 0 {
		target += "?q=/cart.png"
	}
	request := httptest.NewRequestWithContext(context.Background(), methods[r.IntN(3)], target, nil)
	request.Host = hosts[r.IntN(len(hosts))]
	switch r.IntN(4) {
	case 0:
		request.Host += ":8080"
	case 1:
		request.Host = strings.ToUpper(request.Host)
	}
	for _, name := range headerNames {
		if r.IntN(2) == 0 {
			value := values[r.IntN(len(values))]
			if r.IntN(4) == 0 {
				value += values[r.IntN(len(values))]
			}
			request.Header.Set(name, value)
		}
	}
	if r.IntN(2) == 0 {
		value := cookies[r.IntN(len(cookies))]
		request.Header.Set("Cookie", []string{"uid=" + value, "a=b; uid=\"" + value + "\"", "xuid=" + value + "; c=d",
			"uid = " + value + " ;z=y"}[r.IntN(4)])
	}
	return request
}
