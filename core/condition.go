package core

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/grayrelease/gray/core/problem"
)

// operatorWords are the operators of a condition line.
var operatorWords = []string{"=", "!=", "in", "prefix", "suffix", "contains", "matches", "exists", "<", "<=", ">", ">=", "semver"}

// IsOperator reports whether a word is one of the operators of conditions, such as "=" or "semver".
func IsOperator(word string) bool { return indexOf(operatorWords, word) >= 0 }

// condition is one line of `when`, read and prepared. Its syntax:
//
//	["not"] source [key] operator [operand]
//
//	source    header K | cookie K | query K | claim PATH | baggage K | ip | path | host | method | identity
//	operator  = != in prefix suffix contains matches exists < <= > >= semver
//	operand   the rest of the line; `in` takes a comma-separated list or @listname; in double quotes
//	          where a comma or edge space is meant (\" and \\ within)
type condition struct {
	text    string
	negated bool // by `not`, by `!=`; both cancel out
	source  source
	op      string // "!=" has become a negated "="

	operand string          // of prefix, suffix, contains
	set     map[string]bool // of = and in
	list    bool            // set belongs to a named list, shared with others
	nets    *networks       // of = and in on ip, instead of set
	pattern *regexp.Regexp
	number  decimal
	bounds  []semverBound
}

// word is a piece of a condition line: its text without quotes, and the byte where it starts.
type word struct {
	text   string
	at     int
	quoted bool
}

// lineError is a problem in a condition or identity line, at a byte of it.
type lineError struct {
	at      int
	message string
}

// problem places the error in the document.
func (e *lineError) problem(path, line string) problem.Problem {
	return problem.Problem{Path: path, Column: utf8.RuneCountInString(line[:e.at]) + 1, Message: e.message}
}

// nextWord reads the word that starts at or after byte `at`, and returns the byte where it ends. At the end of the line the word is empty.
func nextWord(line string, at int) (word, int, *lineError) {
	for at < len(line) && isSpace(line[at]) {
		at++
	}
	if at < len(line) && line[at] == '"' {
		return quotedWord(line, at)
	}
	end := at
	for end < len(line) && !isSpace(line[end]) {
		end++
	}
	return word{text: line[at:end], at: at}, end, nil
}

// quotedWord reads the quoted string that starts at byte `at`: \" and \\ are escapes, any other backslash is itself.
func quotedWord(line string, at int) (word, int, *lineError) {
	var text []byte
	for i := at + 1; i < len(line); i++ {
		c := line[i]
		if c == '"' {
			return word{text: string(text), at: at, quoted: true}, i + 1, nil
		}
		if c == '\\' && i+1 < len(line) && (line[i+1] == '"' || line[i+1] == '\\') {
			i++
			c = line[i]
		}
		text = append(text, c)
	}
	return word{}, at, &lineError{at, "the quoted text does not end (a \" is missing)"}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// parseCondition reads one line of `when`. Lists are the document's, by name.
func parseCondition(line string, lists map[string]*list) (*condition, *lineError) {
	c := &condition{text: line}
	at := 0
	if w, end, err := nextWord(line, 0); err == nil && w.text == "not" && !w.quoted {
		c.negated = true
		at = end
	}
	s, at, err := parseSource(line, at)
	if err != nil {
		return nil, err
	}
	c.source = s
	op, at, err := nextWord(line, at)
	if err != nil {
		return nil, err
	}
	if op.text == "" && !op.quoted {
		return nil, &lineError{op.at, "operator missing (one of " + strings.Join(operatorWords, " ") + ")"}
	}
	if op.quoted || !IsOperator(op.text) {
		return nil, &lineError{op.at, "unknown operator " + problem.Quote(op.text) + problem.Suggest(op.text, operatorWords)}
	}
	c.op = op.text
	if c.op == "!=" {
		c.op = "="
		c.negated = !c.negated
	}
	return c, c.parseOperand(line, at, lists)
}

// parseOperand reads what follows the operator and prepares it for matching.
func (c *condition) parseOperand(line string, at int, lists map[string]*list) *lineError {
	for at < len(line) && isSpace(line[at]) {
		at++
	}
	if c.op == "exists" {
		if at < len(line) {
			return &lineError{at, "nothing may follow exists"}
		}
		return nil
	}
	if at == len(line) {
		return &lineError{at, "operand of " + c.op + ` missing (write "" for an empty value)`}
	}
	if c.op == "in" {
		return c.parseIn(line, at, lists)
	}
	w := word{text: strings.TrimRight(line[at:], " \t"), at: at}
	if line[at] == '"' {
		quoted, end, err := quotedWord(line, at)
		if err != nil {
			return err
		}
		if rest := strings.TrimLeft(line[end:], " \t"); rest != "" {
			return &lineError{len(line) - len(rest), "text after the closing quote"}
		}
		w = quoted
	}
	switch c.op {
	case "=":
		return c.setValues([]word{w})
	case "prefix", "suffix", "contains":
		c.operand = w.text
	case "matches":
		pattern, err := regexp.Compile(w.text)
		if err != nil {
			return &lineError{w.at, "no regular expression (RE2 syntax): " + strings.TrimPrefix(err.Error(), "error parsing regexp: ")}
		}
		c.pattern = pattern
	case "semver":
		bounds, offset, problem := parseConstraint(w.text)
		if problem != "" {
			return &lineError{w.at + offset, problem}
		}
		c.bounds = bounds
	default: // < <= > >=
		number, ok := parseDecimal(w.text)
		if !ok {
			return &lineError{w.at, problem.Quote(w.text) + " is no decimal number"}
		}
		c.number = number
	}
	return nil
}

// parseIn reads the operand of `in`: @listname, or elements between commas.
func (c *condition) parseIn(line string, at int, lists map[string]*list) *lineError {
	if line[at] == '@' && strings.IndexByte(line[at:], ',') < 0 {
		name := strings.TrimRight(line[at+1:], " \t")
		l, ok := lists[name]
		if !ok {
			return &lineError{at, "unknown list " + problem.Quote("@"+name) + problem.Suggest(name, sortedLists(lists))}
		}
		c.list = true
		c.set = l.set
		if c.source.kind == fromIP {
			if l.nets == nil {
				nets, element := listNetworks(l.values)
				if nets == nil {
					return &lineError{at, "list " + problem.Quote("@"+name) + " holds " + problem.Quote(element) + ", which is no address and no prefix"}
				}
				l.nets = nets
			}
			c.nets = l.nets
			c.set = nil // the interpreter panics where nil is one of several values assigned at once
		}
		return nil
	}
	var elements []word
	for {
		w, next, err := nextElement(line, at)
		if err != nil {
			return err
		}
		elements = append(elements, w)
		if next < 0 {
			return c.setValues(elements)
		}
		at = next
	}
}

// nextElement reads one element of an inline list and returns where the next one starts, -1 after the last.
func nextElement(line string, at int) (word, int, *lineError) {
	for at < len(line) && isSpace(line[at]) {
		at++
	}
	var w word
	end := at
	if at < len(line) && line[at] == '"' {
		quoted, after, err := quotedWord(line, at)
		if err != nil {
			return w, 0, err
		}
		w, end = quoted, after
		for end < len(line) && isSpace(line[end]) {
			end++
		}
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
			return w, 0, &lineError{at, problem.Quote(w.text) + " among other elements: a list stands alone (in @name); a value that starts with @ wants quotes"}
		}
	}
	if end == len(line) {
		return w, -1, nil
	}
	return w, end + 1, nil
}

// setValues prepares the values that = and in compare with.
func (c *condition) setValues(values []word) *lineError {
	if c.source.kind == fromIP {
		c.nets = newNetworks()
		for _, v := range values {
			if !c.nets.add(v.text) {
				return &lineError{v.at, problem.Quote(v.text) + " is no address and no prefix (as in 10.1.2.3, 10.0.0.0/8, 2001:db8::/32)"}
			}
		}
		return nil
	}
	c.set = make(map[string]bool, len(values))
	for _, v := range values {
		if possible(v.text) {
			c.set[v.text] = true
		}
	}
	return nil
}

// possible reports whether a caller can have the value at all. Sets hold no other, so that finding a value in one settles its form.
func possible(v string) bool { return len(v) <= maxValue && utf8.ValidString(v) }

// holdsFor reports whether one value satisfies the operator, before any `not`.
// The value's form is looked at only where the operator itself does not settle it: this is the request path.
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
		holds = strings.HasPrefix(v, c.operand)
	case "suffix":
		holds = strings.HasSuffix(v, c.operand)
	case "contains":
		holds = strings.Contains(v, c.operand)
	case "matches":
		holds = c.pattern.MatchString(v)
	default: // exists
		holds = true
	}
	return holds && utf8.ValidString(v)
}
