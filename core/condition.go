package core

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/grayrelease/gray/core/problem"
)

// operatorWords are the operators of a condition line.
var operatorWords = []string{
	"=", "!=", "in", "prefix", "suffix", "contains", "matches", "exists", "<", "<=", ">", ">=", "semver",
}

// IsOperator reports whether a word is one of the operators of conditions, such as "=" or "semver".
func IsOperator(word string) bool { return indexOf(operatorWords, word) >= 0 }

// condition is one line of `when`, read and prepared. Its syntax:
//
//	["not"] attribute operator [operand]
//
//	attribute  header K | cookie K | query K | claim PATH | baggage K | ip | path | host | method | identity
//	operator   = != in prefix suffix contains matches exists < <= > >= semver
//	operand    the rest of the line; `in` takes a comma-separated list or @listname; in double quotes
//	           where a comma or edge space is meant (\" and \\ within)
type condition struct {
	text      string
	negated   bool // by `not`, by `!=`; both cancel out
	attribute attribute
	op        string // "!=" has become a negated "="

	operand string          // of prefix, suffix, contains
	set     map[string]bool // of = and in
	list    bool            // set belongs to a named list, shared with others
	nets    *networks       // of = and in on ip, instead of set
	pattern *regexp.Regexp
	literal string // what every match of the pattern begins with, "" if nothing
	rare    byte   // of literal, a byte that few other values have; 0 if it has none
	number  decimal
	bounds  []semverBound

	doubts []*lineError // what was probably meant otherwise
}

// parseCondition reads one line of `when`. Lists are the document's, by name.
func parseCondition(line string, lists map[string]*list) (*condition, *lineError) {
	c := &condition{text: line}
	at := 0
	if w, end, err := nextWord(line, 0); err == nil && w.text == "not" && !w.quoted {
		c.negated = true
		at = end
	}
	a, at, err := parseAttribute(line, at)
	if err != nil {
		return nil, err
	}
	c.attribute = a
	op, at, err := nextWord(line, at)
	if err != nil {
		return nil, err
	}
	if op.isEnd() {
		return nil, &lineError{op.at, "an operator is required (one of " + strings.Join(operatorWords, " ") + ")"}
	}
	if op.quoted || !IsOperator(op.text) {
		return nil, &lineError{op.at, "unknown operator " + problem.Quote(op.text) + meantOperator(op)}
	}
	c.op = op.text
	if c.op == "!=" {
		c.op = "="
		c.negated = !c.negated
	}
	return c, c.parseOperand(line, skipSpace(line, at), lists)
}

// meantOperator says which operator was probably meant.
func meantOperator(w word) string {
	if w.text == "==" {
		return " (did you mean \"=\"?)"
	}
	operand := strings.TrimLeft(w.text, "!<>=")
	if sign := w.text[:len(w.text)-len(operand)]; operand != "" && IsOperator(sign) {
		return ": write a space after " + sign
	}
	return problem.OneOf(w.text, operatorWords)
}

// parseOperand reads what follows the operator, from byte `at`, and prepares it for matching.
func (c *condition) parseOperand(line string, at int, lists map[string]*list) *lineError {
	if c.op == "exists" {
		if at < len(line) {
			return &lineError{at, "nothing may follow exists"}
		}
		return nil
	}
	if at == len(line) {
		return &lineError{at, "the operand of " + c.op + ` is required (write "" for an empty value)`}
	}
	if c.op == "in" {
		return c.parseIn(line, at, lists)
	}
	w, err := restOf(line, at)
	if err != nil {
		return err
	}
	if err := c.checkOperand(w, lists); err != nil {
		return err
	}
	return c.setOperand(w)
}

// restOf reads the rest of a line as one word, which may be quoted.
func restOf(line string, at int) (word, *lineError) {
	if line[at] != '"' {
		return word{text: strings.TrimRight(line[at:], " \t"), at: at}, nil
	}
	quoted, end, err := quotedWord(line, at)
	if err != nil {
		return quoted, err
	}
	if end = skipSpace(line, end); end < len(line) {
		return quoted, &lineError{end, "text after the closing quote"}
	}
	return quoted, nil
}

// setOperand prepares the operand of every operator but `in` and `exists`.
func (c *condition) setOperand(w word) *lineError {
	switch c.op {
	case "=":
		return c.setValues([]word{w})
	case "prefix", "suffix", "contains":
		c.operand = w.text
		if isHost(c.attribute.kind) {
			c.operand = asHost(c.attribute.kind, c.op, w.text)
		}
	case "matches":
		pattern, err := regexp.Compile(w.text)
		if err != nil {
			text := strings.TrimPrefix(err.Error(), "error parsing regexp: ")
			return &lineError{w.at, "not a valid regular expression (RE2 syntax): " + text}
		}
		c.pattern = pattern
		c.literal, _ = pattern.LiteralPrefix()
		c.rare = capital(c.literal)
	case "semver":
		bounds, offset, problem := parseConstraint(w.text)
		if problem != "" {
			return &lineError{w.at + offset, problem}
		}
		c.bounds = bounds
	default: // < <= > >=
		number, ok := parseDecimal(w.text)
		if !ok {
			return &lineError{w.at, problem.Quote(w.text) + " is not a valid decimal number"}
		}
		c.number = number
	}
	return nil
}

// parseIn reads the operand of `in`: @listname, or elements between commas.
func (c *condition) parseIn(line string, at int, lists map[string]*list) *lineError {
	if line[at] == '@' && strings.IndexByte(line[at:], ',') < 0 {
		return c.setList(word{text: strings.TrimRight(line[at+1:], " \t"), at: at}, lists)
	}
	var elements []word
	for {
		w, next, err := nextElement(line, at)
		if err != nil {
			return err
		}
		if err := c.checkOperand(w, lists); err != nil {
			return err
		}
		elements = append(elements, w)
		if next < 0 {
			c.doubtOne(elements)
			return c.setValues(elements)
		}
		at = next
	}
}

// setList prepares `in @name`.
func (c *condition) setList(name word, lists map[string]*list) *lineError {
	l, ok := lists[name.text]
	if !ok {
		hint := problem.OneOf(name.text, sortedLists(lists))
		return &lineError{name.at, "unknown list " + problem.Quote("@"+name.text) + hint}
	}
	for _, value := range l.values {
		if wrong := impossible(c.attribute.kind, c.op, value); wrong != "" {
			return &lineError{name.at, "list " + problem.Quote("@"+name.text) + ": " + wrong}
		}
	}
	if isHost(c.attribute.kind) {
		c.set = hostSet(c.attribute.kind, l.values)
		return nil
	}
	c.list = true
	if c.attribute.kind != fromIP {
		c.set = l.set
		return nil
	}
	nets, wrong := l.addresses()
	if wrong != "" {
		return &lineError{name.at, "list " + problem.Quote("@"+name.text) + " " + wrong}
	}
	c.nets = nets
	return nil
}

// nextElement reads one element of an inline list and returns where the next one starts, -1 after
// the last.
func nextElement(line string, at int) (word, int, *lineError) {
	at = skipSpace(line, at)
	var w word
	end := at
	if at < len(line) && line[at] == '"' {
		quoted, after, err := quotedWord(line, at)
		if err != nil {
			return w, 0, err
		}
		w = quoted
		end = skipSpace(line, after)
		if end < len(line) && line[end] != ',' {
			return w, 0, &lineError{end, "text after the closing quote (elements are separated by commas)"}
		}
	} else {
		for end < len(line) && line[end] != ',' {
			end++
		}
		w = word{text: strings.TrimRight(line[at:end], " \t"), at: at}
		if w.text == "" {
			return w, 0, &lineError{at, `empty element (write "" for an empty value)`}
		}
		if w.text[0] == '@' {
			return w, 0, &lineError{at, problem.Quote(w.text) +
				" among other elements: write a list alone (in @name), and a value that starts with @ in quotes"}
		}
	}
	if end == len(line) {
		return w, -1, nil
	}
	return w, end + 1, nil
}

// setValues prepares the values that = and in compare with.
func (c *condition) setValues(values []word) *lineError {
	if c.attribute.kind == fromIP {
		c.nets = newNetworks()
		for _, v := range values {
			if !c.nets.add(v.text) {
				return &lineError{v.at, problem.Quote(v.text) + " " + notAddress + addressExamples +
					separateByCommas(v.text)}
			}
		}
		return nil
	}
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = v.text
	}
	if isHost(c.attribute.kind) {
		c.set = hostSet(c.attribute.kind, texts)
	} else {
		c.set = valueSet(texts)
	}
	return nil
}

// possible reports whether a caller can have the value at all. Sets hold no other, so that finding
// a value in one settles its form.
func possible(v string) bool { return len(v) <= maxValue && utf8.ValidString(v) }

// holdsFor reports whether one value satisfies the operator, before any `not`. It looks at the
// value's form only where the operator itself does not settle it: this is the request path.
func (c *condition) holdsFor(v string) bool {
	switch c.op {
	case "=", "in":
		return c.set[v]
	case "semver":
		return len(v) <= maxValue && satisfies(v, c.bounds)
	case "<", "<=", ">", ">=":
		if len(v) > maxValue {
			return false
		}
		d, ok := parseDecimal(v)
		return ok && ordered(compareDecimals(d, c.number), c.op)
	}
	if len(v) > maxValue {
		return false
	}
	var holds bool
	switch c.op {
	case "prefix":
		holds = strings.HasPrefix(v, c.operand) || endsHost(v, c)
	case "suffix":
		holds = strings.HasSuffix(v, c.operand)
	case "contains":
		holds = strings.Contains(v, c.operand) || endsHost(v, c)
	case "matches":
		// Most values do not have the literal, and to find that out costs less than to begin a match.
		holds = (c.rare == 0 || strings.IndexByte(v, c.rare) >= 0) && strings.Contains(v, c.literal) &&
			c.pattern.MatchString(v)
	default: // exists
		holds = true
	}
	return holds && utf8.ValidString(v)
}

// capital returns a text's first capital letter, 0 if it has none. In what clients send, capitals
// are rarer than other letters, and to look for one byte costs a third of looking for a text.
func capital(text string) byte {
	for i := 0; i < len(text); i++ {
		if c := text[i]; 'A' <= c && c <= 'Z' {
			return c
		}
	}
	return 0
}
