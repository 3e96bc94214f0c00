package routes

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/grayrelease/gray/core"
)

// Lines says a match as conditions, in a fixed order, and what of it they do not say exactly. The
// reason is not empty if a part of it is no condition.
func Lines(m *Match) (lines, lost []string, reason string) {
	r := &reading{}
	if m.Method != nil {
		r.text("method", "", false, m.Method)
	}
	if m.Authority != nil {
		r.authority(false, m.Authority)
	}
	if m.Path != nil {
		r.path(m.Path)
	}
	for _, name := range sorted(m.Headers) {
		r.header(name, false, m.Headers[name])
	}
	for _, name := range sorted(m.Without) {
		without := m.Without[name]
		if m.Headers[name] == nil && without.Kind != Present && without.Holds("") && name[0] != ':' {
			r.add(core.ConditionParts{Attribute: "header", Key: http.CanonicalHeaderKey(name), Operator: "exists"})
		}
		r.header(name, true, without)
	}
	for _, name := range sorted(m.Query) {
		r.text("query", name, false, m.Query[name])
		r.lose("query " + name +
			": gray decodes parameters, and compares each of several; a route compares the first, as sent")
	}
	for _, name := range sorted(m.Baggage) {
		r.text("baggage", name, false, m.Baggage[name])
	}
	return r.lines, r.lost, r.reason
}

func sorted(texts map[string]*Text) []string {
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// reading is a match on its way into condition lines.
type reading struct {
	lines, lost []string
	reason      string
}

func (r *reading) lose(text string) { r.lost = append(r.lost, text) }

func (r *reading) refuse(reason string) {
	if r.reason == "" {
		r.reason = reason
	}
}

// add writes a condition, and sees that it is one.
func (r *reading) add(c core.ConditionParts) {
	line := c.String()
	back, err := core.ParseCondition(line)
	if err != nil {
		r.refuse("`" + line + "` is not a condition: " + err.Error())
		return
	}
	if back.String() != line {
		r.refuse("`" + line + "` is not a condition")
		return
	}
	r.lines = append(r.lines, line)
}

// header reads a comparison of a header, or of a part of the request line that has a header's name.
func (r *reading) header(name string, not bool, t *Text) {
	switch name {
	case pseudoMethod:
		r.text("method", "", not, t)
		return
	case pseudoAuthority:
		r.authority(not, t)
		return
	case pseudoPath:
		r.pseudoPath(not, t)
		return
	case "cookie":
		if c, isCookie, isExact := cookieParts(t); isCookie {
			c.Not = not
			r.add(c)
			if !isExact {
				r.lose("cookie " + c.Key + ": gray finds it with spaces and quotes around, too")
			}
			return
		}
	}
	if strings.HasPrefix(name, ":") {
		r.refuse(name + " is no attribute of conditions")
		return
	}
	r.text("header", http.CanonicalHeaderKey(name), not, t)
}

// text reads a comparison of an attribute's value.
func (r *reading) text(attribute, key string, not bool, t *Text) {
	c := core.ConditionParts{Not: not, Attribute: attribute, Key: key}
	c.Operator, c.Operands = operatorOf(t)
	r.add(c)
}

// operatorOf says a text as an operator and its operands.
func operatorOf(t *Text) (string, []string) {
	switch t.Kind {
	case Exact:
		return "=", []string{t.Value}
	case Prefix:
		return "prefix", []string{t.Value}
	case Present:
		return "exists", nil
	}
	expression := t.Expression()
	if values := literalsOf(expression); len(values) > 1 {
		return "in", values
	} else if len(values) == 1 {
		return "=", values
	}
	inner, after := strings.CutSuffix(expression, ".*")
	inner, before := strings.CutPrefix(inner, ".*")
	if literal, isLiteral := literalOf(inner); isLiteral && literal != "" {
		switch {
		case before && after:
			return "contains", []string{literal}
		case before:
			return "suffix", []string{literal}
		case after:
			return "prefix", []string{literal}
		}
	}
	if expression == ".*" {
		return "exists", nil
	}
	if before && after && strings.HasPrefix(inner, "(?:") && strings.HasSuffix(inner, ")") {
		part := inner[len("(?:") : len(inner)-1]
		if _, err := regexp.Compile(part); err == nil && anywhere(part) == expression {
			return "matches", []string{part}
		}
	}
	return "matches", []string{whole(expression)}
}

// literalOf returns the text that an expression made by QuoteMeta matches.
func literalOf(expression string) (string, bool) {
	var text strings.Builder
	for i := 0; i < len(expression); i++ {
		if expression[i] == '\\' && i+1 < len(expression) {
			i++
		}
		text.WriteByte(expression[i])
	}
	return text.String(), regexp.QuoteMeta(text.String()) == expression
}

// literalsOf returns the values of an expression made by oneOf, nil for any other.
func literalsOf(expression string) []string {
	var values []string
	start := 0
	for i := 0; i <= len(expression); i++ {
		if i < len(expression) && expression[i] == '\\' {
			i++
			continue
		}
		if i < len(expression) && expression[i] != '|' {
			continue
		}
		if i > len(expression) {
			return nil
		}
		value, isLiteral := literalOf(expression[start:i])
		if !isLiteral || slices.Contains(values, value) {
			return nil
		}
		values = append(values, value)
		start = i + 1
	}
	return values
}

// path reads a comparison of the path.
func (r *reading) path(t *Text) {
	c := core.ConditionParts{Attribute: "path"}
	c.Operator, c.Operands = operatorOf(t)
	r.add(c)
	if _, reason := pathMatch(c); reason != "" {
		r.lose("path: gray compares it after its escapes are decoded")
	}
}

// pseudoPath reads a comparison of the path with the query behind it.
func (r *reading) pseudoPath(not bool, t *Text) {
	c := core.ConditionParts{Not: not, Attribute: "path"}
	inner, found := strings.CutSuffix(t.Expression(), `)(?:\?.*)?`)
	inner, open := strings.CutPrefix(inner, "(?:")
	switch {
	case t.Kind == Prefix:
		c.Operator, c.Operands = operatorOf(t)
	case found && open:
		c.Operator, c.Operands = operatorOf(&Text{Kind: Regex, Value: strings.ReplaceAll(inner, "[^?]*", ".*")})
	default:
		r.refuse("a comparison of the path together with the query is no condition")
		return
	}
	if m, reason := pathMatch(c); reason != "" || not && !m.Without[pseudoPath].equal(t) {
		r.refuse("a comparison of the path together with the query is no condition")
		return
	}
	r.add(c)
}

// authority reads a comparison of the host.
func (r *reading) authority(not bool, t *Text) {
	if c, isHost := hostParts(t); isHost {
		c.Not = not
		r.add(c)
		return
	}
	r.text("header", "Host", not, t)
	r.lose("host: gray compares it in small letters and without its final dot")
}

// hostParts reads the expressions that hostText writes.
func hostParts(t *Text) (core.ConditionParts, bool) {
	c := core.ConditionParts{Attribute: "host", Operator: "in"}
	port := `(?::[^:]*)?`
	inner, hasPort := strings.CutSuffix(t.Value, ")"+port)
	if !hasPort {
		c.Attribute, c.Key, port = "header", "Host", ""
		inner = strings.TrimSuffix(inner, ")")
	}
	inner, _ = strings.CutPrefix(inner, "(?i)")
	inner, isSuffix := strings.CutPrefix(inner, "[^:]*")
	inner, _ = strings.CutPrefix(inner, "(?:")
	for _, name := range strings.Split(inner, "|") {
		literal, _ := literalOf(strings.Replace(name, `\.?`, "", 1))
		c.Operands = append(c.Operands, literal)
	}
	if len(c.Operands) == 1 {
		c.Operator = "="
	}
	if isSuffix {
		c.Operator = "suffix"
	}
	back, reason := hostText(c, port)
	return c, reason == "" && t.Kind == Regex && back.Value == t.Value
}

// pairExpression matches the usual expressions for a cookie of that name and value, each with a
// pair before and after it, or not.
var pairExpression = regexp.MustCompile(
	`^\^?(?:\((?:\?:)?\.\*\??;(?:\\s[*?]|\[ \\t\]\*| [*?]?)?\)\?)?(?:\[ \\t\]\*|\\s\*)?` +
		`\(?(?:\?:)?([^=]+?)=([^;]*?)\)?(?:\[ \\t\]\*|\\s\*)?\((?:\?:)?;\.\*\??\)\?\$?$`)

// cookieParts reads an expression for the Cookie header that is about one cookie: those that
// cookieMatch writes, which are exact, and the usual ones.
func cookieParts(t *Text) (parts core.ConditionParts, isCookie, isExact bool) {
	c := core.ConditionParts{Attribute: "cookie"}
	if t.Kind != Regex {
		return c, false, false
	}
	if rest, found := strings.CutPrefix(t.Value, cookieBefore); found {
		name, value, _ := strings.Cut(rest, cookieEqual)
		c.Key, _ = literalOf(name)
		if value == ".*" {
			c.Operator = "exists"
		} else {
			value, _ = strings.CutPrefix(value, "(?:")
			value, _ = strings.CutSuffix(value, ")"+cookieAfter)
			c.Operands = cookieValues(value)
			c.Operator = "in"
			if len(c.Operands) == 1 {
				c.Operator = "="
			}
		}
		if m, reason := cookieMatch(c); reason == "" && m.Headers["cookie"].equal(t) {
			return c, true, true
		}
	}
	if parts := pairExpression.FindStringSubmatch(t.Value); parts != nil {
		name, isName := literalOf(parts[1])
		value, isValue := literalOf(parts[2])
		c.Key, c.Operator, c.Operands = name, "=", []string{value}
		return c, isName && isValue, false
	}
	return c, false, false
}

// cookieValues returns the values whose forms, joined by |, are in an expression.
func cookieValues(expression string) []string {
	var values []string
	for _, form := range literalsOf(expression) {
		if len(form) > 1 && form[0] == '"' && form[len(form)-1] == '"' {
			form = form[1 : len(form)-1]
		}
		values = append(values, form)
	}
	return unique(values)
}
