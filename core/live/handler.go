package live

import (
	"net/http"

	"github.com/grayrelease/gray/core"
)

// Handler is the middleware for a gateway of one's own: it decides by what is in force, passes the
// decision on in the request and sets the cookie that the policy may want (see core.Handler), and
// calls next, which finds the version in the request's header.
//
// Client says what the gateway knows of the client; nil is what the connection says. While there is
// no policy, requests go on without what only decisions say.
func Handler(h *Handle, client *core.Client, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := h.Current()
		if now.Engine == nil {
			core.PassNothing(r)
			next.ServeHTTP(w, r)
			return
		}
		core.Handler(now.Engine, client, next).ServeHTTP(w, r)
	})
}
