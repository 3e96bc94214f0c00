// Package discover follows the instances of a version in a service registry.
//
//	consul://host:8500/service?tag=v2                    health checks passing, with the tag; more tags: all of them
//	consul://host:8500/service?version=v2&env=gray       ... with this service metadata
//	nacos://host:8848/service?version=v2&env=gray        healthy, enabled, weight over 0, with this metadata
//	etcd://host:2379/prefix/?version=v2                  records of etcd's naming package, with this metadata;
//	                                                     metadata called weight is the weight
//	srv://_http._tcp.v2.example.com                      DNS SRV records of the best priority
//	srv://10.0.0.2:53/_http._tcp.v2.example.com          ... asked of this server
//
// What is no option of the scheme is metadata to match; `meta.NAME=value` matches metadata that is
// called like an option. `scheme=https` has the instances spoken to over TLS. Consul and etcd are
// watched; Nacos (every second) and DNS (every 5 seconds) are asked, `interval` says how often.
package discover

import (
	"context"
	"fmt"
	"net"
	"sort"
	"strconv"
	"strings"

	"github.com/grayrelease/gray/core/allow"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// MaxInstances is how many instances a version may have.
const MaxInstances = 10000

// Instance is a place where a version runs.
type Instance struct {
	URL    string  `json:"url"`    // http://host:port
	Weight float64 `json:"weight"` // share of the requests, relative to the others; over 0

	// Version is what the instance says of itself: its metadata `version`, "" if it has none.
	Version string `json:"version,omitempty"`
}

// Event is what a watch reports.
type Event struct {
	// Err tells that the registry could not be read. The watch goes on by itself; the last list holds.
	// All else is zero.
	Err error
	// Instances is the whole list, sorted by URL; empty when nobody runs the version. It may be
	// reported again unchanged.
	Instances []Instance
}

// Discovery is an entry of a registry.
type Discovery struct {
	// Name is the URL as people may see it, without credentials.
	Name string
	// Identity is equal for two discoveries that give the same list, read with the same credentials.
	// It shows none of them.
	Identity string

	open func() (registry, error)
}

// registry follows one entry: run reports the list, then each change, until ctx or an error ends
// it.
type registry interface {
	run(ctx context.Context, emit func([]Instance)) error
	close()
}

var schemes = map[string]func(*remote.Address) (registry, error){
	"consul": newConsul,
	"etcd":   newEtcd,
	"nacos":  newNacos,
	"srv":    newSRV,
}

// Open checks a discovery URL, and the options that outrank those in it; it connects to nothing.
// ${NAME} stands for an environment variable. The error is a problem.List: the path is "" for the
// URL, "options.NAME" for an option. It shows no credentials.
//
// Allowed bounds what a document may name, see package allow; nil is for the gateway's own
// configuration.
func Open(rawURL string, options map[string]string, allowed *allow.List) (*Discovery, error) {
	address, err := remote.Resolve(rawURL, options, Schemes(), allowed)
	if err != nil {
		return nil, err
	}
	if s, ok := address.Options["scheme"]; ok && s != "http" && s != "https" {
		return nil, address.Refuse("scheme", "want http or https")
	}
	open := func() (registry, error) { return schemes[address.Scheme](address) }
	r, err := open()
	if err != nil {
		return nil, problem.Of(err)
	}
	r.close()
	return &Discovery{Name: address.Redacted(), Identity: address.Identity(), open: open}, nil
}

// Schemes returns the schemes that Open knows, sorted.
func Schemes() []string {
	var names []string
	for name := range schemes {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Watch reports the instances, then each change, until ctx ends; it returns only then. After a
// failure it reads again, after a pause as long as those of source.Watch. Emit is called by one
// goroutine, and holds the watch up for as long as it runs.
func (d *Discovery) Watch(ctx context.Context, emit func(Event)) {
	remote.Watch(ctx, func() (remote.Watcher, error) {
		r, err := d.open()
		if err != nil {
			return nil, err
		}
		return &watcher{r, func(list []Instance) { emit(Event{Instances: list}) }}, nil
	}, func(err error) {
		emit(Event{Err: err})
	})
}

// watcher has a registry report to emit.
type watcher struct {
	registry registry
	emit     func([]Instance)
}

// Run reports the list, then each change, until ctx or an error ends it.
func (w *watcher) Run(ctx context.Context) error { return w.registry.run(ctx, w.emit) }

// Close ends the connection.
func (w *watcher) Close() { w.registry.close() }

// metadata returns the metadata that an address asks for: what is no option of its scheme.
func metadata(a *remote.Address, options ...string) map[string]string {
	known := map[string]bool{"scheme": true}
	for _, name := range append(options, remote.TLSOptions...) {
		known[name] = true
	}
	wanted := map[string]string{}
	for name, value := range a.Options {
		if strings.HasPrefix(name, "meta.") {
			wanted[name[len("meta."):]] = value
		} else if !known[name] {
			wanted[name] = value
		}
	}
	return wanted
}

// versionField is the metadata that says an instance's version.
const versionField = "version"

func matches(have, wanted map[string]string) bool {
	for name, value := range wanted {
		if got, ok := have[name]; !ok || got != value {
			return false
		}
	}
	return true
}

// list gathers instances: valid ones, each once.
type list struct {
	address *remote.Address
	scheme  string
	byURL   map[string]Instance
}

func newList(a *remote.Address) *list {
	l := &list{address: a, scheme: a.Options["scheme"], byURL: map[string]Instance{}}
	if l.scheme == "" {
		l.scheme = "http"
	}
	return l
}

// add takes an instance; what is no address, has no weight, or may not get requests, is left out,
// as registries hold what their clients send.
func (l *list) add(host string, port int, weight float64, version string) {
	if port < 1 || port > 65535 || !(weight > 0) || weight > 1e9 || !plainHost(host) {
		return
	}
	if l.address.Upstream(host) != nil {
		return
	}
	url := l.scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))
	l.byURL[url] = Instance{URL: url, Weight: weight, Version: version}
}

// addText takes an instance given as host:port.
func (l *list) addText(address string, weight float64, version string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return
	}
	l.add(host, number, weight, version)
}

// sorted returns the instances, or an error when there are more than is sane.
func (l *list) sorted() ([]Instance, error) {
	if len(l.byURL) > MaxInstances {
		return nil, fmt.Errorf("more than %d instances", MaxInstances)
	}
	urls := make([]string, 0, len(l.byURL))
	for u := range l.byURL {
		urls = append(urls, u)
	}
	sort.Strings(urls)
	instances := make([]Instance, len(urls))
	for i, u := range urls {
		instances[i] = l.byURL[u]
	}
	return instances, nil
}

// plainHost accepts an IP address or a host name.
func plainHost(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	if strings.IndexByte(host, ':') >= 0 {
		return net.ParseIP(host) != nil
	}
	for i := 0; i < len(host); i++ {
		c := host[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
