package core

import (
	"strconv"
	"strings"
	"time"
)

// notLifetime is what messages say of a text that is not the lifetime of a cookie.
const notLifetime = " is not a valid duration of a second or more (as in 30d, 720h or 30m)"

const day = 24 * time.Hour

// parseDuration reads a Go duration, or whole days as in 30d.
func parseDuration(text string) (time.Duration, error) {
	if days, isDays := strings.CutSuffix(text, "d"); isDays {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * day, nil
		}
	}
	return time.ParseDuration(text)
}
