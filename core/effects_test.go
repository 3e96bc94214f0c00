package core

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRepass(t *testing.T) {
	e := engineFor(t, betaRule)
	for _, c := range []struct {
		about             string
		header, baggage   []string
		wantHeader, wants []string
	}{
		{"what Pass said", []string{"v2"}, []string{"a=b,gray=v2"}, []string{"v1"}, []string{"a=b"}},
		{"alone", []string{"v2"}, []string{"gray=v2"}, []string{"v1"}, nil},
		{"removed on purpose", nil, nil, nil, nil},
		{"replaced on purpose", []string{"canary"}, []string{"gray=canary"}, []string{"canary"}, []string{"gray=canary"}},
	} {
		t.Run(c.about, func(t *testing.T) {
			r := request("/")
			r.Header["X-Gray-Version"], r.Header["Baggage"] = c.header, c.baggage
			Repass(e, r, Told{"v2", "v2"}, "v1")
			assert.Equal(t, c.wantHeader, r.Header["X-Gray-Version"])
			assert.Equal(t, c.wants, r.Header["Baggage"])
		})
	}

	// Another service's decision was told last, and may have been for its stable version.
	for _, c := range []struct{ baggage, told, now, want string }{
		{"", "", "v2", "gray=v2"},
		{"a=b", "", "v2", "a=b,gray=v2"},
		{"gray=blue,a=b", "blue", "v2", "a=b,gray=v2"},
		{"gray=blue", "blue", "v1", ""},
		{"", "", "v1", ""},
		{"gray=v3", "", "v2", "gray=v3"}, // changed on purpose
		{"gray=v3", "blue", "v2", "gray=v3"},
	} {
		r := request("/", "Baggage: "+c.baggage)
		Repass(e, r, Told{"v1", c.told}, c.now)
		assert.Equal(t, c.want, r.Header.Get("Baggage"), c)
	}

	// The values belong to the request, as those of Pass do.
	for range 2 {
		r := request("/")
		r.Header["X-Gray-Version"] = []string{"v2"}
		Repass(e, r, Told{"v2", "v2"}, "v1")
		require.Equal(t, []string{"v1"}, r.Header["X-Gray-Version"])
		r.Header["X-Gray-Version"][0] = "changed"
	}
}

func TestPassNothing(t *testing.T) {
	for given, want := range map[string][]string{"gray=v2": nil, "a=b,gray=v2, c=d": {"a=b, c=d"}, "a=b": {"a=b"}, "": nil} {
		r := request("/", "X-Gray-Version: v2", "Baggage: "+given)
		PassNothing(r)
		assert.NotContains(t, r.Header, "X-Gray-Version")
		assert.Equal(t, want, r.Header["Baggage"], given)
	}
	r := request("/")
	PassNothing(r)
	assert.Empty(t, r.Header)
}

// What is told of a decision afterwards does not depend on what has become of the request since.
func TestTellingAfterwards(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-User", "ip"], "trust": ["203.0.113.7"], "rules": [
		{"name": "hop", "version": "v2", "when": ["baggage gray = v2"]},
		{"name": "path", "version": "v2", "when": ["path prefix /beta"]},
		{"name": "ramp", "version": "v2", "percent": 100}]`)
	r := request("/beta/x", "X-User: u-1")
	c := &Caller{Request: r}
	d := Decide(e, c)
	Pass(e, c, http.Header{}, d)
	r.URL.Path = "/x"
	assert.Equal(t, `rule "path" matched`, Reason(e, d))
	_, _, ok := Asked(c)
	assert.False(t, ok, "no percentage was asked")
	assert.Equal(t, "u-1", Identity(e, c))

	e = engineFor(t, `"identity": ["header X-User", "ip"], "rules": [{"name": "ramp", "version": "v2", "percent": 50}]`)
	c = &Caller{Request: request("/", "X-User: u-1")}
	d = Decide(e, c)
	c.Request.Header.Del("X-User")
	id, at, ok := Asked(c)
	assert.True(t, ok)
	assert.Equal(t, "u-1", id)
	assert.Equal(t, position(newBucket("shop/v2", 50), "u-1"), at)
	assert.Equal(t, d.Version == "v2", at < 1<<63)

	e = engineFor(t, `"identity": ["header X-User"], "rules": [{"name": "ramp", "version": "v2", "percent": 50}]`)
	c = &Caller{Request: request("/")}
	d = Decide(e, c)
	_, _, ok = Asked(c)
	assert.False(t, ok, "nobody was asked about")
	assert.Equal(t, "no rule matched: the stable version", Reason(e, d))
}

// A caller who is new to two services behind one gateway is given one identity.
func TestNewIdentitiesAreSharedByServices(t *testing.T) {
	e := engineFor(t, `"identity": ["cookie uid"], "anonymous": "cookie", "rules": [{"version": "v2", "percent": 50}]`)
	var upstream []*http.Cookie
	h := Handler(e, nil, Handler(e, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { upstream = r.CookiesNamed("gray_id") })))
	for _, headers := range [][]string{nil, {"Cookie: theme=dark"}} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("/", headers...))
		set := w.Result().Cookies()
		require.Len(t, set, 1)
		require.Len(t, upstream, 1)
		assert.Equal(t, set[0].Value, upstream[0].Value)
	}
}

// What is told is what is done, and telling does nothing.
func TestPassAppliesEffects(t *testing.T) {
	e := engineFor(t, `"identity": ["cookie uid"], "anonymous": "cookie", "rules": [
		{"name": "beta", "version": "v2", "when": ["header X-App-Version = beta"]},
		{"name": "ramp", "version": "v2", "percent": 50}]`)
	for _, headers := range [][]string{
		nil,
		{"X-App-Version: beta"},
		{"X-App-Version: beta", "X-Gray-Version: v9", "X-Gray-Version: v8"},
		{"X-App-Version: beta", "Baggage: a=b,gray=v9,c=d"},
		{"X-App-Version: beta", "Connection: close, X-Gray-Version, baggage"},
		{"X-App-Version: beta", "Connection: keep-alive"},
		{"Cookie: uid=u-1", "Baggage: gray=v2"},
		{"Cookie: theme=dark", "Baggage: a=b", "Connection: X-Gray-Version"},
	} {
		c := &Caller{Request: request("/", headers...)}
		d := Decide(e, c)
		want, response := c.Request.Header.Clone(), http.Header{}
		x := EffectsOf(e, c, d)
		require.Equal(t, want, c.Request.Header, "telling changes nothing")
		want["X-Gray-Version"] = []string{x.Version}
		delete(want, "Baggage")
		if x.Baggage != "" {
			want["Baggage"] = []string{x.Baggage}
		}
		if x.Connection != nil {
			want["Connection"] = x.Connection
		}
		if x.Cookie != "" {
			want["Cookie"] = []string{x.Cookie}
		}
		Pass(e, c, response, d)
		assert.Equal(t, want, c.Request.Header, headers)
		assert.Equal(t, x.SetCookie, response.Get("Set-Cookie"), headers)
		assert.Equal(t, x.SetCookie != "", x.Cookie != "", headers)
	}
}

func TestEffectsOfNone(t *testing.T) {
	r := request("/", "X-Gray-Version: v2", "Baggage: a=b,gray=v2")
	assert.Equal(t, Effects{Header: "X-Gray-Version", Remove: defaultSpellings, Baggage: "a=b"}, EffectsOfNone(r))
	assert.Equal(t, "v2", r.Header.Get("X-Gray-Version"))
}

func TestRoute(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-User"], "rules": [
		{"name": "beta", "version": "v2", "when": ["header X-App-Version = beta"]},
		{"name": "ramp", "version": "v2", "percent": 50}]`)
	var served string
	to := func(name string) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { served = name + " " + r.Header.Get("X-Gray-Version") })
	}
	for _, c := range []struct {
		versions map[string]http.Handler
		v1, v2   string
	}{
		{nil, "others v1", "others v2"},
		{map[string]http.Handler{"v2": to("second")}, "others v1", "second v2"},
		{map[string]http.Handler{"v1": to("first"), "v2": to("second")}, "first v1", "second v2"},
	} {
		h := Route(e, nil, c.versions, to("others"))
		h.ServeHTTP(httptest.NewRecorder(), request("/"))
		assert.Equal(t, c.v1, served)
		h.ServeHTTP(httptest.NewRecorder(), request("/", "X-App-Version: beta"))
		assert.Equal(t, c.v2, served)
		forced := Route(e.With(Overlay{Force: "v2"}), nil, c.versions, to("others"))
		forced.ServeHTTP(httptest.NewRecorder(), request("/"))
		assert.Equal(t, c.v2, served)
	}
}
