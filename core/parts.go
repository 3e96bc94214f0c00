package core

import (
	"errors"
	"strings"
)

// ConditionParts is a condition line taken apart, for those who write the same question in another
// language. String writes the line.
type ConditionParts struct {
	// Not reports whether the line is negated: by `not` or by !=, which cancel out.
	Not bool
	// Attribute is its word, such as header, or a placeholder in braces.
	Attribute string
	// Key is the attribute's key, "" for attributes that have none. A header's is canonical.
	Key string
	// Operator is the operator's word. != has become = and Not.
	Operator string
	// Operands are the values of `in`, the one operand of every other operator, and none of exists.
	Operands []string
	// List is the name of the list in `in @name`, whose values are not in Operands.
	List string
}

// ParseCondition takes a condition line apart. It returns what is wrong with a line that no policy
// may have; whether a list exists, it cannot know.
func ParseCondition(line string) (ConditionParts, error) {
	p, err := partsOf(line)
	if err == nil && p.List == "" {
		_, err = parseCondition(line, nil)
	}
	if err != nil {
		return ConditionParts{}, errors.New(err.problem("", line).String())
	}
	return p, nil
}

func partsOf(line string) (ConditionParts, *lineError) {
	var p ConditionParts
	at := 0
	if w, end, err := nextWord(line, 0); err == nil && w.text == "not" && !w.quoted {
		p.Not = true
		at = end
	}
	a, at, err := parseAttribute(line, at)
	if err != nil {
		return p, err
	}
	p.Attribute, p.Key = attributes[a.kind].word, a.key
	switch a.kind {
	case fromAuthority:
		p.Attribute = attributes[fromHeader].word
	case fromPlaceholder:
		p.Attribute, p.Key = a.text, ""
	}
	op, at, err := nextWord(line, at)
	if err != nil {
		return p, err
	}
	p.Operator = op.text
	if p.Operator == "!=" {
		p.Operator = "="
		p.Not = !p.Not
	}
	at = skipSpace(line, at)
	if at == len(line) {
		return p, nil
	}
	if p.Operator != "in" {
		w, err := restOf(line, at)
		p.Operands = []string{w.text}
		return p, err
	}
	if line[at] == '@' && strings.IndexByte(line[at:], ',') < 0 {
		p.List = strings.TrimRight(line[at+1:], " \t")
		return p, nil
	}
	for at >= 0 {
		w, next, err := nextElement(line, at)
		if err != nil {
			return p, err
		}
		p.Operands = append(p.Operands, w.text)
		at = next
	}
	return p, nil
}

// String returns the line, with operands in double quotes where they would be read as something
// else without. Not with = is written as !=.
func (p ConditionParts) String() string {
	var b strings.Builder
	operator := p.Operator
	if p.Not && operator == "=" {
		operator = "!="
	} else if p.Not {
		b.WriteString("not ")
	}
	b.WriteString(p.Attribute)
	if p.Key != "" {
		b.WriteString(" " + quotedUnlessWord(p.Key))
	}
	b.WriteString(" " + operator)
	if p.List != "" {
		return b.String() + " @" + p.List
	}
	if len(p.Operands) == 0 {
		return b.String()
	}
	start := b.String() + " "
	if line := start + strings.Join(p.Operands, ", "); isRead(line, p) {
		return line
	}
	quoted := make([]string, 0, len(p.Operands))
	for _, operand := range p.Operands {
		quoted = append(quoted, inQuotes(operand))
	}
	return start + strings.Join(quoted, ", ")
}

// isRead reports whether a line is read as these parts, without doubts.
func isRead(line string, p ConditionParts) bool {
	got, err := partsOf(line)
	if err != nil || len(got.Operands) != len(p.Operands) {
		return false
	}
	for i, operand := range p.Operands {
		if got.Operands[i] != operand {
			return false
		}
	}
	c, err := parseCondition(line, nil)
	return err == nil && len(c.doubts) == 0
}

func quotedUnlessWord(key string) string {
	if strings.ContainsAny(key, " \t\"") {
		return inQuotes(key)
	}
	return key
}

// inQuotes writes a text so that quotedWord reads it.
func inQuotes(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}
