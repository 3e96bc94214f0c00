package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/explain"
)

func (p *program) explainCommand() *cobra.Command {
	var q explain.Request
	var admin, service string
	var percents []string
	cmd := &cobra.Command{
		Use:   "explain <policy.json> | explain --admin <url> --service <service>",
		Short: "Says what version a request would get, and why",
		Long: "Says what version a request would get, and why: by a policy that is not in force yet, or by a Caddy that\n" +
			"runs, with its rollout and kill switch. Keys that a policy fetches from a URL are known to the Caddy alone.",
		Example: "  gray explain policy.json --header 'X-App-Version: beta'\n" +
			"  gray explain policy.json --cookie uid=u-1027 --ip 192.0.2.7 --host shop.example.com --path '/cart?a=1'\n" +
			"  gray explain policy.json --percent ramp=5 --cookie uid=u-1027\n" +
			"  gray explain --admin http://127.0.0.1:2019 --service shop --cookie uid=u-1027",
		Args: func(cmd *cobra.Command, args []string) error { return cobra.ExactArgs(count(admin == ""))(cmd, args) },
	}
	q.AddFlags(cmd.Flags())
	cmd.Flags().StringVar(&admin, "admin", "", "The URL of a running Caddy's admin API")
	cmd.Flags().StringVar(&service, "service", "", "The service, at a running Caddy")
	cmd.MarkFlagsRequiredTogether("admin", "service")
	cmd.Flags().StringArrayVar(&percents, "percent", nil, "A rule's percentage in place of the policy's, as rule=percent")
	cmd.MarkFlagsMutuallyExclusive("admin", "percent")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		caller, err := q.Caller()
		if err != nil {
			return usage("%w", err)
		}
		var x *core.Explanation
		if admin != "" {
			x, err = askGateway(cmd.Context(), admin, service, &q)
		} else {
			var e *core.Engine
			if e, err = p.loadPolicy(args[0]); err == nil {
				e, err = withPercents(e, percents)
			}
			if err == nil {
				x = core.Explain(e, caller)
			}
		}
		if err != nil {
			return err
		}
		if p.isJSON() {
			return p.json(x)
		}
		p.showExplanation(x)
		return nil
	}
	return cmd
}

// askGateway asks the admin API of a Caddy that runs.
func askGateway(ctx context.Context, admin, service string, q *explain.Request) (*core.Explanation, error) {
	const most = 1 << 20
	base, err := url.Parse(admin)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, usage("--admin: %s is not a URL (as in http://127.0.0.1:2019)", problem.Quote(admin))
	}
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	at := strings.TrimSuffix(admin, "/") + "/gray/" + url.PathEscape(service) + "/explain"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return nil, usage("--admin: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		return nil, away(fmt.Errorf("the admin API cannot be asked: %w", err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return nil, away(fmt.Errorf("the admin API cannot be asked: %w", err))
	}
	if response.StatusCode != http.StatusOK {
		return nil, away(fmt.Errorf("the admin API says %s: %s", response.Status, errorText(text)))
	}
	var x core.Explanation
	if err := json.Unmarshal(text, &x); err != nil {
		return nil, away(fmt.Errorf("%s is not the admin API of a Caddy with gray: %w", admin, err))
	}
	return &x, nil
}

// errorText returns what a Caddy says is wrong.
func errorText(body []byte) string {
	var answer struct{ Error string }
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		return printable(answer.Error)
	}
	return problem.Quote(string(body))
}

func (p *program) showExplanation(x *core.Explanation) {
	t := newTable(p.out)
	t.row("version", p.paint(printable(x.Version), color.Bold))
	t.row("reason", printable(x.Reason))
	caller := "without an identity"
	if x.IdentitySource != "" {
		caller = problem.Quote(x.Identity) + " by " + x.IdentitySource
	}
	t.row("caller", caller)
	if x.Claims != "" {
		t.row("token", printable(x.Claims))
	}
	for i, r := range x.Rules {
		label := ""
		if i == 0 {
			label = "rules"
		}
		t.row(label, printable(r.Rule)+": "+traceText(r))
	}
	_ = t.Flush()
}

// traceText says what one rule said of the caller.
func traceText(r core.RuleTrace) string {
	switch {
	case r.Failed != "":
		return "no, `" + printable(r.Failed) + "` does not hold"
	case r.Withdrawn:
		return "it would, but its version was taken back"
	case r.Matched:
		return "yes" + bucketText(r.Bucket)
	}
	return "no" + bucketText(r.Bucket)
}

func bucketText(b *core.BucketTrace) string {
	if b == nil {
		return ""
	}
	if b.Percent == 0 && len(b.Ranges) == 0 {
		return ", it takes nobody (0 %)"
	}
	if b.Position == "" {
		return ", the caller has no identity"
	}
	at := ", the caller is at " + positionText(b.Position)
	if len(b.Ranges) == 0 {
		return at + ", and it takes those under " + percentText(b.Percent)
	}
	var ranges []string
	for _, r := range b.Ranges {
		ranges = append(ranges, fmt.Sprintf("%s from %s to %s", r.Version, positionText(r.From), positionText(r.To)))
	}
	return at + "; " + strings.Join(ranges, ", ")
}

// positionText returns a position between 0 and 2^64 in percent.
func positionText(position string) string {
	n, ok := new(big.Float).SetString(position)
	if !ok {
		return position
	}
	percent, _ := new(big.Float).Quo(n.Mul(n, big.NewFloat(100)), new(big.Float).SetMantExp(big.NewFloat(1), 64)).Float64()
	return strconv.FormatFloat(percent, 'f', 3, 64) + " %"
}
