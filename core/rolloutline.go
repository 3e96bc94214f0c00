package core

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/problem"
)

// parseRolloutStep reads a line of `steps`: <n>% [for <duration>] [min <callers>] [until approved].
func parseRolloutStep(line string) (RolloutStep, *lineError) {
	var step RolloutStep
	w, at, err := plainWord(line, 0, "a percentage, as in 5%")
	if err != nil {
		return step, err
	}
	percent, ok := parsePercent(w.text)
	if !ok || percent > 100 {
		return step, &lineError{w.at, problem.Quote(w.text) + " is not a percentage from 0% to 100% (as in 5%)"}
	}
	step.Percent = percent
	seen := map[string]bool{}
	words := []string{"for", "min", "until"}
	for {
		at = skipSpace(line, at)
		if at == len(line) {
			return step, nil
		}
		clause, end, err := plainWord(line, at, "")
		if err != nil {
			return step, err
		}
		if indexOf(words, clause.text) < 0 {
			return step, &lineError{clause.at, "unknown word " + problem.Quote(clause.text) + " (one of for, min, until)" + problem.Suggest(clause.text, words)}
		}
		if seen[clause.text] {
			return step, &lineError{clause.at, clause.text + " is given twice"}
		}
		seen[clause.text] = true
		at, err = parseClause(line, end, clause.text, &step)
		if err != nil {
			return step, err
		}
	}
}

// parseClause reads what follows for, min or until at a byte, and returns where that ends.
func parseClause(line string, at int, clause string, step *RolloutStep) (int, *lineError) {
	meant := "a duration, as in 10m"
	switch clause {
	case "min":
		meant = "a number of callers, as in 200"
	case "until":
		meant = "the word approved"
	}
	w, end, err := plainWord(line, at, meant)
	if err != nil {
		return end, err
	}
	switch clause {
	case "for":
		step.For, err = positiveDuration(w)
	case "min":
		n, bad := strconv.Atoi(w.text)
		if bad != nil || n < 1 || n > 1000000000 {
			err = &lineError{w.at, problem.Quote(w.text) + " is not a number of callers of 1 or more"}
		} else if step.Percent == 0 {
			err = &lineError{w.at, "nobody is among 0 %: min has no meaning here"}
		}
		step.Min = n
	default:
		if w.text != "approved" {
			err = &lineError{w.at, "want the word approved, not " + problem.Quote(w.text) + problem.Suggest(w.text, []string{"approved"})}
		}
		step.UntilApproved = true
	}
	return end, err
}

// parseRolloutGuard reads a line of `guard`.
func parseRolloutGuard(line string) (RolloutGuard, *lineError) {
	words := strings.Fields(strings.Replace(line, "<", " < ", 1))
	guard := RolloutGuard{Line: strings.Join(words, " "), Then: GuardRollback}
	measures := []string{GuardErrors, GuardLatency, GuardQuery, GuardAlert}
	w, at, err := plainWord(line, 0, "what is measured: errors, latency, query or alert")
	if err != nil {
		return guard, err
	}
	name := w.text
	if cut := strings.IndexByte(name, '<'); cut > 0 { // `errors<2%`
		name = name[:cut]
		at = w.at + cut
	}
	if indexOf(measures, name) < 0 {
		return guard, &lineError{w.at, "unknown guard " + problem.Quote(name) + " (one of errors, latency, query, alert)" + problem.Suggest(name, measures)}
	}
	guard.Measures = name
	switch name {
	case GuardQuery:
		at, err = parseQuery(line, at, &guard)
	case GuardAlert:
		at, err = parseAlert(line, at, &guard)
	default:
		at, err = parseMeasure(line, at, &guard)
	}
	if err != nil {
		return guard, err
	}
	return guard, parseThen(line, at, &guard)
}

// parseMeasure reads the quantile and the limit of a guard, and returns where they end.
func parseMeasure(line string, at int, guard *RolloutGuard) (int, *lineError) {
	isLatency := guard.Measures == GuardLatency
	hasQuantile := false
	if isLatency {
		guard.Quantile = defaultQuantile
		if w, end, err := nextWord(line, at); err == nil && strings.HasPrefix(w.text, "p") && w.text != GuardPause {
			text := w.text
			if cut := strings.IndexByte(text, '<'); cut > 0 {
				text = text[:cut]
				end = w.at + cut
			}
			q, ok := parsePercent(text[1:] + "%")
			if !ok || q < 1 || q > 99.9 {
				return end, &lineError{w.at, problem.Quote(text) + " is not a quantile from p1 to p99.9 (as in p90)"}
			}
			guard.Quantile = share(q)
			hasQuantile = true
			at = end
		}
	}
	at = skipSpace(line, at)
	if at == len(line) || line[at] != '<' {
		return at, nil
	}
	if isLatency && !hasQuantile {
		return at, &lineError{at, "a limit needs its quantile, as in latency p99 < 800ms"}
	}
	meant := "a percentage, as in 2%"
	if isLatency {
		meant = "a duration, as in 800ms"
	}
	w, end, err := plainWord(line, at+1, meant)
	if err != nil {
		return end, err
	}
	if isLatency {
		guard.Limit = share(100 - guard.Quantile*100)
		guard.Over, err = positiveDuration(w)
		return end, err
	}
	percent, ok := parsePercent(w.text)
	if !ok || share(percent) <= 0 || share(percent) >= 1 {
		return end, &lineError{w.at, problem.Quote(w.text) + " is not a percentage between 0% and 100% (as in 2%)"}
	}
	guard.Limit = share(percent)
	return end, nil
}

// parseThen reads the last word of a guard: what it does.
func parseThen(line string, at int, guard *RolloutGuard) *lineError {
	at = skipSpace(line, at)
	if at == len(line) {
		return nil
	}
	words := []string{GuardRollback, GuardPause, GuardWatch}
	w, end, err := plainWord(line, at, "")
	if err != nil {
		return err
	}
	if indexOf(words, w.text) < 0 {
		return &lineError{w.at, "unknown word " + problem.Quote(w.text) + " (one of rollback, pause, watch)" + problem.Suggest(w.text, words)}
	}
	guard.Then = w.text
	if end = skipSpace(line, end); end < len(line) {
		return &lineError{end, "nothing may follow " + w.text}
	}
	return nil
}

// plainWord reads the next word, which must not be in quotes, nor absent if it says what is meant.
func plainWord(line string, at int, meant string) (word, int, *lineError) {
	w, end, err := nextWord(line, at)
	if err != nil {
		return w, end, err
	}
	if w.quoted {
		return w, end, &lineError{w.at, "no quotes here"}
	}
	if w.text == "" && meant != "" {
		return w, end, &lineError{w.at, "want " + meant}
	}
	return w, end, nil
}

// parsePercent reads a decimal number and its percent sign. It is not negative.
func parsePercent(text string) (float64, bool) {
	number := strings.TrimSuffix(text, "%")
	d, ok := parseDecimal(number)
	if !ok || d.negative || number == text || len(number) > 20 {
		return 0, false
	}
	percent, err := strconv.ParseFloat(number, 64)
	return percent, err == nil
}

// share returns a percentage as a share, to a millionth of a percent.
func share(percent float64) float64 { return math.Round(percent*1e6) / 1e8 }

func positiveDuration(w word) (time.Duration, *lineError) {
	d, err := time.ParseDuration(w.text)
	if err != nil || d <= 0 {
		return 0, &lineError{w.at, problem.Quote(w.text) + notDuration}
	}
	return d, nil
}
