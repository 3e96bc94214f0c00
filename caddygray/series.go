package caddygray

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/proxy"
)

// seriesLife is how long series stay after the last policy that has their version or rule.
const seriesLife = time.Hour

// subject is what series are about: a service, one of its versions, or one of the decisions that
// its policy can make.
type subject struct {
	kind                   subjectKind
	service, version, rule string
}

type subjectKind int

const (
	ofService subjectKind = iota
	ofVersion
	ofDecision
)

// seriesUse is how a subject is in use.
type seriesUse struct {
	policies int       // that have the subject
	released time.Time // when the last of them was replaced
	open     exchanges // of a version
}

// seriesTable ends the series of versions and rules that no policy has any more, so that a team
// that releases every day does not add to them for ever. Counters of a version or a rule that comes
// back later start from zero, as after a restart.
type seriesTable struct {
	mu   sync.Mutex
	now  func() time.Time
	uses map[subject]*seriesUse
}

// series is the collector of all metrics that count requests.
var series = &seriesTable{now: time.Now, uses: map[subject]*seriesUse{}}

// acquire notes that a policy has a subject, and returns the open exchanges of one that is a
// version. Call it before the subject's counters are prepared.
func (t *seriesTable) acquire(s subject) *exchanges {
	t.mu.Lock()
	defer t.mu.Unlock()
	use := t.uses[s]
	if use == nil {
		use = &seriesUse{open: exchanges{fallbacks: new(proxy.Seldom)}}
		t.uses[s] = use
	}
	use.policies++
	return &use.open
}

// release notes that a policy is not in force any more, which had acquired these subjects.
func (t *seriesTable) release(all []subject) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range all {
		use := t.uses[s]
		use.policies--
		use.released = t.now()
	}
	t.sweep()
}

// exchangesOf returns the open exchanges of a service's versions.
func (t *seriesTable) exchangesOf(service string) map[string]*exchanges {
	t.mu.Lock()
	defer t.mu.Unlock()
	versions := map[string]*exchanges{}
	for s, use := range t.uses {
		if s.kind == ofVersion && s.service == service {
			versions[s.version] = &use.open
		}
	}
	return versions
}

// sweep ends what has been unused for long enough.
func (t *seriesTable) sweep() {
	for s, use := range t.uses {
		if use.policies == 0 && use.open.count.Load() == 0 && t.now().Sub(use.released) >= seriesLife {
			delete(t.uses, s)
			s.end()
		}
	}
}

// end deletes a subject's series.
func (s subject) end() {
	switch s.kind {
	case ofService:
		tokensTotal.DeletePartialMatch(prometheus.Labels{"service": s.service})
	case ofVersion:
		of := prometheus.Labels{"service": s.service, "version": s.version}
		fallbacksTotal.Delete(of)
		responseLatency.Delete(of)
		upstreamFailuresTotal.DeletePartialMatch(of)
		responsesTotal.DeletePartialMatch(of)
	case ofDecision:
		decisionsTotal.DeleteLabelValues(s.service, s.version, s.rule)
	}
}

var openExchanges = prometheus.NewDesc("caddy_gray_open_exchanges",
	"Requests that are being served, streams and websockets included, by the version that serves.",
	[]string{"service", "version"}, nil)

// Describe implements prometheus.Collector.
func (t *seriesTable) Describe(ch chan<- *prometheus.Desc) {
	ch <- openExchanges
	for _, c := range counters {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (t *seriesTable) Collect(ch chan<- prometheus.Metric) {
	t.mu.Lock()
	t.sweep()
	for s, use := range t.uses {
		if s.kind == ofVersion {
			open := float64(use.open.count.Load())
			ch <- prometheus.MustNewConstMetric(openExchanges, prometheus.GaugeValue, open, s.service, s.version)
		}
	}
	t.mu.Unlock()
	for _, c := range counters {
		c.Collect(ch)
	}
}

// Interface guards
var _ prometheus.Collector = (*seriesTable)(nil)
