package serve

import (
	"context"
	"encoding/json"
	"time"

	"github.com/grayrelease/gray/core/source"
	"github.com/grayrelease/gray/internal/remote"
	"github.com/grayrelease/gray/rollout/store"
)

const (
	lease       = 15 * time.Minute // of a claim; longer than all tries take
	maxClaims   = 100
	claimDelays = 8 // tries while the store is away, with pauses that double
)

// claims is the document, beside the policy, in which controllers note which events they tell.
type claims struct {
	Claims []claimed `json:"claims"` // the oldest first
}

type claimed struct {
	ID   string    `json:"id"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Done bool      `json:"done,omitempty"`
}

// claim is the right to tell one event.
type claim struct {
	store *service
	id    string
	by    string
}

// take claims the event. If another controller tells it, take returns how long its claim lasts: it
// may die before it has told the event. 0 and not ours is an event that was told.
func (c *claim) take(ctx context.Context) (isOurs bool, wait time.Duration, err error) {
	err = c.change(ctx, func(list []claimed) []claimed {
		isOurs = false
		wait = 0
		own := claimed{ID: c.id, By: c.by, At: time.Now().UTC()}
		for i := range list {
			if list[i].ID != c.id {
				continue
			}
			if list[i].Done {
				return nil
			}
			if wait = lease - time.Since(list[i].At); wait > 0 {
				return nil
			}
			isOurs = true
			list[i] = own
			return list
		}
		isOurs = true
		return append(list, own)
	})
	return isOurs && err == nil, wait, err
}

// done notes that the event was told.
func (c *claim) done(ctx context.Context) error {
	return c.change(ctx, func(list []claimed) []claimed {
		for i := range list {
			if list[i].ID == c.id {
				list[i].Done = true
			}
		}
		return list
	})
}

// change writes what a function makes of the claims, nil being no change.
func (c *claim) change(ctx context.Context, change func([]claimed) []claimed) error {
	place, err := store.Open(c.store.config.Source, c.store.config.Options)
	if err != nil {
		return err
	}
	pause := time.Second
	for i := 0; ; i++ {
		err := place.Update(ctx, source.Notices, changed(change))
		if err == nil || i == claimDelays || !remote.Sleep(ctx, pause) {
			return err
		}
		pause *= 2
	}
}

// changed makes what store.Update calls of a change to the list.
func changed(change func([]claimed) []claimed) func(source.Document) ([]byte, error) {
	return func(d source.Document) ([]byte, error) {
		var all claims
		if !d.Missing && json.Unmarshal(d.Data, &all) != nil {
			all = claims{} // nobody but controllers writes it
		}
		all.Claims = change(all.Claims)
		if all.Claims == nil {
			return nil, nil
		}
		if over := len(all.Claims) - maxClaims; over > 0 {
			all.Claims = all.Claims[over:]
		}
		return json.Marshal(all)
	}
}
