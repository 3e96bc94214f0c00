package decider

import (
	"net/http"

	"github.com/grayrelease/gray/core"
)

// answer is what a gateway is to change.
type answer struct {
	set    [][2]string // request headers and their values, in place of what is there
	remove []string    // request headers
	client http.Header // to be added to the response's headers; nil adds nothing

	service, version, rule string // of the decision, for logs; empty if there is none
}

// answerOfNone removes what the client claims of decisions.
func answerOfNone(r *http.Request) answer { return answerOf(core.EffectsOfNone(r), r) }

// answerOf tells a decision's effects on a request.
func answerOf(x core.Effects, r *http.Request) answer {
	var a answer
	put := func(name, value string) {
		if value != "" {
			a.set = append(a.set, [2]string{name, value})
		} else if r.Header[name] != nil {
			a.remove = append(a.remove, name)
		}
	}
	put(x.Header, x.Version)
	put("Baggage", x.Baggage)
	for _, name := range x.Remove {
		put(name, "")
	}
	if x.SetCookie != "" {
		put("Cookie", x.Cookie)
	}
	if x.SetCookie != "" || x.TesterCookie != "" {
		a.client = http.Header{}
		core.Respond(&x, a.client)
	}
	return a
}
