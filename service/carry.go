package service

import (
	"context"
	"net/http"
	"strings"

	"github.com/grayrelease/gray/core"
)

// Carrier reads and writes versions in headers. The zero value is ready to use.
type Carrier struct {
	// Header is the name of the header with the version, as `header` in the policy has it. Default:
	// X-Gray-Version.
	Header string
}

// Handler is the middleware that puts the version of each request into its context, for Version.
// The request's baggage says the same to next, so that OpenTelemetry's middleware may be around it
// or within.
//
// Who can reach the service without passing a gateway of gray chooses the version by himself.
func Handler(next http.Handler) http.Handler { return Carrier{}.Handler(next) }

// Handler is the function Handler for the carrier's header.
func (c Carrier) Handler(next http.Handler) http.Handler {
	name := c.header()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, version := r.Context(), versionIn(r.Header[name], r.Header["Baggage"])
		now := Received(ctx, version)
		switch {
		case core.CarriedVersion(r.Header["Baggage"]) != version: // propagators within read that
			r = r.Clone(now)
			c.put(r.Header, version)
		case now != ctx:
			r = r.WithContext(now)
		}
		next.ServeHTTP(w, r)
	})
}

// Version returns the version in a request's headers: that of the carrier's header or, if there is
// none, that of the baggage. A header that is repeated, or is not the name of a version, counts as
// no version at all.
func (c Carrier) Version(h http.Header) string { return versionIn(h[c.header()], h["Baggage"]) }

func versionIn(header, baggage []string) string {
	switch len(header) {
	case 0:
		return core.CarriedVersion(baggage)
	case 1:
		if core.IsVersionName(header[0]) {
			return header[0]
		}
	}
	return ""
}

func (c Carrier) header() string {
	if c.Header == "" {
		return core.DefaultHeader
	}
	return http.CanonicalHeaderKey(c.Header)
}

// put has headers carry a version, or none for "".
func (c Carrier) put(h http.Header, version string) {
	name := c.header()
	if version == "" {
		delete(h, name)
		if h["Baggage"] == nil {
			return
		}
	} else {
		h[name] = []string{version}
	}
	if all := core.CarryVersion(h["Baggage"], version); all != "" {
		h["Baggage"] = []string{all}
	} else {
		delete(h, "Baggage")
	}
}

// carries reports whether headers say anything of versions.
func (c Carrier) carries(h http.Header) bool {
	if h[c.header()] != nil {
		return true
	}
	for _, line := range h["Baggage"] {
		if strings.Contains(line, core.BaggageKey) {
			return true
		}
	}
	return false
}

// Inject writes the version that a context carries into the headers of a message, as
// x-gray-version, and as the member "gray" of baggage. It replaces what they said of versions
// before; other members of baggage stay. With OpenTelemetry, call it after its propagator.
func Inject(ctx context.Context, message map[string]string) { Carrier{}.Inject(ctx, message) }

// Extract returns a context with the version that the headers of a message carry, for Version.
// Names of headers may be in upper case or lower case.
func Extract(ctx context.Context, message map[string]string) context.Context {
	return Carrier{}.Extract(ctx, message)
}

// Inject is the function Inject for the carrier's header.
func (c Carrier) Inject(ctx context.Context, message map[string]string) {
	name := strings.ToLower(c.header())
	var lines []string
	for key, value := range message {
		switch strings.ToLower(key) {
		case name:
			delete(message, key)
		case "baggage":
			lines = append(lines, value)
			delete(message, key)
		}
	}
	version := Version(ctx)
	if version != "" {
		message[name] = version
	}
	if all := core.CarryVersion(lines, version); all != "" {
		message["baggage"] = all
	}
}

// Extract is the function Extract for the carrier's header.
func (c Carrier) Extract(ctx context.Context, message map[string]string) context.Context {
	name := strings.ToLower(c.header())
	var header, baggage []string
	for key, value := range message {
		switch strings.ToLower(key) {
		case name:
			header = append(header, value)
		case "baggage":
			baggage = append(baggage, value)
		}
	}
	return WithVersion(ctx, versionIn(header, baggage))
}
