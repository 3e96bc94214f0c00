package remote

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// consulWait is how long Consul holds a blocking query; it adds up to a sixteenth of it as jitter. A connection that died without a word is
// noticed after that time.
const consulWait = time.Minute

// Consul speaks to Consul's HTTP interface.
type Consul struct{ *Client }

// NewConsul prepares a client for the servers of the address.
func NewConsul(a *Address) (*Consul, error) {
	c, err := NewClient(a)
	if err != nil {
		return nil, err
	}
	if token := a.Options["token"]; token != "" {
		c.Header["X-Consul-Token"] = []string{token}
	}
	if a.User != "" {
		// For a proxy in front of Consul.
		req := http.Request{Header: c.Header}
		req.SetBasicAuth(a.User, a.Password)
	}
	return &Consul{Client: c}, nil
}

// Get asks for a path. With an index over 0 it waits until the answer differs from the one that had that index, or a minute.
func (c *Consul) Get(ctx context.Context, path string, index int64, limit int64) (*Response, int64, error) {
	q := Request{Path: path, Limit: limit}
	if index > 0 {
		q.Path += "&index=" + strconv.FormatInt(index, 10) + "&wait=" + strconv.Itoa(int(consulWait/time.Second)) + "s"
		q.Wait = consulWait + consulWait/8
	}
	resp, err := c.Do(ctx, q)
	if err != nil {
		return nil, 0, err
	}
	return resp, nextIndex(index, resp.Header.Get("X-Consul-Index")), nil
}

// nextIndex is the index to ask with next. Consul's own rules: an index that goes back starts again from 0, and none is
// below 1, as 0 would make a blocking query return at once, for ever.
func nextIndex(old int64, header string) int64 {
	index, err := strconv.ParseInt(header, 10, 64)
	if err != nil || index < 1 {
		return 1
	}
	if index < old {
		return 0
	}
	return index
}

// Scope is the part of a query that says which datacenter, namespace and partition is meant.
func (c *Consul) Scope(a *Address) string {
	q := url.Values{}
	for option, name := range map[string]string{"dc": "dc", "namespace": "ns", "partition": "partition"} {
		if value := a.Options[option]; value != "" {
			q.Set(name, value)
		}
	}
	return q.Encode()
}
