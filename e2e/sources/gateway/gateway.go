// Package gateway is the smallest gateway that takes its policy from a source. The tests run it
// compiled, and interpreted by Yaegi, so it uses only what both support.
package gateway

import (
	"encoding/json"
	"io"
	"log/slog"
	"math/rand"
	"net/http"
	"strconv"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/live"
)

// New starts a gateway. Its answers say in headers what was decided: X-Version, X-Rule, and
// X-Service, which is the document's; X-Upstream when the version's instances are known, whose
// answer it then passes on. Close lets go of the source; state is the state as JSON.
func New(url, cacheDir string, log io.Writer) (handle func(http.ResponseWriter, *http.Request), close func(),
	state func() string, err error) {
	h, err := live.Open(live.Options{
		Source: &live.Source{URL: url}, Cache: cacheDir, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return nil, nil, nil, err
	}
	handle = func(w http.ResponseWriter, r *http.Request) { serve(h.Current(), w, r) }
	state = func() string {
		text, err := json.Marshal(h.State())
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	return handle, func() { h.Close() }, state, nil
}

// Static is the same gateway with a document that never changes.
func Static(document string) (handle func(http.ResponseWriter, *http.Request), err error) {
	e, err := core.Load([]byte(document))
	if err != nil {
		return nil, err
	}
	now := &live.Current{Engine: e}
	return func(w http.ResponseWriter, r *http.Request) { serve(now, w, r) }, nil
}

func serve(c *live.Current, w http.ResponseWriter, r *http.Request) {
	if c.Engine == nil {
		w.Header()["X-Version"] = []string{"none"}
		return
	}
	d := core.Decide(c.Engine, &core.Caller{Request: r})
	h := w.Header()
	h["X-Version"], h["X-Rule"], h["X-Service"] = []string{d.Version}, []string{d.Rule}, []string{c.Engine.Service()}
	if c.Upstreams != nil {
		forward(c, d.Version, w)
	}
}

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// forward asks the version's instances one after the other, then those of stable.
func forward(c *live.Current, version string, w http.ResponseWriter) {
	if ask(c.Upstreams[version], w) || ask(c.Upstreams[c.Engine.Stable()], w) {
		return
	}
	w.WriteHeader(http.StatusBadGateway)
}

func ask(instances []discover.Instance, w http.ResponseWriter) bool {
	if len(instances) == 0 {
		return false
	}
	start := rand.Intn(len(instances))
	for i := range instances {
		instance := instances[(start+i)%len(instances)]
		resp, err := client.Get(instance.URL)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			continue
		}
		w.Header().Set("X-Upstream", instance.URL)
		w.Header().Set("X-Weight", strconv.FormatFloat(instance.Weight, 'g', -1, 64))
		_, _ = w.Write(body)
		return true
	}
	return false
}
