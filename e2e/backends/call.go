package backends

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Post sends JSON and returns the JSON that comes back.
func Post(t testing.TB, url string, body any) map[string]any {
	text, err := json.Marshal(body)
	require.NoError(t, err)
	var answer map[string]any
	require.NoError(t, json.Unmarshal([]byte(Call(t, "POST", url, "application/json", string(text))), &answer))
	return answer
}

// Call sends a request that must succeed, and returns the answer.
func Call(t testing.TB, method, url, contentType, body string) string {
	req, err := http.NewRequest(method, url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode, "%s %s: %s", method, url, text)
	return strings.TrimSpace(string(text))
}
