package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// adminTimeout bounds how long an admin endpoint may take.
const adminTimeout = 5 * time.Second

// adminURL is where a Caddy's admin endpoint says something of a service.
func adminURL(gateway, service string, more ...string) string {
	return strings.Join(append([]string{strings.TrimSuffix(gateway, "/"), "gray", url.PathEscape(service)}, more...), "/")
}

// readJSON reads the answer of an admin endpoint, of at most so many bytes. It reports false if
// there is no content.
func readJSON(ctx context.Context, client *http.Client, address string, most int64, into any) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, err
	}
	res, err := client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusNoContent:
		return false, nil
	case http.StatusOK:
	default:
		return false, fmt.Errorf("%s answered %s", address, res.Status)
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("%s does not answer as a gateway does: %w", address, err)
	}
	return true, nil
}
