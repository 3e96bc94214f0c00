package live

import (
	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/problem"
)

// Addresses returns the upstreams of a version: those that a registry lists, if the policy gives a
// discovery URL, or else those of Listed. One that weighs more is in it several times (see
// discover.Upstreams). There are none without a policy.
func (c *Current) Addresses(version string) []string {
	if c.Engine == nil {
		return nil
	}
	if c.Engine.Versions()[version].Discover != "" {
		return discover.Upstreams(c.Upstreams[version])
	}
	return discover.Upstreams(instancesIn(c.Listed(version)))
}

// Listed returns the upstreams of a version as they are written: those that the policy lists or,
// where it says nothing of where the version runs, those of the policy beside the source. So
// gateways can share a document and have their own addresses.
func (c *Current) Listed(version string) []string {
	if c.Engine == nil {
		return nil
	}
	v := c.Engine.Versions()[version]
	if len(v.Upstreams) > 0 || v.Discover != "" {
		return v.Upstreams
	}
	return c.base[version].Upstreams
}

// IsLocated reports whether it is known where a version runs: it has a discovery URL, whose
// registry may list no instance at the moment, or upstreams.
func (c *Current) IsLocated(version string) bool {
	return len(c.Listed(version)) > 0 || c.Engine != nil && c.Engine.Versions()[version].Discover != ""
}

// instancesIn are the instances that a policy lists.
func instancesIn(upstreams []string) []discover.Instance {
	instances := make([]discover.Instance, 0, len(upstreams))
	for _, text := range upstreams {
		address, weight, err := core.SplitWeight(text)
		if err == nil {
			instances = append(instances, discover.Instance{URL: address, Weight: float64(weight)})
		}
	}
	return instances
}

// CheckBase returns what is wrong with the versions of a policy beside a source, with paths from
// the policy's root.
func CheckBase(versions map[string]core.Version) problem.List {
	var problems problem.List
	for _, name := range sortedNames(versions) {
		if versions[name].Discover != "" {
			problems = append(problems, problem.New(problem.Field(problem.Field("versions", name), "discover"),
				"beside a source, only upstreams count: "+
					"give those, or put discover into the document")...)
		}
	}
	return problems
}
