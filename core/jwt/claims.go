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

// judge reads the claims and checks dates, issuer and audience. The set is valid until its expiry.
func judge(v *Verifier, payload []byte) (*Set, Reason) {
	claims, ok := object(payload)
	if !ok {
		return nil, Malformed
	}
	expires, reason := judgeDates(v, claims)
	if reason == Verified {
		reason = judgeParties(v, claims)
	}
	if reason != Verified {
		return nil, reason
	}
	names := countNames(claims, 1)
	set := flatten(claims, names)
	if set == nil || !isUnique(payload, names) {
		return nil, Malformed
	}
	set.Expires = expires
	return set, Verified
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

// object decodes one JSON object and keeps numbers as text. Repeated names are left to isUnique.
func object(raw []byte) (map[string]any, bool) {
	if !utf8.Valid(raw) {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any // not a map, which would be decoded by reflection
	if err := decoder.Decode(&value); err != nil {
		return nil, false
	}
	fields, ok := value.(map[string]any)
	if !ok {
		return nil, false
	}
	rest := bytes.TrimLeft(raw[decoder.InputOffset():], " \t\r\n")
	return fields, len(rest) == 0
}
