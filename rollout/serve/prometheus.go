package serve

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/api"
	prometheus "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/guard"
)

// leastWindow is the shortest time that a query is asked about: a rate needs two samples.
const leastWindow = 10 * time.Second

// querier asks Prometheus about the queries of one service's plan.
type querier struct {
	config *Prometheus
	api    prometheus.API
	during *following
	looks  map[string]*looks // by the guard's line
}

// looks is what the looks of a step have found.
type looks struct {
	bad int // in a row, as far as there were answers
}

func newQuerier(c *Prometheus, client *http.Client) (*querier, error) {
	a, err := api.NewClient(api.Config{Address: c.URL, Client: client})
	if err != nil {
		return nil, err
	}
	return &querier{config: c, api: prometheus.NewAPI(a)}, nil
}

// look asks each query of the plan once. The error is that of the last one that could not be asked.
func (q *querier) look(ctx context.Context, service string, f *following, at time.Time) (failure error) {
	if !q.during.isSameStep(f) {
		q.looks = map[string]*looks{}
	}
	q.during = f
	for i := range f.plan.Guards {
		g := &f.plan.Guards[i]
		if g.Measures != core.GuardQuery {
			continue
		}
		l := q.looks[g.Line]
		if l == nil {
			l = &looks{}
			q.looks[g.Line] = l
		}
		a := q.ask(ctx, service, f, g, at)
		l.note(a, g.Limit)
		f.tracker.Report(g.Line, l.finding(a, g))
		if a.isFailure {
			failure = a.err
		}
	}
	return failure
}

// answer is what one look has found.
type answer struct {
	value     float64
	err       error // why nothing was found
	isFailure bool  // the query could not be asked
}

var errEarly = errors.New(guard.CauseWarmingUp)

func (q *querier) ask(ctx context.Context, service string, f *following, g *core.RolloutGuard, at time.Time) answer {
	window := min(at.Sub(f.since), q.config.window).Truncate(time.Second)
	if window < leastWindow {
		return answer{err: errEarly}
	}
	ctx, cancel := context.WithTimeout(ctx, q.config.timeout)
	defer cancel()
	expression := f.plan.Query(g, service, strconv.Itoa(int(window/time.Second))+"s")
	value, _, _, err := q.api.Query(ctx, expression, at)
	if err != nil {
		return answer{err: fmt.Errorf("prometheus: %w", err), isFailure: true}
	}
	return highest(value)
}

// highest returns the value of a scalar, or the highest of a vector.
func highest(value model.Value) answer {
	most := math.NaN()
	switch v := value.(type) {
	case *model.Scalar:
		most = float64(v.Value)
	case model.Vector:
		for _, sample := range v {
			if n := float64(sample.Value); math.IsNaN(most) || n > most {
				most = n
			}
		}
	default:
		return answer{err: fmt.Errorf("the query's result is a %s: want a number or a vector", value.Type())}
	}
	if math.IsNaN(most) {
		return answer{err: errors.New(guard.CauseNoTraffic)}
	}
	return answer{value: most}
}

// note takes over an answer. None is neither good nor bad.
func (l *looks) note(a answer, limit float64) {
	if a.err != nil {
		return
	}
	l.bad++
	if a.value < limit {
		l.bad = 0
	}
}

// finding is what is known of a query after an answer.
func (l *looks) finding(a answer, g *core.RolloutGuard) guard.Finding {
	f := guard.Finding{Verdict: core.VerdictUndecided, Evidence: float64(l.bad), Threshold: float64(g.Looks)}
	switch {
	case l.bad >= g.Looks:
		f.Verdict = core.VerdictBad
		f.Reason = fmt.Sprintf("%s is %s in %d looks in a row, where less than %s is wanted", g.Query,
			short(a.value), l.bad,
			short(g.Limit))
	case a.err != nil:
		f.Cause = a.err.Error()
	case l.bad > 0:
		f.Cause = fmt.Sprintf("%s is %s, the limit %s: look %d of %d", g.Query, short(a.value), short(g.Limit),
			l.bad, g.Looks)
	default:
		f.Verdict = core.VerdictGood
	}
	return f
}

func short(n float64) string { return strconv.FormatFloat(n, 'g', 4, 64) }
