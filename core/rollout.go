package core

// Rollout is the plan of a rollout: how the percentage of one rule rises by itself, and what brings
// it back. Where a rollout is at stands in a document of its own beside the policy: RolloutState.
type Rollout struct {
	// Rule names the rule whose percentage rises. It must be given its name, and a version other
	// than stable. Its own percentage is where it stands before the rollout begins; default then:
	// 0. Required.
	Rule string `json:"rule,omitempty"`
	// Steps are the percentages in order, a line each:
	//
	//	<n>% [for <duration>] [min <callers>] [until approved]
	//
	// A step is over when its time is (default: at once), when enough is known, and when a person
	// has approved it, where it says so. Enough is known when each guard has compared `min` callers
	// of the canary (default: 100), or is certain before. The last step bakes; after it the rollout
	// is complete. Required.
	Steps []string `json:"steps,omitempty"`
	// Guard lists what is measured while the canary gets callers, a line each:
	//
	//	errors [rollback|pause|watch]                 fail more callers of the canary than of stable?
	//	latency [pNN] [rollback|pause|watch]          do more wait longer than stable's pNN (p90)?
	//	errors < <n>% [rollback|pause|watch]          fail fewer than n % of a minute's callers?
	//	latency pNN < <duration> [rollback|pause|watch]
	//	query NAME < <n> [for <looks>] [rollback|pause|watch]
	//	alert LABEL=VALUE ... [rollback|pause|watch]
	//
	// A query is bad when it was n or more in so many looks in a row (3); an alert is while it
	// fires. Both are known to `gray serve` only: a gateway never says that they are good. A guard
	// that finds the canary bad rolls back (the default), pauses, or only says so. Required; an
	// empty list, or the one line `none`, is a rollout without guards.
	Guard []string `json:"guard"`
	// Queries are the PromQL expressions of the guards, by name. $service, $version and $stable are
	// replaced by their names, $window by the time that a look is about, such as 60s: it begins
	// after the step did. At most 4,096 bytes each. Default: none.
	Queries map[string]string `json:"queries,omitempty"`
	// Alpha is the highest probability with which a release that is no worse is taken back by
	// mistake, in all of its time. Above 0, at most 0.5. Default: 0.001.
	Alpha float64 `json:"alpha,omitempty"`
	// Tolerance is how many times as bad as stable the canary may be, for guards without a limit.
	// From 1 to 100. Default: 1.25, or 1.5 with `anonymous` "random", where requests count and not
	// callers.
	Tolerance float64 `json:"tolerance,omitempty"`
	// Warmup is how long after its first request the canary may be slow, as a Go duration. Errors
	// count from the start. Default: 1m.
	Warmup string `json:"warmup,omitempty"`
	// Undecided says what happens when a step's time is over and not enough is known: "hold" (wait
	// for more callers), "advance" or "rollback". Default: hold.
	Undecided string `json:"undecided,omitempty"`
	// Keep names rules that give the version even after it was rolled back, such as the testers'.
	// Default: none.
	Keep []string `json:"keep,omitempty"`
	// Build tells builds of one version apart, such as an image's digest: another build is another
	// rollout. Default: none.
	Build string `json:"build,omitempty"`
	// Expires is how long a rollout may take, as a Go duration; one that is not complete by then is
	// rolled back. Default: as long as it takes.
	Expires string `json:"expires,omitempty"`
	// Freeze lists times of the week in which no percentage rises, a line each:
	//
	//	<day> <hh:mm> - <day> <hh:mm> [<time zone>]
	//
	// as in `Fri 16:00 - Mon 08:00 Asia/Shanghai`. Guards go on. Default: none; time zone: UTC.
	Freeze []string `json:"freeze,omitempty"`
}

// What a guard does when it finds the canary bad.
const (
	GuardRollback = "rollback"
	GuardPause    = "pause"
	GuardWatch    = "watch"
)

// What a guard measures.
const (
	GuardErrors  = "errors"
	GuardLatency = "latency"
	GuardQuery   = "query"
	GuardAlert   = "alert"
)

// What happens at the end of a step when not enough is known.
const (
	UndecidedHold     = "hold"
	UndecidedAdvance  = "advance"
	UndecidedRollback = "rollback"
)

// Defaults of the plan.
const (
	defaultAlpha     = 0.001
	defaultTolerance = 1.25
	randomTolerance  = 1.5
	defaultWarmup    = "1m"
	defaultQuantile  = 0.9
	noGuards         = "none"
	maxGuards        = 20
)
