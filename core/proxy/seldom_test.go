package proxy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestSeldom(t *testing.T) {
	s := &Seldom{}
	begin := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		want  int64
	}{{0, 1}, {0, 0}, {LogEvery - 1, 0}, {LogEvery, 4}, {LogEvery + 1, 0}, {3 * LogEvery, 6}} {
		assert.Equal(t, step.want, dueAt(s, begin.Add(step.after)), step.after)
	}
	assert.EqualValues(t, 1, Due(&Seldom{}))
}
