package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

var yesOrNo = []state{{"no", green}, {"yes", red}}

var connected = []state{{"down", red}, {"up", green}}

// caddyBoard is the dashboard of gateways: what Caddy's /metrics has.
func caddyBoard() *board {
	b := newBoard("gray-caddy", "Gray: Caddy",
		"Requests, failures and latency of each version, the release, and the sources of the policies, in Caddy.",
		"caddy_gray_", "policy_info")
	b.annotate()
	b.now()
	b.WithPanel(b.figure("Off", "Gateways in which one version serves everybody: by the kill switch, since the policy is "+
		"not enabled, or since there is no document yet.", count,
		query{"count(" + b.series("policy_info", `enabled="false"`) + ") or 0 * count(" + b.series("policy_info") + ")",
			"gateways"}))
	b.row("Requests, errors and duration by version")
	b.requests()
	b.decisions(full / 4)
	b.responses()
	b.release()
	b.fallbacks()
	b.policies()
	return b
}

// requests adds rate, errors and duration by version.
func (b *board) requests() {
	b.WithPanel(b.curve("Requests", "Responses a second, by the version that served.", perSecond, full/3,
		query{b.rate("version", "responses_total"), "{{version}}"}))
	failed := b.rate("version", "responses_total", `class="5xx"`) + " / " + b.rate("version", "responses_total")
	b.WithPanel(b.curve("Errors", "The share of responses with status 500 and more.", share, full/3,
		query{failed, "{{version}}"}))
	b.WithPanel(b.curve("Duration", "Time to the response's header: the quantiles 50 %, 90 % and 99 %.", duration, full/3,
		b.quantiles("version", "response_latency_seconds")...))
}

// decisions adds what the policy has chosen.
func (b *board) decisions(width uint32) {
	decisions := b.rate("version", "decisions_total") + " / ignoring (version) group_left () sum(rate(" +
		b.series("decisions_total") + "[$__rate_interval]))"
	b.WithPanel(b.curve("Share of decisions", "How many of the requests each version was chosen for.", share, width,
		query{decisions, "{{version}}"}))
	byRule := named(b.rate("version, rule", "decisions_total"), "rule", "no rule")
	b.WithPanel(b.curve("Decisions by rule", "Decisions a second, by the rule that matched.", perSecond, width,
		query{byRule, "{{version}} by {{rule}}"}))
}

// responses adds more of what was served.
func (b *board) responses() {
	b.WithPanel(b.curve("Responses by class", "By the version that served and the class of the status.", perSecond, full/4,
		query{b.rate("version, class", "responses_total") + " > 0", "{{version}} {{class}}"}))
	b.WithPanel(b.curve("Open exchanges", "Requests that are being served, streams and websockets included.", count,
		full/4, query{"sum by (version) (" + b.series("open_exchanges") + ")", "{{version}}"}))
}

// quantiles are those of a histogram, by a label.
func (b *board) quantiles(by, metric string, matchers ...string) []query {
	var all []query
	for _, q := range []struct{ share, name string }{{"0.5", "p50"}, {"0.9", "p90"}, {"0.99", "p99"}} {
		buckets := b.rate("le, "+by, metric+"_bucket", matchers...)
		all = append(all, query{"histogram_quantile(" + q.share + ", " + buckets + ")", "{{" + by + "}} " + q.name})
	}
	return all
}

// fallbacks adds what did not go as decided.
func (b *board) fallbacks() {
	b.row("Fallbacks and tokens")
	b.WithPanel(b.curve("Fallbacks to stable", "Requests for a version that had no usable upstream.", perSecond, full/3,
		query{b.rate("version", "fallbacks_total"), "{{version}}"}))
	b.WithPanel(b.curve("Upstream failures", "Attempts without a response: no connection (unreachable), or nothing came "+
		"back (interrupted).", events, full/3,
		query{b.rate("version, kind", "upstream_failures_total"), "{{version}} {{kind}}"}))
	b.WithPanel(b.tokens(full / 3))
}

// tokens shows how tokens fared.
func (b *board) tokens(width uint32) *timeseries.PanelBuilder {
	return b.curve("Tokens", "How the tokens fared that were looked at for claims. Policies without `jwt` have none.",
		perSecond, width, query{b.rate("result", "tokens_total"), "{{result}}"})
}

// policies adds which policies are in force.
func (b *board) policies() {
	b.row("Policies and sources")
	in := query{b.most("instance, revision, enabled, tokens_verified", "policy_info"), ""}
	b.WithPanel(table.NewPanelBuilder().Title("Policies in force").
		Description("The revision of each gateway. They are the same, but for the moment in which a new one spreads.").
		Datasource(source).Span(full / 2).Height(height).WithTarget(in.now(0).Format("table")).
		Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{})).
		WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]bool{"Time": true, "Value": true},
		}}))
	b.WithPanel(b.curve("Age of the policy", "How long the revision has been in force.", duration, full/2,
		query{"min by (instance) (" + b.series("policy_age_seconds") + ")", "{{instance}}"}))
	b.sources()
}

// sources adds what is known of the places that policies come from.
func (b *board) sources() {
	b.WithPanel(b.timeline("Sources", "Whether the last thing heard of the policy's source was no failure.", full/3,
		connected, query{"min by (instance, source) (" + b.series("source_connected") + ")", "{{instance}} {{source}}"}))
	b.WithPanel(b.timeline("What needs a look", "The newest document was refused; the kill switch is on, or is not at "+
		"the source any more; the registry lists no instance of stable.", full/3, yesOrNo,
		query{b.most("instance", "source_rejected"), "{{instance}} refused"},
		query{b.most("instance", "source_forced"), "{{instance}} switch on"},
		query{b.most("instance", "source_switch_deleted"), "{{instance}} switch deleted"},
		query{b.most("instance", "stable_held"), "{{instance}} stable held"}))
	b.WithPanel(b.steps("Epochs of the kill switch", "The highest that was seen, and that of the document at the source. "+
		"Less than the one seen: the source was restored from a backup.", count, full/3,
		query{b.most("instance", "source_switch_epoch_seen"), "{{instance}} seen"},
		query{b.most("instance", "source_switch_epoch_offered"), "{{instance}} offered"}))
	b.WithPanel(b.steps("Documents", "What came from the source since the start: documents that came into force, what "+
		"was refused, and how often it could not be read.", count, full,
		query{b.most("instance", "source_updates_total"), "{{instance}} updates"},
		query{b.most("instance", "source_rejections_total"), "{{instance}} refused"},
		query{b.most("instance", "source_failures_total"), "{{instance}} failures"}))
}
