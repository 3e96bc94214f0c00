package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grayrelease/gray/internal/remote"
)

// webWait is how long a server that can is asked to hold a request until the document changes.
const webWait = 55 * time.Second

// A request without news that was answered sooner than heldAtLeast was not held. After news there is a webPause: what changes all the
// time is read twenty times a second.
const (
	heldAtLeast = time.Second
	webPause    = 50 * time.Millisecond
)

// web asks an HTTP server for the document and its switch, by turns, at an interval. A server that honours "Prefer: wait" holds the
// requests itself; as two held requests cannot share a connection, the switch then has a watch of its own.
type web struct {
	address  *remote.Address
	interval time.Duration
	parts    []*webPart
}

type webPart struct {
	part    Part
	client  *remote.Client
	path    string
	etag    string
	sum     string // of the content
	known   bool
	missing bool
	holds   bool // the server holds requests
}

func newWeb(a *remote.Address) (watcher, error) {
	if err := a.Only(append([]string{"interval"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	interval, err := a.Duration("interval", 5*time.Second, 50*time.Millisecond)
	if err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, errors.New("address: the path is missing: want https://host/path")
	}
	client, err := newWebClient(a)
	if err != nil {
		return nil, err
	}
	query := ""
	if a.RawQuery != "" {
		query = "?" + a.RawQuery
	}
	return &web{address: a, interval: interval, parts: []*webPart{
		{part: Policy, client: client, path: a.RawPath + query},
		{part: Switch, client: client, path: a.RawPath + ".switch" + query},
	}}, nil
}

func newWebClient(a *remote.Address) (*remote.Client, error) {
	client, err := remote.NewClient(a)
	if err != nil {
		return nil, err
	}
	if token := a.Options["token"]; token != "" {
		client.Header["Authorization"] = []string{"Bearer " + token}
	} else if a.User != "" {
		req := http.Request{Header: client.Header}
		req.SetBasicAuth(a.User, a.Password)
	}
	return client, nil
}

func (w *web) close() {
	for _, p := range w.parts {
		p.client.Close()
	}
}

func (w *web) run(ctx context.Context, emit func(Event)) error {
	for ctx.Err() == nil {
		for _, p := range []*webPart{w.parts[Switch], w.parts[Policy]} {
			if err := p.ask(ctx, false, emit); err != nil {
				p.client.Next()
				return err
			}
		}
		if w.parts[Policy].holds {
			return w.hold(ctx, emit)
		}
		remote.Sleep(ctx, remote.Jitter(w.interval))
	}
	return nil
}

// hold watches both documents by held requests, the switch over a connection of its own, until one of the two fails.
func (w *web) hold(ctx context.Context, emit func(Event)) error {
	policy, toggle := w.parts[Policy], w.parts[Switch]
	client, err := newWebClient(w.address)
	if err != nil {
		return err
	}
	shared := toggle.client
	toggle.client = client
	defer func() {
		client.Close()
		toggle.client = shared
	}()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var turn sync.Mutex
	inTurn := func(e Event) {
		turn.Lock()
		defer turn.Unlock()
		emit(e)
	}
	var once sync.Once
	var failure error
	follow := func(p *webPart) {
		err := remote.Protect(ctx, func(ctx context.Context) error { return p.follow(ctx, w.interval, inTurn) })
		once.Do(func() { failure = err })
		cancel()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow(toggle)
	}()
	follow(policy)
	<-done
	return failure
}

// follow asks for one document again and again: at once where the server holds requests, else at the interval. A server that says
// that it holds them and answers at once all the same, perhaps from a cache before it, is not to be asked without pause.
func (p *webPart) follow(ctx context.Context, interval time.Duration, emit func(Event)) error {
	pause := time.Duration(0)
	for ctx.Err() == nil {
		if !p.holds {
			pause = remote.Jitter(interval)
		}
		if !remote.Sleep(ctx, pause) {
			return nil
		}
		began, news := time.Now(), false
		err := p.ask(ctx, true, func(e Event) {
			news = !e.Contact
			emit(e)
		})
		if err != nil {
			return err
		}
		switch held := time.Since(began); {
		case news:
			pause = webPause
		case held < heldAtLeast:
			pause = remote.Jitter(interval)
		default:
			pause = 0
		}
	}
	return nil
}

// ask asks for one document, and reports it when it is not what was reported last.
func (p *webPart) ask(ctx context.Context, hold bool, emit func(Event)) error {
	q := remote.Request{Path: p.path, Limit: remote.MaxDocument, Header: p.conditions()}
	// The first request has nothing to compare with, so it is not held: it shows whether the server would.
	offer := hold || !p.known
	if offer {
		q.Header["Prefer"] = "wait=" + strconv.Itoa(int(webWait/time.Second))
	}
	if hold {
		q.Wait = webWait
	}
	resp, err := p.client.Do(ctx, q)
	if err != nil {
		return err
	}
	if offer {
		p.holds = strings.Contains(resp.Header.Get("Preference-Applied"), "wait")
	}
	switch resp.Status {
	case 200:
		p.found(resp, emit)
	case 304:
		emit(Event{Contact: true})
	case 404, 410:
		p.gone(emit)
	default:
		return p.client.Unexpected(resp.Status, resp.Body)
	}
	return nil
}

func (p *webPart) gone(emit func(Event)) {
	if p.known && p.missing {
		emit(Event{Contact: true})
		return
	}
	p.known, p.missing, p.etag, p.sum = true, true, "", ""
	emit(Event{Part: p.part, Missing: true})
}

// conditions let the server answer that nothing changed.
func (p *webPart) conditions() map[string]string {
	h := map[string]string{"Accept": "application/json, */*;q=0.1", "Accept-Encoding": "identity"}
	if !p.known || p.missing {
		return h
	}
	// Last-Modified counts in seconds, too coarse to tell two changes apart: without an ETag the document is read in full.
	if p.etag != "" {
		h["If-None-Match"] = p.etag
	}
	return h
}

func (p *webPart) found(resp *remote.Response, emit func(Event)) {
	digest := sha256.Sum256(resp.Body)
	sum := hex.EncodeToString(digest[:])
	p.etag = resp.Header.Get("ETag")
	if p.known && !p.missing && p.sum == sum {
		emit(Event{Contact: true})
		return
	}
	p.known, p.missing, p.sum = true, false, sum
	revision := p.etag
	if revision == "" || len(revision) > 128 {
		revision = sum[:12]
	}
	emit(Event{Part: p.part, Data: resp.Body, Revision: revision})
}
