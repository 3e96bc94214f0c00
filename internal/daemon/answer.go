package daemon

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
)

// Guarded refuses what pages of other origins send, and what makes browsers run answers.
func Guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if origin := r.Header.Get("Origin"); origin != "" && r.Method != http.MethodGet {
			if u, err := url.Parse(origin); err != nil || u.Host != r.Host {
				Refuse(w, http.StatusForbidden, errors.New("the request comes from a page of another origin"))
				return
			}
		}
		if written := r.Header.Get("Content-Type"); r.Method == http.MethodPost && (written != "" || r.ContentLength > 0) {
			if kind, _, _ := mime.ParseMediaType(written); kind != "application/json" {
				Refuse(w, http.StatusUnsupportedMediaType, errors.New("the body must be application/json"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Answer answers with JSON.
func Answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// Refuse answers with an error.
func Refuse(w http.ResponseWriter, status int, err error) {
	Answer(w, status, struct {
		Error string `json:"error"`
	}{err.Error()})
}
