package store

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core/source"
)

// Of several who update a document at once none loses what another has written.
func TestUpdate(t *testing.T) {
	for name, url := range map[string]string{
		"file": "file://" + filepath.Join(t.TempDir(), "user.json"),
		"http": bucket(t),
	} {
		t.Run(name, func(t *testing.T) {
			const writers, rounds = 3, 20
			var group sync.WaitGroup
			for range writers {
				s, err := Open(url, nil)
				require.NoError(t, err)
				group.Go(func() {
					for n := 0; n < rounds; {
						err := s.Update(context.Background(), source.Rollout, func(d source.Document) ([]byte, error) {
							before, _ := strconv.Atoi(string(d.Data))
							return []byte(strconv.Itoa(before + 1)), nil
						})
						if errors.Is(err, ErrContended) {
							continue
						}
						if err != nil {
							t.Error(err)
							return
						}
						n++
					}
				})
			}
			group.Wait()
			s, err := Open(url, nil)
			require.NoError(t, err)
			d, err := s.Get(context.Background(), source.Rollout)
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(writers*rounds), string(d.Data))
		})
	}
}

func TestUpdateThatIsNotPossible(t *testing.T) {
	s, err := Open("file://"+filepath.Join(t.TempDir(), "user.json"), nil)
	require.NoError(t, err)
	update := func(ctx context.Context, s *Store, change func(source.Document) ([]byte, error)) error {
		return s.Update(ctx, source.Switch, change)
	}
	refusal := errors.New("no")
	err = update(context.Background(), s, func(source.Document) ([]byte, error) { return nil, refusal })
	require.Equal(t, refusal, err)
	require.NoError(t, update(context.Background(), s, func(d source.Document) ([]byte, error) {
		require.True(t, d.Missing)
		return nil, nil
	}))
	tries := 0
	always := func(d source.Document) ([]byte, error) { // somebody else writes between reading and writing
		tries++
		_, err := s.Put(context.Background(), source.Switch, []byte(strconv.Itoa(tries)), d.Revision)
		require.NoError(t, err)
		return []byte("mine"), nil
	}
	require.ErrorIs(t, update(context.Background(), s, always), ErrContended)
	require.Equal(t, updateTries, tries)
	ctx, cancel := context.WithCancel(context.Background())
	err = update(ctx, s, func(d source.Document) ([]byte, error) {
		defer cancel()
		return always(d)
	})
	require.ErrorIs(t, err, context.Canceled)

	dead, err := Open("etcd://127.0.0.1:1/k", nil)
	require.NoError(t, err)
	var access *AccessError
	require.ErrorAs(t, update(context.Background(), dead, always), &access)
	require.Equal(t, toRead, access.To)
}
