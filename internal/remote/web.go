package remote

import "net/http"

// NewWeb prepares a client for an HTTP server: a token goes into the Authorization header as a
// bearer token, user and password by basic authentication.
func NewWeb(a *Address) (*Client, error) {
	c, err := NewClient(a)
	if err != nil {
		return nil, err
	}
	if token := a.Options["token"]; token != "" {
		c.Header["Authorization"] = []string{"Bearer " + token}
	} else if a.User != "" {
		req := http.Request{Header: c.Header}
		req.SetBasicAuth(a.User, a.Password)
	}
	return c, nil
}

// WebPath returns an escaped path with the query of the address.
func WebPath(a *Address, path string) string {
	if a.RawQuery != "" {
		path += "?" + a.RawQuery
	}
	return path
}
