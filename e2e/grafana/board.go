package main

import (
	"encoding/json"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// The classic form of dashboards is deprecated in the kit in favour of one that only the newest
// Grafanas import.
type classic = dashboard.Dashboard //nolint:staticcheck // see above

var newClassic = dashboard.NewDashboardBuilder //nolint:staticcheck // see above

// board is a dashboard of one service, whose metrics have one prefix.
type board struct {
	prefix string
	// everything says that series are those of all services, since they do not name one.
	everything bool
	// everywhere says that series are those of all instances, since they are other programs' than
	// the dashboard's.
	everywhere bool
	*dashboard.DashboardBuilder
}

// source is the Prometheus that the user has chosen.
var source = common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}

// newBoard starts a dashboard. Services and instances are those that have a metric.
func newBoard(uid, title, description, prefix, metric string) *board {
	b := &board{prefix: prefix, DashboardBuilder: newClassic(title)}
	b.Uid(uid).Description(description).Tags([]string{"gray"}).Editable().
		Time("now-1h", "now").Refresh("10s").Timezone("browser").Tooltip(dashboard.DashboardCursorSyncCrosshair)
	b.WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Prometheus").Type("prometheus"))
	b.WithVariable(b.variable("service", "Service", "label_values("+prefix+metric+", service)"))
	b.WithVariable(b.variable("instance", "Instance",
		"label_values("+prefix+metric+`{service="$service"}, instance)`).Multi(true).IncludeAll(true).AllValue(".*"))
	b.Link(dashboard.NewDashboardLinkBuilder("Gray").Type(dashboard.DashboardLinkTypeDashboards).
		Tags([]string{"gray"}).KeepTime(true))
	return b
}

func (b *board) variable(name, label, query string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source).
		Query(dashboard.StringOrMap{String: &query}).Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc)
}

// series are those of a metric, of the service and the instances that are chosen, with more
// matchers.
func (b *board) series(metric string, matchers ...string) string {
	var all []string
	if !b.everything {
		all = append(all, `service="$service"`)
	}
	if !b.everywhere {
		all = append(all, `instance=~"$instance"`)
	}
	all = append(all, matchers...)
	return b.prefix + metric + "{" + strings.Join(all, ", ") + "}"
}

// rate is how fast a counter grows, by some labels.
func (b *board) rate(by, metric string, matchers ...string) string {
	return "sum by (" + by + ") (rate(" + b.series(metric, matchers...) + "[$__rate_interval]))"
}

// most is the highest value over what the labels do not tell apart.
func (b *board) most(by, metric string, matchers ...string) string {
	return "max by (" + by + ") (" + b.series(metric, matchers...) + ")"
}

// named gives series without a label a word for it, for legends.
func named(expression, label, word string) string {
	return "label_replace(" + expression + `, "` + label + `", "` + word + `", "` + label + `", "")`
}

// query is one expression of a panel.
type query struct {
	expression, legend string
}

// over is a query over the time that the dashboard shows, the one of that number of its panel.
func (q query) over(number int) *prometheus.DataqueryBuilder { return q.target(number).Range() }

// now is a query of the newest values.
func (q query) now(number int) *prometheus.DataqueryBuilder { return q.target(number).Instant() }

func (q query) target(number int) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Datasource(source).Expr(q.expression).LegendFormat(q.legend).
		RefId(string(rune('A' + number)))
}

// row begins a row of panels.
func (b *board) row(title string) { b.WithRow(dashboard.NewRowBuilder(title)) }

// json is the dashboard as Grafana imports it.
func (b *board) json() ([]byte, error) {
	d, err := b.Build()
	if err != nil {
		return nil, err
	}
	number(d.Panels)
	text, err := json.MarshalIndent(d, "", "  ")
	return append(text, '\n'), err
}

// number gives panels their numbers, by which people link to them.
func number(panels []dashboard.PanelOrRowPanel) {
	for i := range panels {
		id := uint32(i + 1)
		if row := panels[i].RowPanel; row != nil {
			row.Id = id
		} else {
			panels[i].Panel.Id = &id
		}
	}
}
