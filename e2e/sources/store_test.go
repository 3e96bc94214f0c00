package sources

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/rollout/store"
)

// Two writers that have read the same revision never both win, and never both lose.
func twoWriters(t *testing.T, b *backends.Backend) {
	const races, creations = 200, 20
	open := func(key string) [2]*store.Store {
		var writers [2]*store.Store
		for i := range writers {
			s, err := store.Open(b.URL(key), nil)
			require.NoError(t, err)
			writers[i] = s
		}
		return writers
	}
	for i := range creations {
		race(t, open(fmt.Sprintf("created-%d", i)), source.Policy, "", fmt.Sprintf("round %d", i))
	}
	writers := open("raced")
	revision := ""
	for i := range races {
		revision = race(t, writers, source.Switch, revision, fmt.Sprintf("round %d", i))
	}
}

// race has both writers write from one revision, and returns the winner's.
func race(t *testing.T, writers [2]*store.Store, key source.Key, revision, text string) string {
	t.Helper()
	var revisions [2]string
	var failures [2]error
	start := make(chan struct{})
	var done sync.WaitGroup
	for i, s := range writers {
		done.Go(func() {
			<-start
			revisions[i], failures[i] = s.Put(context.Background(), key,
				fmt.Appendf(nil, `{"text": %q, "by": %d}`, text, i), revision)
		})
	}
	close(start)
	done.Wait()
	winner := -1
	for i, err := range failures {
		if errors.Is(err, store.ErrConflict) {
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, -1, winner, "%s: both have won", text)
		winner = i
	}
	require.NotEqual(t, -1, winner, "%s: both have lost", text)
	require.NotEmpty(t, revisions[winner])
	return revisions[winner]
}
