package traefikgray

import (
	"net/http"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
)

// Ways to choose among a version's upstreams.
const (
	balanceTurns    = "turns"
	balanceIdentity = "identity"
)

// checkBalance checks the option of that name.
func checkBalance(s *setup, balance string) problem.List {
	switch {
	case balance == "":
		return nil
	case balance != balanceTurns && balance != balanceIdentity:
		return problem.New("balance", "unknown word %q (one of turns, identity)", balance)
	case s.mode != modeProxy:
		return problem.New("balance", "needs mode proxy: in mode header, Traefik's services balance")
	}
	return nil
}

// identifier returns the function that finds who a request's caller counts as, or nil if upstreams
// are used in turns. It is called for requests that the plugin forwards, once they are decided.
func identifier(s *setup, engine *core.Engine) func(*http.Request) string {
	if s.balance != balanceIdentity {
		return nil
	}
	clientIP := s.clientIP
	return func(r *http.Request) string {
		c := &core.Caller{Request: r}
		if clientIP != nil {
			c.Client = clientIP(r)
		}
		return core.KnownIdentity(engine, c)
	}
}
