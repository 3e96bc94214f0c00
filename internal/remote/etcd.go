package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
)

// ErrCompacted is returned by Etcd.Watch when the revision to start from is gone: read again, then
// watch.
var ErrCompacted = errors.New("etcd: the revision was compacted")

// A watch is opened anew after this time, from the revision that it has reached, so that a
// connection that died without a word is noticed.
const etcdWatchLife = time.Minute

// Etcd speaks to etcd's JSON gateway (3.4 or later).
type Etcd struct {
	*Client
	user, password string
	token          string
}

// NewEtcd prepares a client for the servers of the address.
func NewEtcd(a *Address) (*Etcd, error) {
	c, err := NewClient(a)
	if err != nil {
		return nil, err
	}
	return &Etcd{Client: c, user: a.User, password: a.Password, token: a.Options["token"]}, nil
}

// EtcdKV is a key with its value.
type EtcdKV struct {
	Key      string
	Value    []byte
	Revision int64 // of the last change
	Deleted  bool  // in a watch: the key is gone
}

// EtcdRange is one key, or all keys from Key up to but without End.
type EtcdRange struct {
	Key string
	End string
}

// EtcdPrefix is the range of all keys that start with prefix.
func EtcdPrefix(prefix string) EtcdRange {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return EtcdRange{Key: prefix, End: string(end[:i+1])}
		}
	}
	return EtcdRange{Key: prefix, End: "\x00"}
}

type etcdRangeRequest struct {
	Key      []byte `json:"key"`
	RangeEnd []byte `json:"range_end,omitempty"`
	Limit    int    `json:"limit,omitempty"`
	Revision string `json:"revision,omitempty"`
}

type etcdHeader struct {
	Revision string `json:"revision"`
}

type etcdKV struct {
	Key         []byte `json:"key"`
	Value       []byte `json:"value"`
	ModRevision string `json:"mod_revision"`
}

type etcdRangeResponse struct {
	Header etcdHeader `json:"header"`
	KVs    []etcdKV   `json:"kvs"`
	More   bool       `json:"more"`
}

// Range returns what a range holds at a revision, 0 being the newest, and the store's revision
// then. More keys than most, and an answer over size bytes, are errors.
func (e *Etcd) Range(ctx context.Context, r EtcdRange, revision int64, most int, size int64) ([]EtcdKV, int64, error) {
	request := etcdRangeRequest{Key: []byte(r.Key), RangeEnd: []byte(r.End), Limit: most}
	if revision > 0 {
		request.Revision = strconv.FormatInt(revision, 10)
	}
	var answer etcdRangeResponse
	if err := e.call(ctx, "/v3/kv/range", request, &answer, size); err != nil {
		return nil, 0, err
	}
	if answer.More {
		return nil, 0, fmt.Errorf("etcd: more than %d keys", most)
	}
	at, err := strconv.ParseInt(answer.Header.Revision, 10, 64)
	if err != nil {
		return nil, 0, errors.New("etcd: answer without a revision")
	}
	var kvs []EtcdKV
	for i := range answer.KVs {
		kvs = append(kvs, answer.KVs[i].plain())
	}
	return kvs, at, nil
}

func (kv *etcdKV) plain() EtcdKV {
	revision, _ := strconv.ParseInt(kv.ModRevision, 10, 64)
	return EtcdKV{Key: string(kv.Key), Value: kv.Value, Revision: revision}
}

func (e *Etcd) call(ctx context.Context, path string, request, answer any, size int64) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := e.authenticate(ctx); err != nil {
		return err
	}
	resp, err := e.Do(ctx, Request{Method: "POST", Path: path, Header: e.headers(), Body: body, Limit: size})
	if err != nil {
		return err
	}
	if resp.Status != 200 {
		e.forget()
		return e.Unexpected(resp.Status, resp.Body)
	}
	if err := json.Unmarshal(resp.Body, answer); err != nil {
		return errors.New("etcd: the answer is not what its JSON gateway sends")
	}
	return nil
}

type etcdLogin struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

type etcdToken struct {
	Token string `json:"token"`
}

// authenticate gets a token when there is a user and no token yet. Tokens expire: every error drops
// the one in hand.
func (e *Etcd) authenticate(ctx context.Context) error {
	if e.user == "" || e.token != "" {
		return nil
	}
	body, err := json.Marshal(etcdLogin{Name: e.user, Password: e.password})
	if err != nil {
		return err
	}
	resp, err := e.Do(ctx, Request{Method: "POST", Path: "/v3/auth/authenticate", Body: body})
	if err != nil {
		return err
	}
	var answer etcdToken
	if resp.Status != 200 || json.Unmarshal(resp.Body, &answer) != nil || answer.Token == "" {
		return fmt.Errorf("etcd: sign-in failed: %w", e.Unexpected(resp.Status, resp.Body))
	}
	e.token = answer.Token
	e.Hide(e.token)
	return nil
}

// forget drops a token that authenticate got.
func (e *Etcd) forget() {
	if e.user != "" {
		e.token = ""
	}
}

func (e *Etcd) headers() map[string]string {
	h := map[string]string{"Content-Type": "application/json"}
	if e.token != "" {
		h["Authorization"] = e.token
	}
	return h
}

type etcdCreate struct {
	Key           []byte `json:"key"`
	RangeEnd      []byte `json:"range_end,omitempty"`
	StartRevision string `json:"start_revision"`
	WatchID       string `json:"watch_id"`
}

type etcdWatchRequest struct {
	Create etcdCreate `json:"create_request"`
}

type etcdEvent struct {
	Type string `json:"type"`
	KV   etcdKV `json:"kv"`
}

type etcdWatchResult struct {
	Header          etcdHeader  `json:"header"`
	Created         bool        `json:"created"`
	Canceled        bool        `json:"canceled"`
	CompactRevision string      `json:"compact_revision"`
	CancelReason    string      `json:"cancel_reason"`
	Events          []etcdEvent `json:"events"`
}

type etcdWatchError struct {
	Message string `json:"message"`
}

type etcdWatchResponse struct {
	Result etcdWatchResult `json:"result"`
	Error  *etcdWatchError `json:"error"`
}

type etcdCompare struct {
	Key         []byte `json:"key"`
	Target      string `json:"target"`
	Result      string `json:"result"`
	ModRevision string `json:"mod_revision"`
}

type etcdPut struct {
	Key   []byte `json:"key"`
	Value []byte `json:"value"`
}

type etcdOperation struct {
	Put etcdPut `json:"request_put"`
}

type etcdTransaction struct {
	Compare []etcdCompare   `json:"compare"`
	Success []etcdOperation `json:"success"`
}

type etcdTransactionResponse struct {
	Header    etcdHeader `json:"header"`
	Succeeded bool       `json:"succeeded"`
}

// Put writes a key if its last change was at a revision, 0 meaning that it does not exist. It
// reports whether that was so, and the revision of what it wrote.
func (e *Etcd) Put(ctx context.Context, key string, value []byte, revision int64) (written bool, at int64, err error) {
	var answer etcdTransactionResponse
	request := etcdTransaction{
		Compare: []etcdCompare{{[]byte(key), "MOD", "EQUAL", strconv.FormatInt(revision, 10)}},
		Success: []etcdOperation{{etcdPut{[]byte(key), value}}},
	}
	if err := e.call(ctx, "/v3/kv/txn", request, &answer, 64<<10); err != nil {
		return false, 0, err
	}
	at, err = strconv.ParseInt(answer.Header.Revision, 10, 64)
	if err != nil {
		return false, 0, errors.New("etcd: answer without a revision")
	}
	return answer.Succeeded, at, nil
}

// Watch follows the ranges over one stream, from a revision on, and calls changed with each batch
// of changes and the revision that they reach; changed reports whether to go on. Watch returns nil
// when it does not, and after about a minute; it is then called again with the next revision.
func (e *Etcd) Watch(ctx context.Context, ranges []EtcdRange, from int64, size int,
	changed func(changes []EtcdKV, revision int64) (goOn bool),
) error {
	if err := e.authenticate(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Until the server says that the watch stands the client's timeout holds; the life of the watch
	// after that.
	var over bool
	life := time.AfterFunc(e.Timeout, cancel)
	defer life.Stop()

	resp, err := e.Send(ctx, Request{
		Method: "POST", Path: "/v3/watch", Header: e.headers(), Body: e.creates(ranges, from),
	})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		e.forget()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return e.Unexpected(resp.StatusCode, body)
	}
	created := 0
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 4096), size)
	for lines.Scan() {
		var m etcdWatchResponse
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return errors.New("etcd: the watch sent a line that is not valid JSON")
		}
		if err := e.watchError(&m); err != nil {
			return err
		}
		if m.Result.Created {
			if created++; created == len(ranges) {
				over = true
				life.Reset(Jitter(etcdWatchLife))
			}
		}
		if len(m.Result.Events) > 0 {
			revision, _ := strconv.ParseInt(m.Result.Header.Revision, 10, 64)
			if !changed(plainEvents(m.Result.Events), revision) {
				return nil
			}
		}
	}
	return e.watchEnd(ctx, lines.Err(), over)
}

// creates is the body of a watch: one JSON object for each range.
func (e *Etcd) creates(ranges []EtcdRange, from int64) []byte {
	var body []byte
	for i, r := range ranges {
		line, _ := json.Marshal(etcdWatchRequest{Create: etcdCreate{
			Key: []byte(r.Key), RangeEnd: []byte(r.End),
			StartRevision: strconv.FormatInt(from, 10), WatchID: strconv.Itoa(i + 1),
		}})
		body = append(body, line...)
		body = append(body, '\n')
	}
	return body
}

func (e *Etcd) watchError(m *etcdWatchResponse) error {
	if m.Error != nil {
		e.forget()
		return e.Unexpected(200, []byte(m.Error.Message))
	}
	if !m.Result.Canceled {
		return nil
	}
	if m.Result.CompactRevision != "" && m.Result.CompactRevision != "0" {
		return ErrCompacted
	}
	e.forget()
	return e.Unexpected(200, []byte("watch cancelled: "+m.Result.CancelReason))
}

// watchEnd tells why the stream ended: nil when its time was over.
func (e *Etcd) watchEnd(ctx context.Context, err error, stood bool) error {
	switch {
	case ctx.Err() != nil && stood:
		return nil
	case ctx.Err() != nil:
		return e.fail(context.DeadlineExceeded)
	case errors.Is(err, bufio.ErrTooLong):
		return errors.New("etcd: a change is larger than what is read")
	case err != nil:
		return e.fail(err)
	}
	return e.fail(errors.New("the watch was ended by the server"))
}

func plainEvents(events []etcdEvent) []EtcdKV {
	var kvs []EtcdKV
	for i := range events {
		kv := events[i].KV.plain()
		kv.Deleted = events[i].Type == "DELETE"
		kvs = append(kvs, kv)
	}
	return kvs
}
