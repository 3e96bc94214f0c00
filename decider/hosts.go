package decider

import (
	"strings"

	"github.com/grayrelease/gray/core"
)

// services finds a request's service.
type services struct {
	named map[string]*service
	hosts map[string]*service // by name, or *.name
	rest  *service            // of all other hosts; nil: they have none
}

func newServices(list []*service) *services {
	s := &services{named: map[string]*service{}, hosts: map[string]*service{}}
	for _, v := range list {
		s.named[v.config.Name] = v
		for _, host := range v.config.Hosts {
			s.hosts[normalHost(host)] = v
		}
		if len(v.config.Hosts) == 0 {
			s.rest = v
		}
	}
	return s
}

// find returns the service that the gateway names, or that of the host; nil if there is none.
func (s *services) find(name, host string) *service {
	if name != "" {
		return s.named[name]
	}
	if len(s.hosts) == 0 {
		return s.rest
	}
	host = core.Hostname(host)
	if v := s.hosts[host]; v != nil {
		return v
	}
	for {
		_, above, found := strings.Cut(host, ".")
		if !found {
			return s.rest
		}
		if v := s.hosts["*."+above]; v != nil {
			return v
		}
		host = above
	}
}

// normalHost is a configured host in the form that requests' hosts are compared in.
func normalHost(host string) string { return core.Hostname(strings.TrimSpace(host)) }
