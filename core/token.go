package core

import "github.com/grayrelease/gray/core/jwt"

// TokenResult says how the caller's token fared, for hosts that count: "ok", "unverified", or the jwt.Reason why there are no
// claims. It is "" where the decision did not look at the token.
func TokenResult(c *Caller) string {
	if c.claims == nil {
		return ""
	}
	if c.claims.Reason == jwt.Verified {
		return "ok"
	}
	return string(c.claims.Reason)
}
