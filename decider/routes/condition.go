package routes

import (
	"regexp"
	"strings"

	"github.com/grayrelease/gray/core"
)

// maxExpression is how long a regular expression may be for Istio.
const maxExpression = 1024

// matchOf says a condition as a match. If no match says exactly that, it returns the reason.
// Header is the one that names the version; it and the headers that are known to exist are in small
// letters.
func matchOf(c core.ConditionParts, header string, exist map[string]bool) (*Match, string) {
	m, reason := attributeMatch(c, header, exist)
	if reason != "" {
		return nil, reason
	}
	for _, text := range m.atoms() {
		if text.Kind == Regex && len(text.Value) > maxExpression {
			return nil, "the regular expression would be longer than 1,024 bytes"
		}
	}
	return m, ""
}

func attributeMatch(c core.ConditionParts, header string, exist map[string]bool) (*Match, string) {
	if c.List != "" {
		return nil, "a named list is not in a route"
	}
	switch c.Attribute {
	case "header":
		return headerMatch(c, header, exist)
	case "cookie":
		return cookieMatch(c)
	case "path":
		return pathMatch(c)
	case "host":
		text, reason := hostText(c, `(?::[^:]*)?`)
		return lineMatch(c, pseudoAuthority, text, reason)
	case "method":
		text, reason := textOf(c)
		return lineMatch(c, pseudoMethod, text, reason)
	case "query":
		return nil, "a route compares a parameter as it was sent, and the first of several"
	case "claim":
		return nil, "a route reads no tokens as gray does, and Istio refuses requests whose token is not valid"
	case "baggage":
		return nil, "a route reads no members of baggage"
	case "ip":
		return nil, "a route does not compare the client's address"
	case "identity":
		return nil, "a route knows no identities"
	}
	return nil, "Caddy alone has " + c.Attribute
}

// headerMatch says a condition on a request header.
func headerMatch(c core.ConditionParts, header string, exist map[string]bool) (*Match, string) {
	name := strings.ToLower(c.Key)
	switch name {
	case "host":
		text, reason := hostText(c, "")
		return lineMatch(c, pseudoAuthority, text, reason)
	case "baggage", header:
		return nil, "only a trusted peer's value counts, and a route does not know peers"
	case "uri", "scheme", "method", "authority":
		return nil, "Istio reserves this name"
	}
	text, reason := textOf(c)
	if reason != "" {
		return nil, reason
	}
	return negatable(c, name, text, exist[name])
}

// negatable is a match on a header, or on its not being so. Envoy takes an absent header for an
// empty one there.
func negatable(c core.ConditionParts, name string, text *Text, exists bool) (*Match, string) {
	if !c.Not {
		return &Match{Headers: map[string]*Text{name: text}}, ""
	}
	if text.Kind != Present && !exists && text.Holds("") {
		return nil, "a route takes an absent header for an empty one here"
	}
	return &Match{Without: map[string]*Text{name: text}}, ""
}

// lineMatch is a match on a part of the request line, which no request lacks.
func lineMatch(c core.ConditionParts, part string, text *Text, reason string) (*Match, string) {
	if reason != "" {
		return nil, reason
	}
	if text.Kind == Present {
		text = &Text{Kind: Regex, Value: ".*"}
	}
	switch {
	case c.Not:
		return &Match{Without: map[string]*Text{part: text}}, ""
	case part == pseudoMethod:
		return &Match{Method: text}, ""
	case part == pseudoAuthority:
		return &Match{Authority: text}, ""
	}
	return &Match{Path: text}, ""
}

// textOf says an operator and its operands.
func textOf(c core.ConditionParts) (*Text, string) {
	switch c.Operator {
	case "=", "in":
		return oneOf(c.Operands), ""
	case "exists":
		return &Text{Kind: Present}, ""
	case "prefix", "suffix", "contains":
		operand := c.Operands[0]
		switch {
		case operand == "":
			return &Text{Kind: Present}, ""
		case c.Operator == "prefix":
			return &Text{Kind: Prefix, Value: operand}, ""
		case c.Operator == "suffix":
			return &Text{Kind: Regex, Value: ".*" + regexp.QuoteMeta(operand)}, ""
		}
		return &Text{Kind: Regex, Value: ".*" + regexp.QuoteMeta(operand) + ".*"}, ""
	case "matches":
		return &Text{Kind: Regex, Value: anywhere(c.Operands[0])}, ""
	case "semver":
		return nil, "a route does not compare versions"
	}
	return nil, "a route does not compare numbers"
}

// anywhere turns an expression that may match a part of a text into one that matches all of it.
func anywhere(expression string) string {
	if inner, found := strings.CutPrefix(expression, "^(?:"); found {
		inner, found = strings.CutSuffix(inner, ")$")
		if _, err := regexp.Compile(inner); found && err == nil && inner != "" {
			return inner
		}
	}
	return ".*(?:" + expression + ").*"
}

// plainPath are the characters that a normalised path has in no other form.
var plainPath = regexp.MustCompile(`^[A-Za-z0-9._~/-]*$`)

// pathMatch says a condition on the path, which a route sees as it was sent and normalised.
func pathMatch(c core.ConditionParts) (*Match, string) {
	if c.Operator == "matches" {
		if path := segmentsOf(c.Operands[0]); path != "" && !c.Not {
			return &Match{Path: &Text{Kind: Segments, Value: path}}, ""
		}
		return nil, "a route compares the path before its escapes are decoded"
	}
	text, reason := textOf(c)
	if reason != "" {
		return nil, reason
	}
	for _, operand := range c.Operands {
		switch {
		case !plainPath.MatchString(operand):
			return nil, "URLs have characters of this path in several forms"
		case isUnusual(operand):
			return nil, "Istio normalises such paths"
		case (c.Operator == "suffix" || c.Operator == "contains") && operand != "" && isHex(operand[0]):
			return nil, "an escape in the path may end in this text"
		}
	}
	if c.Not && text.Kind != Present { // the part has the query in it
		if text.Kind != Prefix {
			inner := strings.ReplaceAll(text.Expression(), ".*", "[^?]*")
			text = &Text{Kind: Regex, Value: "(?:" + inner + `)(?:\?.*)?`}
		}
	}
	return lineMatch(c, pseudoPath, text, "")
}

// segmentsOf returns the path that an expression made by whole of Segments is about, "" if it is
// another one.
func segmentsOf(expression string) string {
	inner := anywhere(expression)
	path := strings.ReplaceAll(strings.TrimSuffix(inner, segmentsEnd), `\.`, ".")
	isPlain := path != "" && path[0] == '/' && plainPath.MatchString(path) && !isUnusual(path)
	if isPlain && !strings.HasSuffix(path, "/") && regexp.QuoteMeta(path)+segmentsEnd == inner {
		return path
	}
	return ""
}

// isUnusual reports whether Istio would write a path in another form.
func isUnusual(path string) bool {
	return strings.Contains(path, "//") || strings.Contains(path+"/", "/./") || strings.Contains(path+"/", "/../")
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// hostName is a host name that is compared as it is written, but for case.
var hostName = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)

// hostText says a condition on the host, whose case and final dot do not count. Port is the
// expression for what may follow it.
func hostText(c core.ConditionParts, port string) (*Text, string) {
	if c.Operator != "=" && c.Operator != "in" && (c.Operator != "suffix" || port == "") {
		return nil, "a route compares hosts with their port, and as they were sent"
	}
	var names []string
	for _, operand := range c.Operands {
		name := strings.TrimSuffix(strings.ToLower(operand), ".")
		rest := strings.TrimPrefix(name, ".")
		number := ""
		if port == "" {
			if before, after, found := strings.Cut(rest, ":"); found {
				rest, number = strings.TrimSuffix(before, "."), ":"+after
			}
		}
		isSuffix := c.Operator == "suffix"
		if !hostName.MatchString(rest) || isSuffix != strings.HasPrefix(name, ".") || !isNumber(number) {
			return nil, "a route compares hosts as they were sent, and this one has other forms"
		}
		if isSuffix {
			if !strings.ContainsAny(rest[strings.LastIndex(rest, ".")+1:], "ghijklmnopqrstuvwxyz") {
				return nil, "an address may end in this text"
			}
			rest = "." + rest
		}
		names = append(names, regexp.QuoteMeta(rest)+`\.?`+number)
	}
	start := "(?i)"
	if c.Operator == "suffix" {
		start += "[^:]*"
	}
	return &Text{Kind: Regex, Value: start + "(?:" + strings.Join(names, "|") + ")" + port}, ""
}

// isNumber reports whether a text is a port with its colon, or nothing.
func isNumber(port string) bool {
	return port == "" || port != ":" && strings.Trim(port[1:], "0123456789") == ""
}

// Parts of the expression for a cookie: pairs before it, and after it.
const (
	cookieBefore = `(?:.*;)?[ \t]*`
	cookieEqual  = `[ \t]*=`
	cookieAfter  = `[ \t]*(?:;.*)?`
)

// cookieMatch says a condition on a cookie as an expression for the Cookie header.
func cookieMatch(c core.ConditionParts) (*Match, string) {
	var value string
	switch c.Operator {
	case "exists":
		value = `.*`
	case "=", "in":
		var forms []string
		for _, operand := range unique(c.Operands) {
			forms = append(forms, cookieForms(operand)...)
		}
		value = "(?:" + strings.Join(forms, "|") + ")" + cookieAfter
	default:
		return nil, "a route finds a cookie by an expression on all cookies, which says only =, in and exists"
	}
	text := &Text{Kind: Regex, Value: cookieBefore + regexp.QuoteMeta(c.Key) + cookieEqual + value}
	return negatable(c, "cookie", text, false)
}

// cookieForms are the expressions for a value, which may be in double quotes.
func cookieForms(value string) []string {
	inQuotes := `"` + regexp.QuoteMeta(value) + `"`
	isQuoted := len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"'
	if isQuoted || strings.TrimRight(value, " \t") != value {
		return []string{inQuotes}
	}
	return []string{regexp.QuoteMeta(value), inQuotes}
}
