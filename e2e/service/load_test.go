package service

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// load is requests at a steady rate, whatever becomes of them: GETs, and POSTs that nobody may
// repeat.
type load struct {
	client *http.Client
	url    string
	over   chan struct{}
	all    sync.WaitGroup

	mu       sync.Mutex
	sent     int
	failures []string
	served   map[string]int // by who answered
}

// startLoad sends so many requests a second, until stop is called.
func startLoad(t testing.TB, client *http.Client, url string, rate int) *load {
	l := &load{client: client, url: url, over: make(chan struct{}), served: map[string]int{}}
	l.all.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				l.all.Go(func() { l.request(n) })
			case <-l.over:
				return
			}
		}
	})
	t.Cleanup(func() { l.stop() })
	return l
}

var body = bytes.Repeat([]byte("x"), 4096)

func (l *load) request(n int) {
	method, sent := http.MethodGet, io.Reader(nil)
	if n%2 == 1 {
		method, sent = http.MethodPost, io.MultiReader(bytes.NewReader(body)) // nothing that could be sent again
	}
	text, err := l.do(method, sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	if err != nil {
		l.failures = append(l.failures, fmt.Sprintf("%s %s %s", time.Now().Format("05.000"), method, err))
		return
	}
	l.served[text]++
}

func (l *load) do(method string, body io.Reader) (string, error) {
	r, err := http.NewRequest(method, l.url, body)
	if err != nil {
		return "", err
	}
	r.Header.Set("X-Gray-Version", "v2")
	r.Header.Set("X-Canary", "yes")
	response, err := l.client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%d %s", response.StatusCode, text)
	}
	return string(text), err
}

// counts returns how many requests each instance has answered so far.
func (l *load) counts() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for name, n := range l.served {
		counts[name] = n
	}
	return counts
}

// awaitServed waits until an instance answers.
func (l *load) awaitServed(t testing.TB, name string) {
	t.Helper()
	before := l.counts()[name]
	for deadline := time.Now().Add(time.Minute); l.counts()[name] == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s answers nothing", name)
		}
	}
}

// stop ends the load, and returns how many requests there were and what failed.
func (l *load) stop() (sent int, failures []string) {
	l.mu.Lock()
	select {
	case <-l.over:
	default:
		close(l.over)
	}
	l.mu.Unlock()
	l.all.Wait()
	l.client.CloseIdleConnections()
	return l.sent, l.failures
}

// first returns the first few texts.
func first(texts []string) []string { return texts[:min(len(texts), 5)] }

// plainClient is one of a gateway's clients.
func plainClient() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: time.Minute}
}
