package service

import (
	"slices"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/discover"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/core/proxy"
)

// View is where a service runs and what is in force for it, at one moment. It never changes.
type View struct {
	stable    string
	forced    string          // the version that everybody gets, "" if the callers' count
	versions  map[string]bool // that callers can get
	upstreams map[string][]Upstream
	open      map[string]bool // of versions, those that have instances

	isKnown bool // where the stable version runs
	isAll   bool // where every version runs, and what the policy says
}

// Upstream is an instance to be called.
type Upstream struct {
	Scheme  string // http, https, h2c, or "" if nothing says
	Address string // host:port
}

// Stable returns the version that callers get who carry no other.
func (v *View) Stable() string { return v.stable }

// Serving returns the version that serves a caller who carries a version, "" being none: that
// version, where it runs and nothing that outranks it says otherwise, and the stable one else. A
// kill switch outranks what callers carry, and so does a rollback, except for a version that the
// policy keeps for some.
func (v *View) Serving(carried string) string {
	if v.forced != "" {
		carried = v.forced
	}
	if carried == "" || carried == v.stable || !v.open[carried] {
		return v.stable
	}
	return carried
}

// Upstreams returns the instances of a version. One that weighs more is in the list several times,
// as discover.Upstreams has it. The caller must not change it.
func (v *View) Upstreams(version string) []Upstream { return v.upstreams[version] }

// Versions returns the versions that have instances and can be served, sorted.
func (v *View) Versions() []string {
	var names []string
	for version, upstreams := range v.upstreams {
		if v.open[version] || version == v.stable && len(upstreams) > 0 {
			names = append(names, version)
		}
	}
	slices.Sort(names)
	return names
}

// viewOf makes a view of a target, of what is in force by its policy, if it has one, and of what
// its registry lists by version, nil if that is not known.
func viewOf(t Target, current *live.Current, listed map[string][]discover.Instance) *View {
	v := &View{stable: stableOf(t, current), versions: map[string]bool{}, upstreams: map[string][]Upstream{}}
	if current == nil {
		for version := range listed {
			v.versions[version] = true
		}
	} else if current.Engine != nil {
		v.govern(current)
	}
	switch {
	case t.Discover != "":
		v.isKnown = listed != nil && v.stable != ""
		v.isAll = v.isKnown
		for version, instances := range listed {
			if version == "" {
				version = v.stable
			}
			v.upstreams[version] = append(v.upstreams[version], upstreamsOf(discover.Upstreams(instances))...)
		}
	case current.Engine != nil:
		v.isKnown = isAnswered(current, v.stable)
		v.isAll = v.isKnown
		for version := range v.versions {
			v.upstreams[version] = upstreamsOf(current.Addresses(version))
			v.isAll = v.isAll && isAnswered(current, version)
		}
	}
	if t.Source != nil {
		v.isAll = v.isAll && current.Origin != "none" && current.Origin != ""
	}
	v.open = map[string]bool{}
	for version, isOffered := range v.versions {
		v.open[version] = isOffered && len(v.upstreams[version]) > 0
	}
	return v
}

// stableOf returns the version that callers get who carry none, "" if that is not known yet.
func stableOf(t Target, current *live.Current) string {
	if t.Stable == "" && current != nil && current.Engine != nil {
		return current.Engine.Stable()
	}
	return t.Stable
}

// govern takes over what a policy says.
func (v *View) govern(current *live.Current) {
	e := current.Engine
	v.forced = current.Overlay.Force
	kept := keptVersions(e.Policy(), current.Overlay.Keep)
	for version := range e.Versions() {
		v.versions[version] = !slices.Contains(current.Overlay.Withdrawn, version) || kept[version]
	}
}

// isAnswered reports whether it is known where a policy's version runs, or that it runs nowhere.
func isAnswered(current *live.Current, version string) bool {
	if current.Engine.Versions()[version].Discover == "" {
		return true
	}
	_, answered := current.Upstreams[version]
	return answered
}

// keptVersions returns the versions that rules give which a rollback leaves as they are.
func keptVersions(p *core.Policy, keep []string) map[string]bool {
	kept := map[string]bool{}
	for i := range p.Rules {
		r := &p.Rules[i]
		if !slices.Contains(keep, r.Name) {
			continue
		}
		kept[r.Version] = true
		for version := range r.Split {
			kept[version] = true
		}
	}
	return kept
}

func upstreamsOf(texts []string) []Upstream {
	upstreams := make([]Upstream, 0, len(texts))
	for _, text := range texts {
		if scheme, address, err := proxy.ParseUpstream(text); err == nil {
			upstreams = append(upstreams, Upstream{Scheme: scheme, Address: address})
		}
	}
	return upstreams
}

// byVersion groups instances. One whose version cannot be one is left out: it is not stable, and
// nobody can carry it.
func byVersion(instances []discover.Instance) map[string][]discover.Instance {
	groups := map[string][]discover.Instance{}
	for _, i := range instances {
		if i.Version == "" || core.IsVersionName(i.Version) {
			groups[i.Version] = append(groups[i.Version], i)
		}
	}
	return groups
}
