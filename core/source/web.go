package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// webWait is how long a server that can is asked to hold a request until the document changes.
const webWait = 55 * time.Second

// A request without news that was answered sooner than heldAtLeast was not held. After news there
// is a webPause: what changes all the time is read twenty times a second.
const (
	heldAtLeast = time.Second
	webPause    = 50 * time.Millisecond
)

// web asks an HTTP server for the documents, by turns, at an interval. A server that honours
// "Prefer: wait" holds the requests itself. As held requests cannot share a connection, each
// document then has one of its own.
type web struct {
	address  *remote.Address
	client   *remote.Client
	interval time.Duration
	pages    map[Key]*page
}

func newWeb(a *remote.Address) (backend, error) {
	if err := a.Only(append([]string{"interval"}, remote.TLSOptions...)...); err != nil {
		return nil, err
	}
	interval, err := a.Duration("interval", 5*time.Second, 50*time.Millisecond)
	if err != nil {
		return nil, err
	}
	if a.Path == "" {
		return nil, problem.New("", "the path is missing: want https://host/path")
	}
	client, err := remote.NewWeb(a)
	if err != nil {
		return nil, err
	}
	w := &web{address: a, client: client, interval: interval, pages: map[Key]*page{}}
	for _, key := range keys {
		w.pages[key] = &page{path: remote.WebPath(a, key.Beside(a.Scheme, a.RawPath))}
	}
	return w, nil
}

func (w *web) close() {
	w.client.Close()
	for _, p := range w.pages {
		p.close()
	}
}

func (w *web) failed() bool {
	for _, p := range w.pages {
		p.isFresh = false
	}
	w.client.Next()
	return false
}

func (w *web) read(ctx context.Context, key Key) (Document, error) {
	p := w.pages[key]
	if p.isFresh {
		p.isFresh = false
		return p.document, nil
	}
	err := p.ask(ctx, w.client, false)
	return p.document, err
}

func (w *web) wait(ctx context.Context, changed bool, _ func()) error {
	if !w.pages[Policy].holds {
		remote.Sleep(ctx, remote.Jitter(w.interval))
		return nil
	}
	if changed && !remote.Sleep(ctx, webPause) {
		return nil
	}
	began := time.Now()
	hasNews, err := w.hold(ctx)
	// A server that says that it holds requests and answers at once all the same, perhaps from a cache
	// before it, is not to be asked without pause.
	if err == nil && !hasNews && time.Since(began) < heldAtLeast {
		remote.Sleep(ctx, remote.Jitter(w.interval))
	}
	return err
}

// hold has a request for each document held, until one is answered.
func (w *web) hold(ctx context.Context) (hasNews bool, failure error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var held sync.WaitGroup
	isFirst := true
	follow := func(p *page) {
		defer held.Done()
		news := false
		err := remote.Protect(ctx, func(ctx context.Context) error {
			changed, err := p.follow(ctx, w.address, w.interval)
			news = changed
			return err
		})
		mu.Lock()
		defer mu.Unlock()
		hasNews = hasNews || news
		if isFirst { // what comes after is that the others are cancelled
			isFirst = false
			failure = err
		}
		cancel()
	}
	for _, p := range w.pages {
		held.Add(1)
		go follow(p)
	}
	held.Wait()
	for _, p := range w.pages {
		p.isFresh = true
	}
	return hasNews, failure
}

// page is one document, as it was read last.
type page struct {
	path     string
	client   *remote.Client // for requests that the server holds, nil until there is one
	holds    bool           // the server holds requests
	isKnown  bool
	isFresh  bool // it was asked for already
	etag     string
	sum      string // of the content
	document Document
}

func (p *page) close() {
	if p.client != nil {
		p.client.Close()
	}
}

// follow asks until there is news, or until the server has held a request to its end. Where the
// server holds none it is asked at the interval.
func (p *page) follow(ctx context.Context, a *remote.Address, interval time.Duration) (news bool, err error) {
	if p.client == nil {
		client, err := remote.NewWeb(a)
		if err != nil {
			return false, err
		}
		p.client = client
	}
	before := p.document
	for ctx.Err() == nil {
		holds := p.holds
		if !holds && !remote.Sleep(ctx, remote.Jitter(interval)) {
			return false, nil
		}
		if err := p.ask(ctx, p.client, true); err != nil {
			if ctx.Err() == nil {
				p.client.Next()
			}
			return false, err
		}
		if news := !same(before, p.document); news || holds {
			return news, nil
		}
	}
	return false, nil
}

// ask reads the document. With hold the server may keep the request until it has changed.
func (p *page) ask(ctx context.Context, client *remote.Client, hold bool) error {
	q := remote.Request{Path: p.path, Limit: remote.MaxDocument, Header: p.conditions()}
	// The first request has nothing to compare with, so it is not held: it shows whether the server
	// would.
	offer := hold || !p.isKnown
	if offer {
		q.Header["Prefer"] = "wait=" + strconv.Itoa(int(webWait/time.Second))
	}
	if hold {
		q.Wait = webWait
	}
	resp, err := client.Do(ctx, q)
	if err != nil {
		return err
	}
	if offer {
		p.holds = strings.Contains(resp.Header.Get("Preference-Applied"), "wait")
	}
	switch resp.Status {
	case 200:
		p.found(resp)
	case 304:
	case 404, 410:
		p.isKnown = true
		p.etag = ""
		p.sum = ""
		p.document = Document{Missing: true}
	default:
		return client.Unexpected(resp.Status, resp.Body)
	}
	return nil
}

// conditions let the server answer that nothing changed.
func (p *page) conditions() map[string]string {
	h := map[string]string{"Accept": "application/json, */*;q=0.1", "Accept-Encoding": "identity"}
	// Last-Modified counts in seconds, too coarse to tell two changes apart: without an ETag the
	// document is read in full.
	if p.etag != "" {
		h["If-None-Match"] = p.etag
	}
	return h
}

// found notes a document. Of one that says the same under another ETag the revision stays.
func (p *page) found(resp *remote.Response) {
	digest := sha256.Sum256(resp.Body)
	sum := hex.EncodeToString(digest[:])
	p.etag = resp.Header.Get("ETag")
	if p.isKnown && p.sum == sum {
		return
	}
	p.isKnown = true
	p.sum = sum
	p.document = Document{Data: resp.Body, Revision: p.etag}
	if p.etag == "" || len(p.etag) > 128 {
		p.document.Revision = sum[:12]
	}
}
