package guard

import "math"

// multiples are the ratios that the mixture bets on, as multiples of the tolerance.
var multiples = [...]float64{1.3, 1.7, 2.5, 5, 10, 30, 100}

// perCopy is the number of events after which a fresh copy of the mixture starts.
const perCopy = 200

// betting has one number for each of the ratios.
type betting [len(multiples)]float64

// odds are what one event adds to ln E(r), for each ratio r: by an event of the canary, and by one
// of the control.
type odds struct{ canary, control betting }

// newOdds computes the odds of events of which a share p, above 0 and below 1, is the canary's if
// there is no difference.
func newOdds(p, tolerance float64) odds {
	var o odds
	for i, multiple := range multiples {
		ratio := tolerance * multiple
		o.control[i] = -math.Log((1 + p*(ratio-1)) / (1 + p*(tolerance-1)))
		o.canary[i] = math.Log(multiple) + o.control[i]
	}
	return o
}

// process is a mixture e-process with copies that start again. With S(r) what events have added up
// to and S_j(r) what that was when copy j started, it is
//
//	E = mean over r of exp(S(r)) sum_j w_j exp(-S_j(r)), plus cash
//
// so that the sum over the copies is one number for each ratio, and an event costs seven additions.
type process struct {
	copies int
	events int     // since the last copy started
	sum    betting // S(r)
	copied betting // ln sum_j w_j exp(-S_j(r)); of no meaning without copies
}

// restart starts a copy.
func (p *process) restart() {
	p.copies++
	p.events = 0
	weight := -math.Log(float64(p.copies) * float64(p.copies+1))
	for i := range p.sum {
		started := weight - p.sum[i]
		if p.copies == 1 {
			p.copied[i] = started
		} else {
			p.copied[i] = logAdd(p.copied[i], started)
		}
	}
}

// add counts an event.
func (p *process) add(o *odds, isCanary bool) {
	if p.copies == 0 || p.events >= perCopy {
		p.restart()
	}
	p.events++
	p.bet(o, isCanary, 1)
}

// bet adds what n events change, without counting them towards the next copy.
func (p *process) bet(o *odds, isCanary bool, n float64) {
	by := &o.control
	if isCanary {
		by = &o.canary
	}
	for i := range p.sum {
		p.sum[i] += n * by[i]
	}
}

// log returns ln E.
func (p *process) log() float64 {
	total := -math.Log(float64(p.copies + 1)) // the cash: 1 - sum_j w_j
	for i := range p.sum {
		if p.copies > 0 {
			total = logAdd(total, p.sum[i]+p.copied[i]-math.Log(float64(len(multiples))))
		}
	}
	return total
}

// logAdd returns ln(exp(a) + exp(b)).
func logAdd(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	return a + math.Log1p(math.Exp(b-a))
}
