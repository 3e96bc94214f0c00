package allow

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
)

// proxyOf returns the proxy of a request, nil if it needs none; tests replace it.
var proxyOf = http.ProxyFromEnvironment

// Guard has a transport ask only who may be asked, whatever leads there: the URL of a request, a
// redirect, the address of a name. D makes its connections. A proxy that the environment names is
// always used, and looks names up by itself: then names are checked, and must be listed themselves
// if anything is, but not their addresses.
func (l *List) Guard(t *http.Transport, d *net.Dialer) {
	used := &proxies{known: map[string]bool{}}
	dial := l.Dialer(d)
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		if err := l.Host(r.URL.Host); err != nil {
			return nil, err
		}
		proxy, err := proxyOf(r)
		if proxy == nil || err != nil {
			return nil, err
		}
		if err := l.unseen(r.URL.Host); err != nil {
			return nil, err
		}
		used.add(proxy)
		return proxy, nil
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if used.has(address) {
			return d.DialContext(ctx, network, address)
		}
		return dial(ctx, network, address)
	}
}

// unseen returns why a host may not be asked whose address is not seen here, nil if it may.
func (l *List) unseen(host string) error {
	host = withoutPort(host)
	if l == nil || len(l.Hosts) == 0 || l.names(host) {
		return nil
	}
	if _, isAddr, _ := addressOf(host); isAddr {
		return nil
	}
	return notListed(host)
}

// proxies are those that a transport was told to use, by host:port. Whether what is behind them may
// be asked was checked then.
type proxies struct {
	mu    sync.Mutex
	known map[string]bool
}

var proxyPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

func (p *proxies) add(proxy *url.URL) {
	port := proxy.Port()
	if port == "" {
		port = proxyPorts[proxy.Scheme]
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[net.JoinHostPort(proxy.Hostname(), port)] = true
}

func (p *proxies) has(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.known[address]
}

// Dialer returns a function that connects as d does, but only to who may be asked. The address that
// was checked is the one that is dialled, so that a name cannot have another one by then.
func (l *List) Dialer(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if l == nil {
			return d.DialContext(ctx, network, address)
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if err := l.Host(host); err != nil {
			return nil, err
		}
		if l.names(host) {
			return d.DialContext(ctx, network, address)
		}
		if d.Timeout > 0 {
			bounded, cancel := context.WithTimeout(ctx, d.Timeout)
			defer cancel()
			ctx = bounded
		}
		return l.dial(ctx, d, network, host, port)
	}
}

func (l *List) dial(ctx context.Context, d *net.Dialer, network, host, port string) (net.Conn, error) {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	failure := fmt.Errorf("%s has no address", host)
	for _, addr := range addrs {
		addr = addr.Unmap()
		if err := l.address(host, addr); err != nil {
			failure = err
			continue
		}
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		failure = err
	}
	return nil, failure
}

// address returns why an address of a host that is not listed by name may not be dialled.
func (l *List) address(host string, addr netip.Addr) error {
	if len(l.Hosts) > 0 {
		if l.contains(addr) {
			return nil
		}
		return notListed(host)
	}
	if isMetadata(addr) {
		return isRefused(host)
	}
	return nil
}
