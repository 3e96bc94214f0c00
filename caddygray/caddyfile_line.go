package caddygray

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/grayrelease/gray/core"
)

// line returns the rest of the line as the user wrote it. The Caddyfile's lexer has split it.
func (p *parser) line() string {
	var parts []string
	var last caddyfile.Token
	for p.d.NextArg() {
		last = p.d.Token()
		part := written(p.d)
		if number, ok := strings.CutPrefix(part, "<"); ok && isOperatorNext(parts) && isNumber(number) {
			parts = append(parts, "<") // which `caddy fmt` moves to the number
			part = number
		}
		parts = append(parts, part)
	}
	if len(parts) == 1 && last.Quoted() {
		return last.Text // the whole line in quotes
	}
	return strings.Join(parts, " ")
}

// written returns the current token as a condition needs it.
func written(d *caddyfile.Dispenser) string {
	text := d.Val()
	if token := d.Token(); !token.Quoted() {
		return text
	}
	if !strings.HasPrefix(d.ValRaw(), `"`) { // backticks, which take everything literally, or a heredoc
		text = strings.ReplaceAll(text, `\`, `\\`)
	}
	return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
}

// isOperatorNext reports whether the next word of a condition can be its operator, after the words
// in parts.
func isOperatorNext(parts []string) bool {
	if len(parts) == 0 || len(parts) > 3 {
		return false
	}
	last := parts[len(parts)-1] // "exists" takes no operand, so it is a key here
	return last == "exists" || !core.IsOperator(last)
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// splitCommas splits at commas that are not in quotes.
func splitCommas(line string) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(line); i++ {
		switch {
		case quoted && line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case line[i] == ',' && !quoted:
			parts = append(parts, line[start:i])
			start = i + 1
		}
	}
	return append(parts, line[start:])
}
