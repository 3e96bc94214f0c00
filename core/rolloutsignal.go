package core

import (
	"sort"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core/problem"
)

// Guards that no gateway measures: what Prometheus says, and what Alertmanager does. A controller
// such as `gray serve` knows them.

// defaultLooks is how many looks in a row a query must be too high for.
const defaultLooks = 3

// parseQuery reads what follows `query`: NAME < n [for looks].
func parseQuery(line string, at int, guard *RolloutGuard) (int, *lineError) {
	w, end, err := plainWord(line, at, "the name of a query, as in query checkout < 0.02")
	if err != nil {
		return end, err
	}
	guard.Query = w.text
	if cut := strings.IndexByte(w.text, '<'); cut >= 0 { // `checkout<0.02`
		guard.Query = w.text[:cut]
		end = w.at + cut
	}
	if !isQueryName(guard.Query) {
		return end, &lineError{w.at, problem.Quote(guard.Query) + " is not a valid name of a query: letters, digits, _ and -"}
	}
	at = skipSpace(line, end)
	if at == len(line) || line[at] != '<' {
		return at, &lineError{at, "a query needs its limit, as in query checkout < 0.02"}
	}
	w, end, err = plainWord(line, at+1, "a number, as in 0.02")
	if err != nil {
		return end, err
	}
	d, ok := parseDecimal(w.text)
	guard.Limit, _ = strconv.ParseFloat(w.text, 64)
	if !ok || len(w.text) > 20 {
		return end, &lineError{w.at, problem.Quote(w.text) + " is not a decimal number (as in 0.02)"}
	}
	if d.negative {
		return end, &lineError{w.at, "a limit below zero is not supported"}
	}
	guard.Looks = defaultLooks
	w, after, err := nextWord(line, end)
	if err != nil || w.text != "for" {
		return end, err
	}
	w, end, err = plainWord(line, after, "a number of looks, as in 3")
	if err != nil {
		return end, err
	}
	n, bad := strconv.Atoi(w.text)
	if bad != nil || n < 1 || n > 1000 {
		return end, &lineError{w.at, problem.Quote(w.text) + " is not a number of looks from 1 to 1000"}
	}
	guard.Looks = n
	return end, nil
}

// parseAlert reads what follows `alert`: label=value, once or more.
func parseAlert(line string, at int, guard *RolloutGuard) (int, *lineError) {
	guard.Alert = map[string]string{}
	guard.Line = GuardAlert
	for {
		start := skipSpace(line, at)
		equal := strings.IndexByte(line[start:], '=')
		space := strings.IndexAny(line[start:], " \t")
		if equal < 0 || space >= 0 && space < equal {
			if len(guard.Alert) == 0 {
				return start, &lineError{start, "want a label and its value, as in alert team=shop"}
			}
			if start < len(line) { // the last word: what the guard does
				guard.Line += " " + strings.TrimRight(line[start:], " \t")
			}
			return at, nil
		}
		label := line[start : start+equal]
		if !isLabelName(label) {
			return start, &lineError{start, problem.Quote(label) + " is not a valid label: letters, digits and _, without a digit first"}
		}
		w, end, err := nextWord(line, start+equal+1)
		if err != nil {
			return end, err
		}
		if w.at != start+equal+1 || w.isEnd() || w.text == "" {
			return end, &lineError{start, "label " + label + " needs a value, as in alert team=shop"}
		}
		if w.quoted && end < len(line) && !isSpace(line[end]) {
			return end, &lineError{end, "a space is missing after the quoted text"}
		}
		if _, twice := guard.Alert[label]; twice {
			return start, &lineError{start, "label " + label + " is given twice"}
		}
		guard.Alert[label] = w.text
		guard.Line += " " + line[start:end]
		at = end
	}
}

// isQueryName reports whether a query can have that name.
func isQueryName(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isWordByte(c) && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// isLabelName reports whether s is the name of a label in Prometheus.
func isLabelName(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_'
}

// queryWords are what $ may stand before in a query.
var queryWords = []string{"service", "version", "stable", "window"}

// maxExpression bounds the text of a query.
const maxExpression = 4096

// queries checks the queries of the plan, and that its guards find theirs.
func (c *checker) queries(r *Rollout, plan *RolloutPlan) {
	plan.Queries = r.Queries
	names := sortedTexts(r.Queries)
	for _, name := range names {
		path := problem.Field("rollout.queries", name)
		text := r.Queries[name]
		switch {
		case !isQueryName(name):
			c.note(path, problem.Quote(name)+" is not a valid name of a query: letters, digits, _ and -")
		case strings.TrimSpace(text) == "":
			c.note(path, "required: a PromQL expression")
		case len(text) > maxExpression:
			c.note(path, "is longer than "+strconv.Itoa(maxExpression)+" bytes")
		default:
			if word := unknownPlaceholder(text); word != "" {
				c.note(path, "unknown placeholder "+problem.Quote("$"+word)+problem.OneOf(word, queryWords))
			}
		}
	}
	for i := range plan.Guards {
		g := &plan.Guards[i]
		if _, known := r.Queries[g.Query]; g.Query != "" && !known {
			c.note("rollout.queries", "query "+problem.Quote(g.Query)+" is not given, and the guard "+
				problem.Quote(g.Line)+" needs it"+problem.OneOf(g.Query, names))
		}
	}
}

// unknownPlaceholder returns the first word after a $ that no query has, "" if there is none.
func unknownPlaceholder(text string) string {
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			continue
		}
		end := i + 1
		for end < len(text) && isWordByte(text[end]) {
			end++
		}
		word := text[i+1 : end]
		if isLabelName(word) && indexOf(queryWords, word) < 0 {
			return word
		}
	}
	return ""
}

// Query returns the PromQL expression of a guard, with its placeholders replaced. Window is a
// duration as Prometheus has them, such as 60s.
func (p *RolloutPlan) Query(g *RolloutGuard, service, window string) string {
	return strings.NewReplacer(
		"$service", escapeQuery(service), "$version", escapeQuery(p.Version), "$stable", escapeQuery(p.Stable), "$window", window,
	).Replace(p.Queries[g.Query])
}

// escapeQuery makes a text safe between the quotes of an expression.
func escapeQuery(text string) string {
	quoted := strconv.Quote(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], "'", `\'`)
}

func sortedTexts(texts map[string]string) []string {
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
