package guard

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/grayrelease/gray/core"
)

// reasonCompared is the verdict of a guard that compares with stable, in people's units.
func reasonCompared(sig *signal, v *core.RolloutVerdict, alpha float64) string {
	what := "failed"
	if sig.guard.Measures == core.GuardLatency {
		what = "waited longer than " + durationText(time.Duration(sig.slow.Load()))
	}
	return shareText(v.Canary) + " of canary callers " + what + ", " + shareText(v.Control) + " of stable's; " +
		luck(alpha)
}

// reasonLimit is the verdict of a guard with a limit.
func reasonLimit(sig *signal, v *core.RolloutVerdict, alpha float64) string {
	return shareText(v.Canary) + " of canary callers " + limitText(sig) + " within a minute, where " +
		percentText(sig.guard.Limit) + " may; " + luck(alpha)
}

// reasonBoth is the verdict of a guard whose limit stable breaks too.
func reasonBoth(sig *signal, v *core.RolloutVerdict) string {
	return "stable too: " + shareText(v.Canary) + " of canary callers and " + shareText(v.Control) + " of stable's " +
		limitText(sig) + " within a minute, where " + percentText(sig.guard.Limit) + " may; rolling back would not help"
}

func limitText(sig *signal) string {
	if sig.guard.Measures == core.GuardLatency {
		return "waited longer than " + durationText(sig.guard.Over)
	}
	return "failed"
}

func luck(alpha float64) string {
	return "by luck less than once in " + thousands(int(math.Round(1/alpha))) + " releases"
}

func shareText(a core.RolloutArm) string {
	if a.Bad == 0 {
		return "none"
	}
	return percentText(rate(a))
}

// percentText writes a share with two digits that count, as in 2.4 % or 0.031 %.
func percentText(share float64) string {
	percent := share * 100
	if percent >= 99.5 {
		return "100 %"
	}
	text := strconv.FormatFloat(percent, 'g', 2, 64)
	if strings.Contains(text, "e") {
		text = strconv.FormatFloat(percent, 'f', -1, 64)
	}
	return text + " %"
}

func durationText(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return strconv.FormatInt(int64(d.Round(time.Second)/time.Second), 10) + " s"
	case d >= time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d >= 10*time.Millisecond:
		return strconv.FormatInt(int64(d.Round(time.Millisecond)/time.Millisecond), 10) + " ms"
	}
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 2, 64) + " ms"
}

// thousands writes a number with commas, as in 1,000.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
