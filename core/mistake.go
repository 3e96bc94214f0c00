package core

import (
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// Operands that are valid text and were meant otherwise. What no request can have, or what is part
// of the grammar elsewhere, is refused; what some request might have is warned about. Double quotes
// say that the text is meant as it is.

// placeholderText matches what other configurations replace by a value: {path}, ${NAME}.
var placeholderText = regexp.MustCompile(`\{\$?[A-Za-z_][A-Za-z0-9_.:/-]*\}`)

const quoteIt = ", or put it in double quotes if it is meant so"

// checkOperand looks for both in one operand.
func (c *condition) checkOperand(w word, lists map[string]*list) *lineError {
	if !w.quoted {
		if err := c.misread(w, lists); err != nil {
			return err
		}
	}
	if wrong := impossible(c.attribute.kind, c.op, w.text); wrong != "" {
		return &lineError{w.at, wrong}
	}
	return nil
}

// impossible returns what keeps any request from having the operand, "" if nothing does. Op is
// the operator that compares with it.
func impossible(kind attributeKind, op, text string) string {
	if text == "" || op != "=" && op != "in" && op != "prefix" && (op != "suffix" || kind != fromHost) {
		return ""
	}
	isWhole := op == "=" || op == "in"
	switch kind {
	case fromPath:
		if text[0] != '/' && text != "*" {
			return problem.Quote(text) + " is not the beginning of a path: paths begin with a slash" +
				writeInstead(pathOf(text))
		}
	case fromMethod:
		if isWhole && !isToken(text) {
			return problem.Quote(text) + " is not a valid method" + separateByCommas(text)
		}
	case fromHost:
		return impossibleHost(op, text)
	case fromCookie:
		if strings.IndexByte(text, ';') >= 0 {
			return problem.Quote(text) + " has a semicolon, which no cookie's value has"
		}
	}
	return ""
}

func writeInstead(text string) string {
	if text == "" {
		return ""
	}
	return ": write " + text
}

// pathOf returns the path that a text without a leading slash stands for.
func pathOf(text string) string {
	if scheme := strings.Index(text, "://"); scheme >= 0 {
		rest := text[scheme+3:]
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			return rest[slash:]
		}
		return "/"
	}
	return "/" + text
}

func separateByCommas(text string) string {
	if words := strings.Fields(text); len(words) > 1 {
		return ": write in " + strings.Join(words, ", ")
	}
	return ""
}

// impossibleHost is impossible for `host`, which has no port and no brackets.
func impossibleHost(op, text string) string {
	if op == "prefix" {
		return ""
	}
	if scheme := strings.Index(text, "://"); scheme >= 0 || strings.IndexByte(text, '/') >= 0 {
		name := text
		if scheme >= 0 {
			name = text[scheme+3:]
		}
		name, _, _ = strings.Cut(name, "/")
		return problem.Quote(text) + " is not a host name: a host has neither a scheme nor a path" +
			writeInstead(Hostname(name))
	}
	if strings.IndexByte(text, '*') >= 0 {
		if rest := strings.TrimPrefix(text, "*."); rest != text && strings.IndexByte(rest, '*') < 0 {
			return problem.Quote(text) + " is not a host name: for the names below it, write suffix ." + rest
		}
		return problem.Quote(text) + " is not a host name: no host has a *"
	}
	if len(strings.Fields(text)) > 1 {
		return problem.Quote(text) + " is not a host name" + separateByCommas(text)
	}
	if strings.IndexByte(text, '[') >= 0 {
		return problem.Quote(text) + " has brackets, and host has none" + writeInstead(Hostname(text))
	}
	colon := strings.IndexByte(text, ':')
	if colon < 0 || strings.Count(text, ":") > 1 || op == "suffix" && strings.IndexByte(text[:colon], '.') < 0 {
		return ""
	}
	return problem.Quote(text) + " has a port, and host has none" + writeInstead(text[:colon]) +
		", or ask for both by header Host"
}

// misread returns what is wrong with an operand that was written without quotes, nil if nothing is,
// and notes in the condition what is doubtful.
func (c *condition) misread(w word, lists map[string]*list) *lineError {
	text := w.text
	if c.op != "matches" && placeholderText.MatchString(text) ||
		c.op == "matches" && placeholderText.FindString(text) == text {
		return &lineError{w.at, problem.Quote(placeholderText.FindString(text)) +
			" would be compared as it is written: operands have no placeholders, so write the value" + quoteIt}
	}
	if err := c.joined(w); err != nil {
		return err
	}
	switch {
	case isInQuotes(text):
		c.doubt(w.at, "the quotes of "+text+" are part of the text: write "+withoutQuotes(text)+quoteIt)
	case c.op == "=" && text[0] == '@' && lists[text[1:]] != nil:
		c.doubt(w.at, "= compares with the text "+problem.Quote(text)+
			": for the values of the list, write in "+text+quoteIt)
	case c.attribute.kind == fromMethod:
		c.misreadMethod(w)
	case c.attribute.kind == fromPath || c.attribute.kind == fromQuery:
		c.misreadURL(w)
	case isHost(c.attribute.kind) && c.op == "matches":
		if pattern, err := syntax.Parse(text, syntax.Perl); err == nil && hasCapitals(pattern) {
			c.doubt(w.at, "matches sees the host's name in small letters: write them in small letters, or (?i) before them"+
				quoteIt)
		}
	}
	return nil
}

// hasCapitals reports whether an expression demands a capital letter somewhere.
func hasCapitals(pattern *syntax.Regexp) bool {
	if pattern.Op == syntax.OpLiteral && pattern.Flags&syntax.FoldCase == 0 {
		text := string(pattern.Rune)
		return strings.ToLower(text) != text
	}
	for _, part := range pattern.Sub {
		if hasCapitals(part) {
			return true
		}
	}
	return false
}

// joined looks for a word that joins conditions in other languages.
func (c *condition) joined(w word) *lineError {
	for at := 0; at < len(w.text); {
		joint, end, err := nextWord(w.text, at)
		if err != nil {
			return nil
		}
		at = end
		lower := strings.ToLower(joint.text)
		isAnd := lower == "and" || lower == "&&"
		if !isAnd && lower != "or" && lower != "||" || joint.at == 0 || joint.quoted {
			continue
		}
		advice := ": write a rule for each condition, or " + c.attribute.text + " in a, b for several values"
		if isAnd {
			advice = ": write each condition on a line of its own, and all must hold"
		}
		message := problem.Quote(joint.text) + " joins no conditions" + advice + quoteIt
		if lower == "&&" || lower == "||" || startsCondition(w.text[end:]) {
			return &lineError{w.at + joint.at, message}
		}
		if c.op == "=" || c.op == "in" || c.op == "contains" {
			c.doubt(w.at+joint.at, message)
		}
	}
	return nil
}

// startsCondition reports whether a text begins as a condition does.
func startsCondition(text string) bool {
	at := 0
	if w, end, err := nextWord(text, 0); err == nil && w.text == "not" {
		at = end
	}
	_, at, err := parseAttribute(text, at)
	if err != nil {
		return false
	}
	operator, _, err := nextWord(text, at)
	return err == nil && IsOperator(operator.text)
}

// foreignQuotes are pairs of quotes that mean nothing in conditions.
var foreignQuotes = []string{"'", "'", "`", "`", "\u201c", "\u201d", "\u2018", "\u2019", "\u00ab", "\u00bb"}

func isInQuotes(text string) bool { return withoutQuotes(text) != text }

func withoutQuotes(text string) string {
	for i := 0; i < len(foreignQuotes); i += 2 {
		begin, end := foreignQuotes[i], foreignQuotes[i+1]
		if len(text) > len(begin)+len(end) && strings.HasPrefix(text, begin) && strings.HasSuffix(text, end) {
			return text[len(begin) : len(text)-len(end)]
		}
	}
	return text
}

// methods are those that clients send, in the only spelling that servers know.
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"}

func (c *condition) misreadMethod(w word) {
	if upper := strings.ToUpper(w.text); upper != w.text && indexOf(methods, upper) >= 0 && c.op != "matches" {
		c.doubt(w.at, "methods are in capitals, and compared exactly: write "+upper+quoteIt)
	}
}

var escapeText = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

func (c *condition) misreadURL(w word) {
	isPath := c.attribute.kind == fromPath
	switch {
	case c.op == "matches":
		if isPath && len(w.text) > 1 && w.text[0] == '^' && isLetter(w.text[1]) {
			c.doubt(w.at, "paths begin with a slash: write ^/"+w.text[1:]+quoteIt)
		}
	case escapeText.MatchString(w.text):
		c.doubt(w.at, problem.Quote(w.text)+
			" is compared with what is decoded already: write the characters themselves"+quoteIt)
	case isPath && strings.IndexByte(w.text, '?') >= 0:
		c.doubt(w.at, "the path ends before the ?: ask for parameters by query NAME"+quoteIt)
	case isPath && len(w.text) > 1 && strings.HasSuffix(w.text, "*") && c.op != "contains":
		c.doubt(w.at, "* stands for itself: for what begins so, write path prefix "+
			strings.TrimRight(w.text, "*")+quoteIt)
	}
}

func isLetter(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

// doubtOne looks whether the one value of `in` was meant to be several.
func (c *condition) doubtOne(elements []word) {
	w := elements[0]
	if len(elements) == 1 && !w.quoted && len(strings.Fields(w.text)) > 1 && len(c.doubts) == 0 {
		c.doubt(w.at, "in has the one value "+problem.Quote(w.text)+
			": separate values by commas"+separateByCommas(w.text)+quoteIt)
	}
}

// doubt notes what was probably meant otherwise, at a byte of the line.
func (c *condition) doubt(at int, message string) {
	c.doubts = append(c.doubts, &lineError{at, message})
}
