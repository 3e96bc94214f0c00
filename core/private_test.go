package core

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKeepPrivate(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, "private"},
		{[]string{"public, max-age=60"}, "private, max-age=60"},
		{[]string{"private", "Public , S-MaxAge=600", "must-revalidate"}, "private, must-revalidate"},
		{[]string{`private="X-A, X-B", no-cache="Set-Cookie, X-\"C"`}, `private, no-cache="Set-Cookie, X-\"C"`},
		{[]string{"no-store"}, "private, no-store"},
		{[]string{`,, "`}, `private, "`},
	} {
		h := http.Header{
			"Cdn-Cache-Control": {"max-age=600"}, "Cloudflare-Cdn-Cache-Control": {"max-age=600"}, "Edge-Control": {"max-age=1h"},
			"Surrogate-Control": {"max-age=600"}, "X-Accel-Expires": {"600"},
		}
		if c.lines != nil {
			h["Cache-Control"] = c.lines
		}
		KeepPrivate(h)
		assert.Equal(t, http.Header{"Cache-Control": {c.want}}, h)
	}
}
