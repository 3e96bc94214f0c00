package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// scripted is a backend that has a turn of documents after each wait, and then fails with its
// error.
type scripted struct {
	turns   []map[Key]Document
	failure error
	broken  map[Key]error
	goOn    bool
}

func (s *scripted) read(_ context.Context, key Key) (Document, error) {
	if err := s.broken[key]; err != nil {
		return Document{}, err
	}
	d, there := s.turns[0][key]
	d.Missing = !there
	return d, nil
}

func (s *scripted) wait(context.Context, bool, func()) error {
	if s.turns = s.turns[1:]; len(s.turns) == 0 {
		return s.failure
	}
	return nil
}

func (s *scripted) failed() bool { return s.goOn }
func (s *scripted) close()       {}

func at(text string, order int64) Document {
	return Document{Data: []byte(text), Revision: text, order: order}
}

func TestFollower(t *testing.T) {
	done := errors.New("done")
	var events []Event
	f := newFollower(&scripted{failure: done, turns: []map[Key]Document{
		{Policy: at("p1", 5)},
		{Policy: at("p1", 5), Switch: at("s1", 6)},
		{Policy: at("p0", 3), Switch: at("s1", 6)},
		{Policy: at("p0", 3)},
		{Policy: at("p2", 7), Rollout: at("r1", 8)},
	}}, func(e Event) { events = append(events, e) })
	require.Equal(t, done, f.Run(context.Background()))
	want := []Event{
		{Key: Switch, Document: Document{Missing: true}},
		{Key: Rollout, Document: Document{Missing: true}},
		{Key: Policy, Document: at("p1", 5)},
		{Key: Switch, Document: at("s1", 6), Written: true},
		{Key: Policy, Document: at("p0", 3)}, // of a server that is behind
		{Key: Switch, Document: Document{Missing: true}},
		{Key: Rollout, Document: at("r1", 8), Written: true},
		{Key: Policy, Document: at("p2", 7), Written: true},
	}
	require.Equal(t, want, events)
}

func TestContactIsReportedAfterAFailureAndNotTooOften(t *testing.T) {
	var contacts int
	turn := map[Key]Document{Policy: at("p1", 1)}
	b := &scripted{turns: []map[Key]Document{turn, turn, turn, turn}, failure: errors.New("down")}
	f := newFollower(b, func(e Event) {
		if e.Contact {
			contacts++
		}
	})
	require.ErrorContains(t, f.Run(context.Background()), "down")
	require.Zero(t, contacts, "all within a second of the first document")
	b.turns = []map[Key]Document{turn, turn, turn}
	require.ErrorContains(t, f.Run(context.Background()), "down")
	require.Equal(t, 1, contacts, "it answers again")
}

func TestUnreadableSwitchKeepsThePolicyFromBeingReadUnlessItIsAFile(t *testing.T) {
	for goOn, want := range map[bool][]Key{true: {Rollout, Policy}, false: nil} {
		var keys []Key
		b := &scripted{turns: []map[Key]Document{{Policy: at("p1", 1)}}, broken: map[Key]error{Switch: errors.New("denied")}, goOn: goOn}
		f := newFollower(b, func(e Event) { keys = append(keys, e.Key) })
		require.ErrorContains(t, f.Run(context.Background()), "denied")
		require.Equal(t, want, keys)
	}
}

// Who writes a file may take a while: what it holds meanwhile is reported as not settled.
func TestFileSettles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
	events := watch(t, "file://"+path+"?interval=10ms")
	next(t, events) // the switch
	next(t, events) // the rollout
	e := next(t, events)
	require.Equal(t, "half", string(e.Data))
	require.True(t, e.Settling)
	e = next(t, events)
	require.False(t, e.Settling)
	require.False(t, e.Written)

	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.WriteFile(path, []byte("whole"), 0o600))
	require.NoError(t, os.Chtimes(path, old, old))
	for e = next(t, events); e.Settling; e = next(t, events) {
	}
	require.Equal(t, "whole", string(e.Data))
}
