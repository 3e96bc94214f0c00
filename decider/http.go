package decider

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/grayrelease/gray/decider/exchange"
)

// pathDecide is the path of questions by HTTP; /decide/SERVICE names a service.
const pathDecide = "/decide"

// Headers by which gateways tell of a request.
const (
	forwardedMethod = "X-Forwarded-Method"
	forwardedProto  = "X-Forwarded-Proto"
	forwardedHost   = "X-Forwarded-Host"
	forwardedURI    = "X-Forwarded-Uri"

	// envoyRemove has Envoy remove what it lists from the request.
	envoyRemove = "X-Envoy-Auth-Headers-To-Remove"
	// ruleName tells the rule that decided, for logs.
	ruleName = "X-Gray-Rule"
	// mistake says in an answer what is wrong with the question, for who sets a gateway up.
	mistake = "X-Gray-Mistake"
	// secondCookie repeats the second Set-Cookie of an answer, for gateways that read one only.
	secondCookie = "X-Gray-Second-Cookie"
)

// serveQuestion answers questions by HTTP, and whether they are to be asked here.
func (s *Server) serveQuestion(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case path == pathDecide || strings.HasPrefix(path, pathDecide+"/"):
		s.serveForwarded(w, r, strings.TrimPrefix(strings.TrimPrefix(path, pathDecide), "/"))
	case path == "/healthz":
		w.WriteHeader(http.StatusOK)
	case path == "/readyz":
		s.serveReady(w, r)
	default:
		http.Error(w, "questions are GET /decide, or GET /decide/SERVICE", http.StatusNotFound)
	}
}

// serveForwarded answers a question with the request in X-Forwarded headers. Each must be there
// once: a gateway that does not set one would pass on the client's.
func (s *Server) serveForwarded(w http.ResponseWriter, r *http.Request, name string) {
	began := time.Now()
	var values [4]string
	var wrong []string
	for i, header := range [...]string{forwardedMethod, forwardedURI, forwardedHost, forwardedProto} {
		lines := r.Header[header]
		if len(lines) != 1 {
			wrong = append(wrong, fmt.Sprintf("%s is there %d times", header, len(lines)))
			continue
		}
		values[i] = lines[0]
	}
	peer := lastAddress(r.Header[forwardedFor])
	if peer == "" {
		wrong = append(wrong, forwardedFor+" is missing")
	}
	if wrong != nil {
		s.serveMistake(w, r, errors.New("the gateway must set each header once: "+strings.Join(wrong, ", ")), began)
		return
	}
	h := r.Header
	delete(h, forwardedMethod)
	delete(h, forwardedURI)
	delete(h, forwardedHost)
	q := &question{exchange.NewRequest(values[0], values[1], values[2], peer, h), name, isTLS(values[3])}
	a, result := s.decide(q)
	s.write(w, a)
	s.metrics.answered(protocolHTTP, result, time.Since(began))
}

// serveMistake answers a question that cannot be understood: nothing is decided, and what the
// client claims is removed.
func (s *Server) serveMistake(w http.ResponseWriter, r *http.Request, err error, began time.Time) {
	s.mistaken(err)
	w.Header().Set(mistake, err.Error())
	s.write(w, s.answerOfNone(r))
	s.metrics.answered(protocolHTTP, resultMistake, time.Since(began))
}

// write answers with what is to be set in the request and in the response, by the headers' own
// names.
func (s *Server) write(w http.ResponseWriter, a answer) {
	h := w.Header()
	for name, values := range a.Client {
		h[name] = values
	}
	if cookies := a.Client["Set-Cookie"]; len(cookies) > 1 {
		h[secondCookie] = cookies[1:2]
	}
	if a.rule != "" {
		h[ruleName] = []string{a.rule}
	}
	for _, header := range a.Set {
		h[header[0]] = []string{header[1]}
	}
	if len(a.Remove) > 0 {
		h[envoyRemove] = []string{strings.ToLower(strings.Join(a.Remove, ","))}
	}
	if s.isEnding.Load() {
		h["Connection"] = []string{"close"} // HTTP/2 says so by itself
	}
	w.WriteHeader(http.StatusOK)
}

// lastAddress is the rightmost entry of X-Forwarded-For, which the gateway has added.
func lastAddress(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	last := lines[len(lines)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}

// isTLS reports whether a scheme is one over TLS.
func isTLS(scheme string) bool {
	return strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "wss")
}
