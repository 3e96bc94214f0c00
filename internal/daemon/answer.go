package daemon

import (
	"encoding/json"
	"net/http"
)

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
