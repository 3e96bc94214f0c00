// Package gateway is the smallest gateway that takes its policy from a source: the tests run it compiled, and interpreted by Yaegi. It is written in the
// part of Go that both know.
package gateway

import (
	"encoding/json"
	"io"
	"log/slog"
	"math/rand"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/live"
)

// New starts a gateway. Its answers say in headers what was decided: X-Version, X-Rule, and X-Service, which is the document's; X-Upstream when the version's
// instances are known, whose answer it then passes on. Close lets go of the source; state is the state as JSON.
func New(url, cacheDir, variant string, log io.Writer) (handle func(http.ResponseWriter, *http.Request), close func(), state func() string, err error) {
	var current atomic.Value
	user, err := live.Use(live.Config{
		URL:      url,
		CacheDir: cacheDir,
		Variant:  variant,
		Compile:  compile,
		Notify:   func(v *live.View) { current.Store(v) },
		Logger:   slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return nil, nil, nil, err
	}
	handle = func(w http.ResponseWriter, r *http.Request) { serve(current.Load().(*live.View), w, r) }
	state = func() string {
		text, err := json.Marshal(user.State())
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	return handle, user.Release, state, nil
}

func compile(document []byte) (*live.Policy, error) {
	e, err := core.Load(document)
	if err != nil {
		return nil, err
	}
	p := &live.Policy{Value: e, Service: e.Service(), Stable: e.Stable(), Discover: map[string]string{}, Close: e.Close}
	for name, v := range e.Versions() {
		p.Versions = append(p.Versions, name)
		if v.Discover != "" {
			p.Discover[name] = v.Discover
		}
	}
	return p, nil
}

// Static is the same gateway with a document that never changes.
func Static(document string) (handle func(http.ResponseWriter, *http.Request), err error) {
	p, err := compile([]byte(document))
	if err != nil {
		return nil, err
	}
	var current atomic.Value
	current.Store(&live.View{Policy: p})
	return func(w http.ResponseWriter, r *http.Request) { serve(current.Load().(*live.View), w, r) }, nil
}

func serve(v *live.View, w http.ResponseWriter, r *http.Request) {
	if v.Policy == nil {
		w.Header()["X-Version"] = []string{"none"}
		return
	}
	version, rule := v.Force, ""
	if version == "" {
		d := core.Decide(v.Policy.Value.(*core.Engine), &core.Caller{Request: r})
		version, rule = d.Version, d.Rule
	}
	h := w.Header()
	h["X-Version"], h["X-Rule"], h["X-Service"] = []string{version}, []string{rule}, []string{v.Policy.Service}
	if v.Upstreams != nil {
		forward(v, version, w)
	}
}

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// forward asks the version's instances one after the other, then those of stable.
func forward(v *live.View, version string, w http.ResponseWriter) {
	if ask(v.Upstreams[version], w) || ask(v.Upstreams[v.Policy.Stable], w) {
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
