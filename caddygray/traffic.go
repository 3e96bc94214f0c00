package caddygray

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/grayrelease/gray/rollout/api"
)

// traffic is what has been counted of the policy's versions and rules, as the metrics have it.
func (r *active) traffic() *api.Traffic {
	t := &api.Traffic{At: time.Now()}
	for rule, o := range r.outcomes {
		t.Decisions = append(t.Decisions, o.counted(rule))
		for _, other := range o.others {
			t.Decisions = append(t.Decisions, other.counted(rule))
		}
	}
	for name, v := range r.versions {
		t.Responses = append(t.Responses, v.answered(name))
	}
	return api.Sum([]*api.Traffic{t})
}

func (o *outcome) counted(rule string) api.Decisions {
	return api.Decisions{Version: o.version.name, Rule: rule, Count: read(o.decisions).GetCounter().GetValue()}
}

// answered counts a fallback to stable as a failure of the version.
func (v *version) answered(name string) api.Responses {
	const serverError = 5
	fallbacks := read(v.fallbacks).GetCounter().GetValue()
	r := api.Responses{Version: name, Count: fallbacks, Failed: fallbacks}
	for class, counter := range v.statuses {
		count := read(counter).GetCounter().GetValue()
		r.Count += count
		if class == serverError {
			r.Failed += count
		}
	}
	latency, isMetric := v.latency.(prometheus.Metric)
	if !isMetric {
		return r
	}
	for _, b := range read(latency).GetHistogram().GetBucket() {
		r.Latency = append(r.Latency, api.Bucket{Seconds: b.GetUpperBound(), Count: float64(b.GetCumulativeCount())})
	}
	return r
}

// read returns what a metric has counted.
func read(m prometheus.Metric) *dto.Metric {
	into := &dto.Metric{}
	_ = m.Write(into) // it fails for metrics that were made wrong only
	return into
}
