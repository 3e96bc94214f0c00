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

// Nacos speaks to the open interfaces of Nacos: those of 2.x (v1), and those of 3.x (v3) where the
// server has no others.
type Nacos struct {
	*Client
	V3 bool // ask the interfaces of 3.x

	context        string
	user, password string
	expires        time.Time
}

// NewNacos prepares a client for the servers of the address. Option context is the path that Nacos
// is served under, default nacos; option api is v1, v3, or auto (default): v1 until the server says
// that it has none.
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
		return nil, a.Refuse("api", "want auto, v1 or v3")
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

// NacosConfig names a configuration.
type NacosConfig struct {
	DataID, Group, Namespace string
	// MD5 of what is known of it, "" if it does not exist. Only Changed reads it.
	MD5 string
}

// NacosName returns the group and the namespace that an address names. Option group is by default
// DEFAULT_GROUP; option namespace is by default the public one.
func NacosName(a *Address) NacosConfig {
	c := NacosConfig{DataID: a.Path, Group: a.Options["group"], Namespace: a.Options["namespace"]}
	if c.Group == "" {
		c.Group = "DEFAULT_GROUP"
	}
	if c.Namespace == "public" {
		c.Namespace = ""
	}
	return c
}

// Read returns what a configuration holds, and whether there is one.
func (n *Nacos) Read(ctx context.Context, c NacosConfig) (data []byte, found bool, err error) {
	if n.V3 {
		return n.readV3(ctx, c)
	}
	q := Request{Path: "/v1/cs/configs?" + c.form(false).Encode(), Limit: MaxDocument}
	resp, err := n.Call(ctx, q)
	// "requested file is being modified, please try later": it will not be for long.
	for tries := 0; tries < 10 && err == nil && resp.Status == 409 && Sleep(ctx, 20*time.Millisecond); tries++ {
		resp, err = n.Call(ctx, q)
	}
	switch {
	case err != nil:
		return nil, false, err
	case resp.Status == 200:
		return resp.Body, true, nil
	case resp.Status == 404 && strings.Contains(string(resp.Body), "not exist"):
		return nil, false, nil
	case Gone(resp):
		return n.tryV3(ctx, c, resp)
	}
	return nil, false, n.Unexpected(resp.Status, resp.Body)
}

// form names a configuration in the words of 2.x or 3.x.
func (c NacosConfig) form(v3 bool) url.Values {
	group, namespace := "group", "tenant"
	if v3 {
		group, namespace = "groupName", "namespaceId"
	}
	form := url.Values{"dataId": {c.DataID}, group: {c.Group}}
	if c.Namespace != "" {
		form.Set(namespace, c.Namespace)
	}
	return form
}

// tryV3 asks a server that has no interfaces of 2.x for those of 3.x, and keeps to them if it has.
func (n *Nacos) tryV3(ctx context.Context, c NacosConfig, refused *Response) ([]byte, bool, error) {
	n.V3 = true
	data, found, err := n.readV3(ctx, c)
	if err != nil {
		n.V3 = false
		return nil, false, n.Unexpected(refused.Status, refused.Body)
	}
	return data, found, nil
}

type nacosContent struct {
	Content string `json:"content"`
}

func (n *Nacos) readV3(ctx context.Context, c NacosConfig) (data []byte, found bool, err error) {
	resp, err := n.Call(ctx, Request{Path: "/v3/client/cs/config?" + c.form(true).Encode(), Limit: 2 * MaxDocument})
	if err != nil {
		return nil, false, err
	}
	raw, found, err := n.Data(resp)
	if err != nil || !found {
		return nil, found, err
	}
	var content nacosContent
	if json.Unmarshal(raw, &content) != nil {
		return nil, false, n.Unexpected(resp.Status, resp.Body)
	}
	return []byte(content.Content), true, nil
}

// ErrNacosConflict is returned by Nacos.Write when the configuration is not what it was taken for.
var ErrNacosConflict = errors.New("nacos: the configuration has changed meanwhile")

// Write publishes a configuration if its content has the MD5 that c names, "" meaning that there is
// no such configuration. If that is not so, the error is ErrNacosConflict.
func (n *Nacos) Write(ctx context.Context, c NacosConfig, content []byte) error {
	compare := c.MD5
	if compare == "" {
		compare = "absent" // any MD5 that no content has: Nacos compares only where there is one to compare with
	}
	form := c.form(n.V3)
	form.Set("content", string(content))
	form.Set("type", "json")
	path := "/v1/cs/configs"
	if n.V3 {
		path = "/v3/admin/cs/config"
	}
	q := Form(path, form)
	q.Header["casMd5"] = compare
	resp, err := n.Call(ctx, q)
	if err != nil {
		return err
	}
	body := string(resp.Body)
	switch {
	case resp.Status == 200 && (strings.TrimSpace(body) == "true" || n.V3 && n.isTrue(resp)):
		return nil
	case strings.Contains(body, "Cas publish fail"):
		return ErrNacosConflict
	}
	return n.Unexpected(resp.Status, resp.Body)
}

// isTrue reports whether an interface of 3.x answered "true".
func (n *Nacos) isTrue(resp *Response) bool {
	data, _, err := n.Data(resp)
	return err == nil && string(data) == "true"
}

// Changed waits until one of the configurations is no longer what it is known to be, at most about
// 20 seconds. With wait false it answers at once. Interfaces of 2.x only.
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

// Data unwraps what an interface of 3.x answered; found is false when the thing that was asked for
// does not exist.
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
