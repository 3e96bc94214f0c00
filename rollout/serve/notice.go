package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/program"
	"github.com/grayrelease/gray/internal/remote"
	"github.com/grayrelease/gray/rollout/loop"
)

const (
	maxUntold  = 256         // events that wait; more are dropped, and counted
	firstPause = time.Second // between two tries; doubles
	mostPause  = time.Minute
)

// teller tells others what happens. It claims each event first, so that it is told once over all
// controllers, and never holds up a rollout.
type teller struct {
	server  *Server
	notices []Notice
	waiting chan loop.Event
	sent    *prometheus.CounterVec
}

func newTeller(s *Server) (*teller, error) {
	t := &teller{server: s, notices: slices.Clone(s.config.Notices), waiting: make(chan loop.Event, maxUntold)}
	t.sent = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gray_notices_total",
		Help: "Notices by what became of them: sent, failed or dropped."}, []string{"outcome"})
	for _, outcome := range []string{"sent", "failed", "dropped"} {
		t.sent.WithLabelValues(outcome)
	}
	for i := range t.notices {
		n := &t.notices[i]
		path := problem.Index("notices", i)
		if n.TokenFile != "" {
			text, err := os.ReadFile(n.TokenFile)
			if err != nil {
				return nil, fmt.Errorf("%s.token_file: %w", path, err)
			}
			n.token = strings.TrimSpace(string(text))
		}
	}
	return t, nil
}

// happened notes an event that somebody wants to hear of.
func (t *teller) happened(e loop.Event) {
	if len(t.wanted(&e)) == 0 {
		return
	}
	select {
	case t.waiting <- e:
	default:
		t.sent.WithLabelValues("dropped").Inc()
	}
}

// wanted returns the notices that are about an event.
func (t *teller) wanted(e *loop.Event) []*Notice {
	var list []*Notice
	for i := range t.notices {
		n := &t.notices[i]
		if (len(n.On) == 0 || slices.Contains(n.On, e.Kind)) &&
			(len(n.Services) == 0 || slices.Contains(n.Services, e.Service)) {
			list = append(list, n)
		}
	}
	return list
}

// run tells events, each in a goroutine of its own, until the context ends: what is slow holds up
// nothing else.
func (t *teller) run(ctx context.Context) {
	limit := make(chan struct{}, maxUntold)
	ended := make(chan struct{})
	under := 0
	for {
		select {
		case <-ctx.Done():
			for ; under > 0; under-- {
				<-ended
			}
			return
		case <-ended:
			under--
		case e := <-t.waiting:
			under++
			limit <- struct{}{}
			go func() {
				t.tell(ctx, e)
				<-limit
				ended <- struct{}{}
			}()
		}
	}
}

// tell claims an event, and tells all who want to hear of it.
func (t *teller) tell(ctx context.Context, e loop.Event) {
	v := t.server.find(e.Service)
	if v == nil {
		return
	}
	c := &claim{store: v, id: e.ID + "@" + strconv.FormatInt(e.Epoch, 10), by: t.server.config.Name}
	for {
		isOurs, wait, err := c.take(ctx)
		if err != nil && ctx.Err() == nil {
			v.log.Error("an event could not be claimed, and nobody is told", "event", c.id, "error", err.Error())
			t.sent.WithLabelValues("failed").Inc()
		}
		if isOurs {
			break
		}
		if err != nil || wait <= 0 || !remote.Sleep(ctx, wait) {
			return
		}
	}
	for _, n := range t.wanted(&e) {
		err := t.try(ctx, n, &e)
		outcome := "sent"
		if err != nil {
			outcome = "failed"
			v.log.Error("a notice failed", "event", c.id, "to", n.name(), "error", err.Error())
		}
		t.sent.WithLabelValues(outcome).Inc()
	}
	if err := c.done(ctx); err != nil && ctx.Err() == nil {
		v.log.Warn("it could not be noted that an event was told", "event", c.id, "error", err.Error())
	}
}

// name is what is logged of a notice: not the path of a webhook, which is a secret of some
// services.
func (n *Notice) name() string {
	if len(n.Command) > 0 {
		return n.Command[0]
	}
	u, err := url.Parse(n.Webhook)
	if err != nil {
		return "webhook"
	}
	return u.Scheme + "://" + u.Host
}

// try tells one notice until that succeeds.
func (t *teller) try(ctx context.Context, n *Notice, e *loop.Event) error {
	pause := firstPause
	for i := 1; ; i++ {
		err := t.once(ctx, n, e)
		if err == nil || i >= n.Tries {
			return err
		}
		jitter := time.Duration(rand.Int64N(int64(pause)/2 + 1))
		if !remote.Sleep(ctx, pause+jitter) {
			return ctx.Err()
		}
		pause = min(2*pause, mostPause)
	}
}

func (t *teller) once(ctx context.Context, n *Notice, e *loop.Event) error {
	if len(n.Command) > 0 {
		input, err := json.Marshal(e)
		if err != nil {
			return err
		}
		output, err := program.Run(ctx, n.Command, input, environment(e), n.timeout)
		t.server.log.Info("a command of an event ran", "service", e.Service, "event", e.ID, "command", n.Command[0],
			"output", string(output), "error", fmt.Sprint(err))
		return err
	}
	return t.post(ctx, n, e)
}

// environment are the variables of a command. It is never part of a command line.
func environment(e *loop.Event) []string {
	return []string{
		"GRAY_EVENT=" + e.Kind, "GRAY_EVENT_ID=" + e.ID, "GRAY_SERVICE=" + e.Service, "GRAY_VERSION=" + e.Version,
		"GRAY_PHASE=" + e.Phase, "GRAY_ATTEMPT=" + strconv.FormatInt(e.Attempt, 10),
		"GRAY_STEP=" + strconv.Itoa(e.Step),
		"GRAY_STEPS=" + strconv.Itoa(e.Steps), "GRAY_PERCENT=" + strconv.FormatFloat(e.Percent, 'f', -1, 64),
		"GRAY_REASON=" + e.Reason, "GRAY_BY=" + e.By, "GRAY_GUARD=" + e.Guard,
		"GRAY_AT=" + e.At.UTC().Format(time.RFC3339),
	}
}

func (t *teller) post(ctx context.Context, n *Notice, e *loop.Event) error {
	kind, body, err := formats[n.Format](e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.Webhook, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", kind)
	if n.token != "" {
		req.Header.Set("Authorization", "Bearer "+n.token)
	}
	res, err := t.server.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s cannot be reached", n.name()) // the error names the whole URL
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("%s answered %s", n.name(), res.Status)
	}
	return nil
}
