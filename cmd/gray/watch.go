package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/rollout/operate"
	"github.com/grayrelease/gray/rollout/store"
)

// seen is what a watch of a source saw.
type seen struct {
	release *operate.Release
	err     error
}

// watch watches a source until ctx ends. The channel is closed then.
func watch(ctx context.Context, s *store.Store) <-chan seen {
	news := make(chan seen)
	go func() {
		defer close(news)
		operate.Watch(ctx, s, func(r *operate.Release, err error) {
			select {
			case news <- seen{r, err}:
			case <-ctx.Done():
			}
		})
	}()
	return news
}

// watchStatus shows the status again and again: on a terminal in place, each second, else after
// each change.
func (p *program) watchStatus(ctx context.Context, args []string) error {
	s, err := p.source(args, 0)
	if err != nil {
		return err
	}
	isLive := p.isTerminal(p.out) && !p.isJSON()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	var last *status
	var failure error
	news := watch(ctx, s)
	for {
		select {
		case n, isOpen := <-news:
			if !isOpen {
				return nil
			}
			failure = n.err
			if n.err == nil {
				last = newStatus(n.release)
			}
			if !isLive {
				p.printChange(n)
				continue
			}
		case <-ticker.C:
			if !isLive {
				continue
			}
		}
		p.redraw(last, failure)
	}
}

// printChange prints a change for those who read a stream.
func (p *program) printChange(n seen) {
	switch {
	case n.err != nil:
		_, _ = fmt.Fprintln(p.err, "gray: "+n.err.Error())
	case p.isJSON():
		p.line("%s", compact(newStatus(n.release)))
	default:
		p.line("%s", clockText(now()))
		p.showStatus(p.out, newStatus(n.release))
		p.line("")
	}
}

// redraw draws the status in place of what is on the screen.
func (p *program) redraw(last *status, failure error) {
	var text strings.Builder
	text.WriteString("\x1b[H\x1b[2J") // to the corner, and all is cleared
	if last != nil {
		p.showStatus(&text, last)
	}
	if failure != nil {
		fmt.Fprintln(&text, "\n"+printable(failure.Error()))
	}
	_, _ = fmt.Fprint(p.out, text.String())
}

func (p *program) waitCommand() *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use: "wait [<source>]", Short: "Waits until a rollout is complete", Args: withSource(0),
		Long: "Waits until a rollout is complete, and shows what happens meanwhile.\n\n" +
			"The exit code is 0 when it is complete, 1 when it was rolled back, and 2 when it is paused or the time is\n" +
			"over. While it waits for an approval, or the source is away, it goes on waiting.",
		Example: "  gray wait --timeout 2h etcd://10.0.0.9:2379/gray/shop && ./deploy-next",
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := p.source(args, 0)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			return p.wait(ctx, s)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "How long to wait at most, as in 90m (default: without end)")
	return cmd
}

func (p *program) wait(ctx context.Context, s *store.Store) error {
	ctx, cancel := context.WithCancel(ctx)
	news := watch(ctx, s)
	defer func() {
		cancel()
		for range news { // until the watch has ended
			continue
		}
	}()
	var last *operate.Release
	said := ""
	for n := range news {
		if n.err != nil {
			if text := n.err.Error(); text != said {
				said = text
				_, _ = fmt.Fprintln(p.err, "gray: "+text+"; waiting")
			}
			continue
		}
		if n.release.Plan == nil {
			return away(operate.ErrNoRollout)
		}
		p.showEvent(last, n.release)
		last = n.release
		if last.State == nil {
			continue
		}
		switch last.State.Phase {
		case core.PhaseCompleted:
			return p.waited(exitDone, last)
		case core.PhaseRolledBack:
			return p.waited(exitNot, last)
		case core.PhasePaused:
			return p.waited(exitWaiting, last)
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		_, _ = fmt.Fprintln(p.err, "gray: the time is over")
	}
	return p.waited(exitWaiting, last)
}

// showEvent prints a change of the state for people.
func (p *program) showEvent(before, after *operate.Release) {
	st := after.Status()
	if p.isJSON() || before != nil && before.Status().Epoch == st.Epoch {
		return
	}
	p.line("%s  %s at %s%s", clockText(now()), p.phase(st.Phase), percentText(st.Percent), details(st.Reason, st.By, ""))
}

// waited ends a wait.
func (p *program) waited(code int, r *operate.Release) error {
	if p.isJSON() && r != nil {
		if err := p.json(newStatus(r)); err != nil {
			return err
		}
	}
	if code == exitDone {
		return nil
	}
	return &failure{code: code}
}
