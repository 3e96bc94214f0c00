package core

import "github.com/grayrelease/gray/core/jwt"

// claims verifies the caller's token, once.
func claims(e *Engine, c *Caller) *jwt.Set {
	if c.claims == nil {
		c.claims = jwt.Claims(e.verifier, c.Request)
	}
	return c.claims
}

// TokenResult returns how the caller's token fared, for hosts that count: "ok", "unverified", or
// the jwt.Reason why there are no claims. It returns "" if the decision did not look at the token.
func TokenResult(c *Caller) string {
	if c.claims == nil {
		return ""
	}
	if c.claims.Reason == jwt.Verified {
		return "ok"
	}
	return string(c.claims.Reason)
}
