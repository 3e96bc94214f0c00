package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/grayrelease/gray/core"
)

// askAgain is how long a refusal of the hook holds.
const askAgain = 10 * time.Second

// hook is asked before a percentage rises.
type hook struct {
	config  *Hook
	service string
	client  *http.Client

	mu      sync.Mutex
	refused error
	at      time.Time
	epoch   int64
}

// question is what the hook is asked.
type question struct {
	Service string  `json:"service"`
	Attempt int64   `json:"attempt"`
	Epoch   int64   `json:"epoch"`
	Phase   string  `json:"phase"`
	Step    int     `json:"step"`
	Percent float64 `json:"percent"`
	Reason  string  `json:"reason"`
	By      string  `json:"by"`
}

// ask returns nil if the hook agrees. It is not asked again at once about what it has refused.
func (h *hook) ask(ctx context.Context, next *core.RolloutState) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if h.refused != nil && h.epoch == next.Epoch && now.Sub(h.at) < askAgain {
		return h.refused
	}
	h.refused = h.post(ctx, next)
	h.at = now
	h.epoch = next.Epoch
	return h.refused
}

func (h *hook) post(ctx context.Context, next *core.RolloutState) error {
	ctx, cancel := context.WithTimeout(ctx, h.config.timeout)
	defer cancel()
	body, err := json.Marshal(question{h.service, next.Attempt, next.Epoch, next.Phase, next.Step, next.Percent,
		next.Reason,
		next.By})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.config.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := h.client.Do(req)
	if err != nil {
		return fmt.Errorf("the hook cannot be asked: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the hook %s answered %s", h.config.URL, res.Status)
	}
	return nil
}
