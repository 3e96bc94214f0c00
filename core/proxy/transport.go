package proxy

import (
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"
)

const (
	dialTimeout      = 3 * time.Second // after that, the upstream is left out and another is tried
	handshakeTimeout = 5 * time.Second
	idleTimeout      = 90 * time.Second
	idlePerHost      = 200
	closeAfter       = 5 * time.Second
)

// transports are shared by all pools of the process, so that connections outlive a reload of the
// gateway's configuration. A gateway may close all old pools before it makes new ones, so kept
// connections are closed only after there has been no pool for closeAfter.
var transports struct {
	mu    sync.Mutex
	users int
	http  *http.Transport
	h2c   *http.Transport
	close *time.Timer
}

// acquireTransports counts one more user of the shared transports. The second is nil if net/http
// does not support h2c.
func acquireTransports() (plain, h2c *http.Transport) {
	transports.mu.Lock()
	defer transports.mu.Unlock()
	if transports.http == nil {
		transports.http = newTransport()
		transports.h2c = newTransport()
		if !onlyUnencryptedHTTP2(transports.h2c) {
			transports.h2c = nil
		}
	}
	if transports.close != nil {
		transports.close.Stop()
		transports.close = nil
	}
	transports.users++
	return transports.http, transports.h2c
}

func releaseTransports() {
	transports.mu.Lock()
	defer transports.mu.Unlock()
	transports.users--
	if transports.users == 0 {
		transports.close = time.AfterFunc(closeAfter, closeUnusedConnections)
	}
}

// closeUnusedConnections closes idle connections if there is no pool. Those of requests in flight
// are closed when they have been idle for idleTimeout.
func closeUnusedConnections() {
	transports.mu.Lock()
	defer transports.mu.Unlock()
	if transports.users > 0 {
		return
	}
	transports.http.CloseIdleConnections()
	if transports.h2c != nil {
		transports.h2c.CloseIdleConnections()
	}
}

func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		ForceAttemptHTTP2:     true, // over TLS, where the upstream offers it
		DisableCompression:    true, // bodies pass as they are
		MaxIdleConnsPerHost:   idlePerHost,
		IdleConnTimeout:       idleTimeout,
		TLSHandshakeTimeout:   handshakeTimeout,
		ExpectContinueTimeout: time.Second,
	}
	// The transport dials in its own goroutines, where a panic would end the process. Set by
	// reflection, the method that they call is the compiled one even if this package is
	// interpreted.
	reflect.ValueOf(t).Elem().FieldByName("DialContext").Set(reflect.ValueOf(dialer).MethodByName("DialContext"))
	return t
}

// onlyUnencryptedHTTP2 sets the transport to HTTP/2 without TLS and reports whether net/http
// supports it (since Go 1.24). The interpreter's copy of the library is older than the gateway's,
// so the field is looked up by name.
func onlyUnencryptedHTTP2(t *http.Transport) bool {
	field := reflect.ValueOf(t).Elem().FieldByName("Protocols")
	if !field.IsValid() {
		return false
	}
	protocols := reflect.New(field.Type().Elem())
	protocols.MethodByName("SetUnencryptedHTTP2").Call([]reflect.Value{reflect.ValueOf(true)})
	field.Set(protocols)
	return true
}
