package routes

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Kind says how a text is compared.
type Kind int

// How texts are compared.
const (
	Exact    Kind = iota // with all of the value
	Prefix               // with its beginning
	Regex                // with all of the value, as RE2
	Present              // the value exists
	Segments             // a path, or what is under it
)

// segmentsEnd is what follows the path of Segments, as an expression.
const segmentsEnd = "(?:/.*)?"

// Text is what one part of a request is compared with.
type Text struct {
	Kind  Kind
	Value string
	// Values are the literals that a Regex consists of, if it is nothing else.
	Values []string
}

// Match is what must hold of a request, all of it. The zero Match holds of every request.
type Match struct {
	Path, Method, Authority *Text
	// Headers and Without are by names in small letters. A header of Without must not be as the
	// text says; one that is absent is not. Names with a colon are the parts of the request line.
	Headers, Without map[string]*Text
	// Query are parameters by name, and Baggage members of baggage. Only routes that are read have
	// them.
	Query, Baggage map[string]*Text
}

// pseudo are parts of the request line as headers, for Without.
const (
	pseudoPath      = ":path"
	pseudoMethod    = ":method"
	pseudoAuthority = ":authority"
)

// IsAny reports whether the match holds of every request.
func (m *Match) IsAny() bool { return len(m.atoms()) == 0 }

// atoms returns each comparison of a match with the part that it is about.
func (m *Match) atoms() map[string]*Text {
	all := map[string]*Text{}
	for part, text := range map[string]*Text{"path": m.Path, "method": m.Method, "authority": m.Authority} {
		if text != nil {
			all[part] = text
		}
	}
	for name, text := range m.Headers {
		all["header "+name] = text
	}
	for name, text := range m.Without {
		all["without "+name] = text
	}
	for name, text := range m.Query {
		all["query "+name] = text
	}
	for name, text := range m.Baggage {
		all["baggage "+name] = text
	}
	return all
}

// implies reports whether n holds whenever m does, as far as that can be seen from equal parts.
func (m *Match) implies(n *Match) bool {
	own := m.atoms()
	for part, text := range n.atoms() {
		if have := own[part]; have == nil || !have.equal(text) {
			return false
		}
	}
	return true
}

// Equal reports whether two matches are the same.
func (m *Match) Equal(n *Match) bool { return m.implies(n) && n.implies(m) }

func (t *Text) equal(u *Text) bool { return t.Kind == u.Kind && t.Value == u.Value }

// Holds reports whether a value is as the text says. An expression that cannot be compiled holds of
// nothing.
func (t *Text) Holds(value string) bool {
	switch t.Kind {
	case Exact:
		return value == t.Value
	case Prefix:
		return strings.HasPrefix(value, t.Value)
	case Present:
		return true
	case Segments:
		return value == t.Value || strings.HasPrefix(value, t.Value+"/")
	}
	if t.Values != nil {
		return slices.Contains(t.Values, value)
	}
	pattern, err := regexp.Compile(whole(t.Value))
	return err == nil && pattern.MatchString(value)
}

// whole has an expression match all of a text.
func whole(expression string) string { return "^(?:" + expression + ")$" }

// Expression writes the text as a regular expression that matches all of the value.
func (t *Text) Expression() string {
	switch t.Kind {
	case Exact:
		return regexp.QuoteMeta(t.Value)
	case Prefix:
		return regexp.QuoteMeta(t.Value) + ".*"
	case Present:
		return ".*"
	case Segments:
		return regexp.QuoteMeta(t.Value) + segmentsEnd
	}
	return t.Value
}

// oneOf is the text that holds of each of some values.
func oneOf(values []string) *Text {
	values = unique(values)
	if len(values) == 1 {
		return &Text{Kind: Exact, Value: values[0]}
	}
	quoted := make([]string, 0, len(values))
	for _, value := range values {
		quoted = append(quoted, regexp.QuoteMeta(value))
	}
	return &Text{Kind: Regex, Value: strings.Join(quoted, "|"), Values: values}
}

// Expression is the text of a regular expression, in the form that matches of conditions have.
func Expression(value string) *Text {
	if values := literalsOf(value); values != nil {
		return &Text{Kind: Regex, Value: value, Values: values}
	}
	start, found := strings.CutSuffix(value, ".*")
	if literal, isLiteral := literalOf(start); found && isLiteral && literal != "" {
		return &Text{Kind: Prefix, Value: literal}
	}
	return &Text{Kind: Regex, Value: value}
}

func unique(values []string) []string {
	var kept []string
	for _, value := range values {
		if !slices.Contains(kept, value) {
			kept = append(kept, value)
		}
	}
	return kept
}

// meeting is what comes of two demands at once.
type meeting int

const (
	meets  meeting = iota
	never          // no request can meet both
	unsaid         // no single comparison says both
)

// And joins two matches: what must hold where both do. It reports false if no request can meet
// both, and an error if no match says both.
func And(a, b *Match) (*Match, bool, error) {
	joined, how := and(a, b)
	if how == unsaid {
		return nil, false, errors.New("two matches together ask for two things of one part of the request")
	}
	return joined, how == meets, nil
}

// and joins two matches: what must hold where both do.
func and(a, b *Match) (*Match, meeting) {
	joined := &Match{}
	var all meeting
	join := func(s, t *Text) *Text {
		both, how := andText(s, t)
		if all == meets || how == never {
			all = how
		}
		return both
	}
	joined.Path = join(a.Path, b.Path)
	joined.Method = join(a.Method, b.Method)
	joined.Authority = join(a.Authority, b.Authority)
	joined.Headers = joinTexts(a.Headers, b.Headers, join)
	joined.Without = joinTexts(a.Without, b.Without, orText)
	joined.Query = joinTexts(a.Query, b.Query, join)
	joined.Baggage = joinTexts(a.Baggage, b.Baggage, join)
	for name, not := range joined.Without {
		have := joined.Headers[name]
		if have == nil {
			continue
		}
		if not.Kind == Present || have.Kind == Exact && not.Holds(have.Value) || have.equal(not) {
			return nil, never
		}
		if have.Kind == Exact {
			delete(joined.Without, name)
		}
	}
	return joined, all
}

// joinTexts joins texts by name.
func joinTexts(a, b map[string]*Text, join func(s, t *Text) *Text) map[string]*Text {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := map[string]*Text{}
	maps.Copy(all, a)
	for name, text := range b {
		all[name] = join(all[name], text)
	}
	return all
}

// andText says two texts of one part in one.
func andText(a, b *Text) (*Text, meeting) {
	switch {
	case a == nil:
		return b, meets
	case b == nil || b.Kind == Present || a.equal(b):
		return a, meets
	case a.Kind == Present:
		return b, meets
	case a.Kind == Exact:
		return fewer([]string{a.Value}, b)
	case b.Kind == Exact:
		return fewer([]string{b.Value}, a)
	case a.Values != nil:
		return fewer(a.Values, b)
	case b.Values != nil:
		return fewer(b.Values, a)
	case a.Kind == Prefix && b.Kind == Prefix && strings.HasPrefix(a.Value, b.Value):
		return a, meets
	case a.Kind == Prefix && b.Kind == Prefix && strings.HasPrefix(b.Value, a.Value):
		return b, meets
	case a.Kind == Prefix && b.Kind == Prefix:
		return nil, never
	case a.Kind == Segments && b.Kind == Segments && a.Holds(b.Value):
		return b, meets
	case a.Kind == Segments && b.Kind == Segments && b.Holds(a.Value):
		return a, meets
	case a.Kind == Segments && b.Kind == Segments:
		return nil, never
	}
	return nil, unsaid
}

// fewer keeps those values that another text holds of, too.
func fewer(values []string, t *Text) (*Text, meeting) {
	var kept []string
	for _, value := range values {
		if t.Holds(value) {
			kept = append(kept, value)
		}
	}
	if len(kept) == 0 {
		return nil, never
	}
	return oneOf(kept), meets
}

// orText is the text that holds where either does.
func orText(a, b *Text) *Text {
	switch {
	case a == nil || b.Kind == Present:
		return b
	case a.Kind == Present || a.equal(b):
		return a
	}
	if left, right := a.literals(), b.literals(); left != nil && right != nil {
		return oneOf(append(slices.Clone(left), right...))
	}
	return &Text{Kind: Regex, Value: "(?:" + a.Expression() + ")|(?:" + b.Expression() + ")"}
}

// literals are the values that a text consists of, nil if it is more than that.
func (t *Text) literals() []string {
	if t.Kind == Exact {
		return []string{t.Value}
	}
	return t.Values
}
