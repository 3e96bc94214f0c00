package core

import (
	"strings"
	"time"

	"github.com/grayrelease/gray/core/problem"
)

// RolloutFreeze is a time of each week in which no percentage rises.
type RolloutFreeze struct {
	Line     string
	from, to int // minutes since the beginning of Sunday
	zone     string
}

const minutesOfWeek = 7 * 24 * 60

// Covers reports whether a time is in the freeze. The clocks of its time zone count; a machine that
// does not know the zone takes UTC.
func (f *RolloutFreeze) Covers(t time.Time) bool {
	zone, err := time.LoadLocation(f.zone)
	if err != nil {
		zone = time.UTC
	}
	t = t.In(zone)
	now := int(t.Weekday())*24*60 + t.Hour()*60 + t.Minute()
	return (now-f.from+minutesOfWeek)%minutesOfWeek < (f.to-f.from+minutesOfWeek)%minutesOfWeek
}

// parseFreeze reads a line of `freeze`: <day> <hh:mm> - <day> <hh:mm> [<time zone>].
func parseFreeze(line string) (RolloutFreeze, *lineError) {
	f := RolloutFreeze{Line: strings.Join(strings.Fields(line), " "), zone: "UTC"}
	from, at, err := parseMoment(line, 0)
	if err != nil {
		return f, err
	}
	dash, at, err := plainWord(line, at, "a dash, as in Fri 16:00 - Mon 08:00")
	if err != nil {
		return f, err
	}
	if dash.text != "-" {
		return f, &lineError{dash.at, "want a dash between two times, not " + problem.Quote(dash.text)}
	}
	to, end, err := parseMoment(line, at)
	if err != nil {
		return f, err
	}
	if from == to {
		return f, &lineError{skipSpace(line, at), "ends when it begins"}
	}
	f.from, f.to = from, to
	zone, end, err := plainWord(line, end, "")
	if err != nil || zone.text == "" {
		return f, err
	}
	if !isZone(zone.text) {
		return f, &lineError{zone.at, problem.Quote(zone.text) + " is not a time zone (as in UTC or Asia/Shanghai)"}
	}
	f.zone = zone.text
	if end = skipSpace(line, end); end < len(line) {
		return f, &lineError{end, "nothing may follow the time zone"}
	}
	return f, nil
}

// parseMoment reads a day and a time of day at a byte, and returns where they end.
func parseMoment(line string, at int) (minute, end int, err *lineError) {
	days := []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}
	day, at, err := plainWord(line, at, "a day, as in Fri")
	if err != nil {
		return 0, at, err
	}
	i := indexOf(days, day.text)
	if i < 0 {
		return 0, at, &lineError{day.at, "unknown day " + problem.Quote(day.text) + " (one of " + strings.Join(days, ", ") + ")" + problem.Suggest(day.text, days)}
	}
	clock, at, err := plainWord(line, at, "a time, as in 16:00")
	if err != nil {
		return 0, at, err
	}
	t, wrong := time.Parse("15:04", clock.text)
	if wrong != nil || len(clock.text) != 5 {
		return 0, at, &lineError{clock.at, problem.Quote(clock.text) + " is not a time of day (as in 08:00 or 16:30)"}
	}
	return i*24*60 + t.Hour()*60 + t.Minute(), at, nil
}

// isZone reports whether a time zone can exist: on a machine that knows time zones it must be one.
func isZone(name string) bool {
	if _, err := time.LoadLocation(name); err == nil && name != "Local" {
		return true
	}
	_, err := time.LoadLocation("Asia/Shanghai")
	return err != nil && name != "Local" && isToken(strings.ReplaceAll(name, "/", "_"))
}
