package discover

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// srv looks SRV records up at an interval. Of several priorities only the best (lowest) is used, as
// RFC 2782 has it; weights are kept.
type srv struct {
	address  *remote.Address
	name     string
	interval time.Duration
	timeout  time.Duration
	resolver *net.Resolver
}

func newSRV(a *remote.Address) (registry, error) {
	if err := a.Only("interval", "timeout", "scheme"); err != nil {
		return nil, err
	}
	name, server := a.Path, ""
	if len(a.Hosts) > 0 {
		server = a.Hosts[0]
	}
	if name == "" {
		name = strings.TrimSuffix(server, ":53")
		server = ""
	}
	if name == "" || len(a.Hosts) > 1 {
		return nil, problem.New("", "want srv://_http._tcp.example.com, or srv://server:53/_http._tcp.example.com")
	}
	interval, err := a.Duration("interval", 5*time.Second, 100*time.Millisecond)
	if err != nil {
		return nil, err
	}
	timeout, err := a.Duration("timeout", 10*time.Second, 100*time.Millisecond)
	if err != nil {
		return nil, err
	}
	return &srv{address: a, name: name, interval: interval, timeout: timeout, resolver: resolver(a, server, timeout)}, nil
}

// resolver asks one server, or the system's when there is none.
func resolver(a *remote.Address, server string, timeout time.Duration) *net.Resolver {
	if server == "" {
		return net.DefaultResolver
	}
	dial := a.Dialer(timeout)
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dial(ctx, network, server)
	}}
}

func (s *srv) close() {}

func (s *srv) run(ctx context.Context, emit func([]Instance)) error {
	for ctx.Err() == nil {
		instances, err := s.lookup(ctx)
		if err != nil {
			return err
		}
		emit(instances)
		remote.Sleep(ctx, remote.Jitter(s.interval))
	}
	return nil
}

func (s *srv) lookup(ctx context.Context) ([]Instance, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	_, records, err := s.resolver.LookupSRV(ctx, "", "", s.name)
	var failure *net.DNSError
	if errors.As(err, &failure) && failure.IsNotFound {
		return []Instance{}, nil
	}
	if err != nil {
		return nil, s.address.Scrub(err)
	}
	l := newList(s.address)
	for _, r := range records {
		if r.Priority != records[0].Priority {
			break // they are sorted by priority
		}
		weight := float64(r.Weight)
		if weight == 0 {
			// "No selection to do", or very seldom beside others: seldom, then.
			weight = 0.1
		}
		l.add(strings.TrimSuffix(r.Target, "."), int(r.Port), weight, "")
	}
	return l.sorted()
}
