package caddygray

import (
	"slices"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core"
)

const placeholderPrefix = "http.gray."

var nouns = []string{"version", "rule", "service", "fallback", "identity", "bucket", "reason"}

// placeholder returns the value of one of the placeholders that Handler documents, computed on
// demand. It is empty for a service without a decision.
func (s *request) placeholder(key string) (any, bool) {
	noun, ok := strings.CutPrefix(key, placeholderPrefix)
	if !ok {
		return nil, false
	}
	d := s.decided
	if dot := strings.LastIndexByte(noun, '.'); dot >= 0 {
		d, noun = s.of(noun[:dot]), noun[dot+1:]
	}
	if d == nil {
		return "", slices.Contains(nouns, noun)
	}
	switch noun {
	case "version":
		return d.decision.Version, true
	case "rule":
		return d.decision.Rule, true
	case "service":
		return d.active.service, true
	case "fallback":
		return d.fellBack(), true
	case "identity":
		return d.identity(), true
	case "bucket":
		return d.bucket(), true
	case "reason":
		return core.Reason(d.active.engine, d.decision), true
	}
	return nil, false
}

// identity returns the caller's identity in the decision. If no percentage was checked, it is
// computed now.
func (d *decided) identity() string {
	if id, _, ok := core.Asked(&d.caller); ok {
		return id
	}
	return core.Identity(d.active.engine, &d.caller)
}

// bucket returns the caller's position in the last percentage that was checked, between 0 and 100.
func (d *decided) bucket() string {
	_, position, ok := core.Asked(&d.caller)
	if !ok {
		return ""
	}
	const whole = 1 << 64
	return strconv.FormatFloat(float64(position)/whole*100, 'f', 4, 64)
}
