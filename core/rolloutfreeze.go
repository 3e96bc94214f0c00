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
	zone     *time.Location
}

const minutesOfWeek = 7 * 24 * 60

// Covers reports whether a time is in the freeze. The clocks of its time zone count; a machine that
// knows no time zones takes UTC.
func (f *RolloutFreeze) Covers(t time.Time) bool {
	t = t.In(f.zone)
	now := int(t.Weekday())*24*60 + t.Hour()*60 + t.Minute()
	return (now-f.from+minutesOfWeek)%minutesOfWeek < (f.to-f.from+minutesOfWeek)%minutesOfWeek
}

// parseFreeze reads a line of `freeze`: <day> <hh:mm> - <day> <hh:mm> [<time zone>].
func parseFreeze(line string) (RolloutFreeze, *lineError) {
	f := RolloutFreeze{Line: strings.Join(strings.Fields(line), " "), zone: time.UTC}
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
	location, wrong := time.LoadLocation(zone.text)
	if wrong == nil && zone.text != "Local" {
		f.zone = location
	} else if knowsZones() || !isToken(strings.ReplaceAll(zone.text, "/", "_")) {
		return f, &lineError{zone.at, problem.Quote(zone.text) + " is not a time zone (as in UTC or Asia/Shanghai)"}
	}
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

// knowsZones reports whether the machine knows time zones at all. A gateway that does not, and only
// obeys, must not refuse a policy for that.
func knowsZones() bool {
	_, err := time.LoadLocation("Asia/Shanghai")
	return err == nil
}
