package core

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Whom the ramp did not ask is compared with nobody, and whom it asked is on one side.
func TestRamped(t *testing.T) {
	e := engineFor(t, `"identity": ["header X-User"],
		"rules": [
			{"name": "testers", "version": "v2", "when": ["header X-Beta = 1"]},
			{"name": "ramp", "version": "v2", "when": ["path prefix /shop"]},
			{"name": "later", "version": "v2", "percent": 50, "salt": "other"}],
		"rollout": {"rule": "ramp", "steps": ["5%", "100%"], "guard": []}`)
	at := func(percent float64) *Engine { return e.With(Overlay{Percent: map[string]float64{"ramp": percent}}) }
	ask := func(e *Engine, path string, lines ...string) (position uint64, taken, ok bool) {
		c := &Caller{Request: request(path, lines...)}
		return Ramped(e, c, Decide(e, c))
	}
	for name, c := range map[string]struct {
		engine *Engine
		path   string
		lines  []string
		ok     bool
	}{
		"asked":              {at(30), "/shop", []string{"X-User: u-1"}, true},
		"a rule before it":   {at(30), "/shop", []string{"X-User: u-1", "X-Beta: 1"}, false},
		"its own conditions": {at(30), "/", []string{"X-User: u-1"}, false},
		"nobody":             {at(30), "/shop", nil, false},
		"0 percent":          {at(0), "/shop", []string{"X-User: u-1"}, false},
		"100 percent":        {at(100), "/shop", []string{"X-User: u-1"}, true},
		"100, nobody":        {at(100), "/shop", nil, true},
		"forced":             {e.With(Overlay{Force: "v2"}), "/shop", []string{"X-User: u-1"}, false},
		"withdrawn": {
			e.With(Overlay{Percent: map[string]float64{"ramp": 30}, Withdrawn: []string{"v2"}}), "/shop", nil, false,
		},
	} {
		_, _, ok := ask(c.engine, c.path, c.lines...)
		assert.Equal(t, c.ok, ok, name)
	}
	takenInAll := 0
	for i := range 1000 {
		line := "X-User: u-" + strconv.Itoa(i)
		position, taken, ok := ask(at(30), "/shop", line)
		assert.True(t, ok)
		assert.Equal(t, position < threshold(30), taken)
		same, all, _ := ask(at(100), "/shop", line)
		assert.Equal(t, position, same, "a caller's position does not depend on the percentage")
		assert.True(t, all)
		if taken {
			takenInAll++
		}
	}
	assert.InDelta(t, 300, takenInAll, 75)
	plain := engineFor(t, `"identity": ["header X-User"], "rules": [{"name": "ramp", "version": "v2", "percent": 50}]`)
	_, _, ok := ask(plain, "/shop", "X-User: u-1")
	assert.False(t, ok, "no rollout")
}
