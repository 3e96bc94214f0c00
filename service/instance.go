package service

import (
	"context"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/remote"
)

// Instance is what a registry is told of a place where a service runs.
type Instance struct {
	// Address is where the instance is reached, as host:port. Without a host, as in :8080, it is the
	// address by which this machine reaches the registry; in Consul it is that of the agent's node.
	// Required, except in a Runner, which knows where its server listens.
	Address string
	// Version of the service that runs here: 1 to 63 characters of A-Z a-z 0-9 . _ -. It becomes the
	// metadata "version", which discovery URLs match by ?version=v2, and in Consul a tag as well.
	// Required.
	Version string
	// Metadata are further names with values, which discovery URLs match too: ?env=gray. Default:
	// none.
	Metadata map[string]string
	// Weight is the share of requests that the instance gets, relative to others: over 0, at most
	// 10,000. In Consul it is a whole number. Default: 1.
	Weight float64
}

const maxWeight = 10000

// versionField is the metadata that has the version, and weightField that which has the weight
// where the registry has no field for it.
const (
	versionField = "version"
	weightField  = "weight"
)

// check returns what is wrong with an instance, with the names of fields as paths.
func (i Instance) check() problem.List {
	var problems problem.List
	_, port, err := net.SplitHostPort(i.Address)
	if number, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil || number == 0 {
		problems = append(problems, problem.New("Address", "%s is not host:port or :port", strconv.Quote(i.Address))...)
	}
	if !core.IsVersionName(i.Version) {
		problems = append(problems, problem.New("Version",
			"%s is not the name of a version: 1 to 63 characters of A-Z a-z 0-9 . _ -", strconv.Quote(i.Version))...)
	}
	if i.Weight < 0 || i.Weight > maxWeight || math.IsNaN(i.Weight) {
		problems = append(problems, problem.New("Weight", "%v is not from 0 to %d", i.Weight, maxWeight)...)
	}
	for name, value := range i.Metadata {
		if name == versionField && value != i.Version {
			problems = append(problems, problem.New("Metadata", "version is %s, but Version %s: leave it out",
				strconv.Quote(value), strconv.Quote(i.Version))...)
		}
		if name == "" || strings.ContainsAny(name, "\x00\r\n") {
			problems = append(problems, problem.New("Metadata", "%s is not a name", strconv.Quote(name))...)
		}
	}
	return problems
}

// complete returns the instance with all that registries are told.
func (i Instance) complete() Instance {
	if i.Weight == 0 {
		i.Weight = 1
	}
	all := map[string]string{versionField: i.Version}
	for name, value := range i.Metadata {
		all[name] = value
	}
	i.Metadata = all
	return i
}

// isWhole reports whether a weight is a whole number.
func isWhole(weight float64) bool { return weight == math.Trunc(weight) }

// split returns the instance's host, "" if it has none, and its port.
func (i Instance) split() (host string, port int) {
	host, text, _ := net.SplitHostPort(i.Address)
	port, _ = strconv.Atoi(text)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = ""
	}
	return host, port
}

// located returns the instance with a host: its own, or the one by which this machine reaches the
// registry. Nothing is sent to find that out.
func (i Instance) located(a *remote.Address) (Instance, error) {
	host, port := i.split()
	if host != "" {
		return i, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := a.Dialer(5*time.Second)(ctx, "udp", a.Hosts[0])
	if err != nil {
		return i, problem.New("Address", "has no host, and which one reaches the registry cannot be told: %s", a.Scrub(err))
	}
	defer conn.Close()
	host, _, err = net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		return i, problem.New("Address", "has no host: %s", err)
	}
	i.Address = net.JoinHostPort(host, strconv.Itoa(port))
	return i, nil
}
