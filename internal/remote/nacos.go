package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Nacos 2 answers a long poll after at least this time, whatever the client asks for.
const nacosWait = 20 * time.Second

// Nacos speaks to the open interfaces of Nacos: those of 2.x (v1), and those of 3.x (v3) where the server has no others.
type Nacos struct {
	*Client
	V3 bool // ask the interfaces of 3.x

	context        string
	user, password string
	expires        time.Time
}

// NewNacos prepares a client for the servers of the address. Option context is the path that Nacos is served under, default nacos; option
// api is v1, v3, or auto (default): v1 until the server says that it has none.
func NewNacos(a *Address) (*Nacos, error) {
	c, err := NewClient(a)
	if err != nil {
		return nil, err
	}
	n := &Nacos{Client: c, context: "/nacos", user: a.User, password: a.Password}
	if path, ok := a.Options["context"]; ok {
		n.context = ""
		if path = strings.Trim(path, "/"); path != "" {
			n.context = "/" + path
		}
	}
	switch a.Options["api"] {
	case "", "auto", "v1":
	case "v3":
		n.V3 = true
	default:
		return nil, errors.New("address: option api: want auto, v1 or v3")
	}
	if token := a.Options["token"]; token != "" {
		c.Header["Authorization"] = []string{"Bearer " + token}
	}
	return n, nil
}

// Call sends a request to a path below the context, signed in when there is a user.
func (n *Nacos) Call(ctx context.Context, q Request) (*Response, error) {
	if err := n.authenticate(ctx); err != nil {
		return nil, err
	}
	q.Path = n.context + q.Path
	resp, err := n.Do(ctx, q)
	if err == nil && (resp.Status == 401 || resp.Status == 403) {
		n.expires = time.Time{}
	}
	return resp, err
}

// Form is a request with a form as its body.
func Form(path string, form url.Values) Request {
	return Request{
		Method: "POST", Path: path, Body: []byte(form.Encode()),
		Header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	}
}

type nacosToken struct {
	AccessToken string `json:"accessToken"`
	TokenTTL    int64  `json:"tokenTtl"`
}

// authenticate gets a token, and a new one before that ends.
func (n *Nacos) authenticate(ctx context.Context) error {
	if n.user == "" || time.Now().Before(n.expires) {
		return nil
	}
	path := "/v1/auth/login"
	if n.V3 {
		path = "/v3/auth/user/login"
	}
	q := Form(n.context+path, url.Values{"username": {n.user}, "password": {n.password}})
	delete(n.Header, "Authorization")
	resp, err := n.Do(ctx, q)
	if err != nil {
		return err
	}
	var answer nacosToken
	if resp.Status != 200 || json.Unmarshal(resp.Body, &answer) != nil || answer.AccessToken == "" {
		return fmt.Errorf("nacos: sign-in failed: %w", n.Unexpected(resp.Status, resp.Body))
	}
	n.Hide(answer.AccessToken)
	n.Header["Authorization"] = []string{"Bearer " + answer.AccessToken}
	n.expires = time.Now().Add(time.Duration(answer.TokenTTL) * time.Second * 4 / 5)
	return nil
}

// NacosConfig names a configuration, and what is known of it.
type NacosConfig struct {
	DataID, Group, Namespace string
	MD5                      string // "" when it does not exist
}

// Changed waits until one of the configurations is no longer what it is known to be, at most about 20 seconds. With wait false it
// answers at once. Interfaces of 2.x only.
func (n *Nacos) Changed(ctx context.Context, configs []NacosConfig, wait bool) (bool, error) {
	var b strings.Builder
	for _, c := range configs {
		b.WriteString(c.DataID + "\x02" + c.Group + "\x02" + c.MD5)
		if c.Namespace != "" {
			b.WriteString("\x02" + c.Namespace)
		}
		b.WriteString("\x01")
	}
	q := Form("/v1/cs/configs/listener", url.Values{"Listening-Configs": {b.String()}})
	q.Header["Long-Pulling-Timeout"] = strconv.FormatInt(nacosWait.Milliseconds(), 10)
	if wait {
		q.Wait = nacosWait
	} else {
		q.Header["Long-Pulling-Timeout-No-Hangup"] = "true"
	}
	resp, err := n.Call(ctx, q)
	if err != nil {
		return false, err
	}
	if resp.Status != 200 {
		return false, n.Unexpected(resp.Status, resp.Body)
	}
	return len(strings.TrimSpace(string(resp.Body))) > 0, nil
}

type nacosAnswer struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// Data unwraps what an interface of 3.x answered; found is false when the thing that was asked for does not exist.
func (n *Nacos) Data(resp *Response) (data []byte, found bool, err error) {
	var answer nacosAnswer
	if json.Unmarshal(resp.Body, &answer) != nil {
		return nil, false, n.Unexpected(resp.Status, resp.Body)
	}
	const resourceNotFound = 20004
	if answer.Code == resourceNotFound {
		return nil, false, nil
	}
	if resp.Status != 200 || answer.Code != 0 {
		return nil, false, n.Unexpected(resp.Status, []byte(answer.Message))
	}
	return answer.Data, true, nil
}

// Gone tells whether an answer means that the server has no such interface.
func Gone(resp *Response) bool {
	return resp.Status == 404 || resp.Status == 405 || resp.Status == 410 || resp.Status == 501
}
