package jwt

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	maxDepth   = 32   // objects and arrays inside each other
	maxSeconds = 1e15 // dates beyond are nonsense, and arithmetic on them could overflow
)

// never is the expiry of a token without one.
var never = time.Unix(1<<40, 0)

// judge reads the claims and judges dates, issuer and audience. It also returns until when the verdict holds.
func judge(v *Verifier, payload []byte) (map[string]any, time.Time, Reason) {
	claims, ok := object(payload)
	if !ok {
		return nil, never, Malformed
	}
	expires, reason := judgeDates(v, claims)
	if reason == Verified {
		reason = judgeParties(v, claims)
	}
	if reason != Verified {
		return nil, never, reason
	}
	names := normalise(claims, 1)
	if names < 0 || !isUnique(payload, names) {
		return nil, never, Malformed
	}
	return claims, expires, Verified
}

func judgeDates(v *Verifier, claims map[string]any) (time.Time, Reason) {
	now := v.now()
	expires := never
	if exp, given := claims["exp"]; given {
		t, ok := date(exp)
		if !ok {
			return never, Malformed
		}
		expires = t.Add(v.leeway)
		if !now.Before(expires) {
			return never, Expired
		}
	}
	if nbf, given := claims["nbf"]; given {
		t, ok := date(nbf)
		if !ok {
			return never, Malformed
		}
		if now.Before(t.Add(-v.leeway)) {
			return never, Early
		}
	}
	return expires, Verified
}

// date reads a NumericDate of RFC 7519: a JSON number of seconds, with a fraction or without.
func date(value any) (time.Time, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return never, false
	}
	seconds, err := strconv.ParseFloat(string(number), 64)
	if err != nil || math.Abs(seconds) > maxSeconds {
		return never, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

func judgeParties(v *Verifier, claims map[string]any) Reason {
	if v.issuer != "" {
		if issuer, ok := claims["iss"].(string); !ok || issuer != v.issuer {
			return Issuer
		}
	}
	if len(v.audience) > 0 && !isAddressed(v.audience, claims["aud"]) {
		return Audience
	}
	return Verified
}

func isAddressed(audience map[string]bool, aud any) bool {
	if one, ok := aud.(string); ok {
		return audience[one]
	}
	several, _ := aud.([]any)
	for _, one := range several {
		if text, ok := one.(string); ok && audience[text] {
			return true
		}
	}
	return false
}

// object decodes one JSON object, numbers kept as text. Names that occur twice are left to isUnique.
func object(raw []byte) (map[string]any, bool) {
	if !utf8.Valid(raw) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil || fields == nil {
		return nil, false
	}
	rest := bytes.TrimLeft(raw[decoder.InputOffset():], " \t\r\n")
	return fields, len(rest) == 0
}

// list is an array, with the texts of its scalar elements at hand.
type list struct {
	values []string
	items  []any
}

// normalise prepares decoded claims for Values, in place: scalars become slices of one text, arrays become
// lists. So a request that matches a claim converts nothing. It returns how many names all objects have
// together, or -1 if they are nested too deep.
func normalise(fields map[string]any, depth int) int {
	if depth > maxDepth {
		return -1
	}
	names := len(fields)
	for name, value := range fields {
		prepared, inner := prepare(value, depth)
		if inner < 0 {
			return -1
		}
		fields[name] = prepared
		names += inner
	}
	return names
}

func prepare(value any, depth int) (any, int) {
	switch v := value.(type) {
	case string:
		return []string{v}, 0
	case json.Number:
		if text := decimal(string(v)); text != "" {
			return []string{text}, 0
		}
		return nil, 0
	case bool:
		return []string{strconv.FormatBool(v)}, 0
	case map[string]any:
		return v, normalise(v, depth+1)
	case []any:
		return prepareList(v, depth+1)
	}
	return nil, 0
}

func prepareList(items []any, depth int) (any, int) {
	if depth > maxDepth {
		return nil, -1
	}
	l := &list{items: items}
	names := 0
	for i, item := range items {
		prepared, inner := prepare(item, depth)
		if inner < 0 {
			return nil, -1
		}
		if text, ok := prepared.([]string); ok {
			l.values = append(l.values, text[0])
		}
		items[i] = prepared
		names += inner
	}
	return l, names
}
