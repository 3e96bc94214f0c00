package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDashboardsAreCurrent(t *testing.T) {
	for name, b := range boards() {
		want, err := b.json()
		require.NoError(t, err, name)
		got, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		assert.Equal(t, string(want), string(got), "%s: run `go generate ./grafana` in e2e", name)
	}
	committed, err := filepath.Glob(filepath.Join(folder, "*.json"))
	require.NoError(t, err)
	assert.Len(t, committed, len(boards()), "dashboards that nothing makes")
}

// read is a committed dashboard, of whose fields Grafana's kit must know each.
func read(t *testing.T, name string) *classic {
	t.Helper()
	plugins.RegisterDefaultPlugins()
	text, err := os.ReadFile(filepath.Join(folder, name))
	require.NoError(t, err)
	if err := new(classic).UnmarshalJSONStrict(text); err != nil { // perhaps a list of no errors
		require.Empty(t, err.Error(), name)
	}
	d := &classic{}
	require.NoError(t, json.Unmarshal(text, d), name)
	require.NoError(t, d.Validate(), name)
	return d
}

var (
	fixedRange = regexp.MustCompile(`\[[0-9]+[a-z]`)
	selected   = regexp.MustCompile(`[a-z_]*gray_[a-z_]+\{([^}]*)\}`)
	metricName = regexp.MustCompile(`gray_[a-z_]+`)
)

// What people expect of a dashboard that they import.
func TestDashboardsAreWellFormed(t *testing.T) {
	for name := range boards() {
		t.Run(name, func(t *testing.T) {
			d := read(t, name)
			assert.Nil(t, d.Id, "an id is of one Grafana only")
			require.NotNil(t, d.Uid)
			assert.Len(t, d.Templating.List, 3)
			titles := map[string]bool{}
			row, numbers, taken := "", map[uint32]bool{}, map[[2]uint32]string{}
			for _, p := range d.Panels {
				if p.RowPanel != nil {
					row = *p.RowPanel.Title
					assert.Empty(t, p.RowPanel.Panels)
					take(t, taken, p.RowPanel.GridPos, row)
					numbers[p.RowPanel.Id] = true
					continue
				}
				title := *p.Panel.Title
				assert.False(t, titles[row+title], "two panels %q in the row %q", title, row)
				titles[row+title] = true
				take(t, taken, p.Panel.GridPos, title)
				require.NotNil(t, p.Panel.Id, title)
				numbers[*p.Panel.Id] = true
				assert.NotEmpty(t, *p.Panel.Description, title)
				checkTargets(t, p.Panel)
			}
			assert.Len(t, numbers, len(d.Panels), "each panel has a number of its own")
			assert.GreaterOrEqual(t, len(titles), 15)
			assert.Len(t, d.Annotations.List, 2)
		})
	}
}

// take takes a panel's place on the grid, which nothing else may have.
func take(t *testing.T, taken map[[2]uint32]string, at *dashboard.GridPos, title string) {
	t.Helper()
	require.NotNil(t, at, title)
	assert.LessOrEqual(t, at.X+at.W, uint32(full), title)
	for x := at.X; x < at.X+at.W; x++ {
		for y := at.Y; y < at.Y+at.H; y++ {
			assert.Empty(t, taken[[2]uint32{x, y}], "%s covers another panel", title)
			taken[[2]uint32{x, y}] = title
		}
	}
}

func checkTargets(t *testing.T, p *dashboard.Panel) {
	t.Helper()
	require.NotEmpty(t, p.Targets, *p.Title)
	letters := map[string]bool{}
	for _, target := range p.Targets {
		q, isQuery := target.(prometheus.Dataquery)
		if !isQuery {
			q = *target.(*prometheus.Dataquery)
		}
		assert.False(t, letters[*q.RefId], "%s: two queries %s", *p.Title, *q.RefId)
		letters[*q.RefId] = true
		assert.Equal(t, *source.Uid, *q.Datasource.Uid, *p.Title)
		assert.NotRegexp(t, fixedRange, q.Expr, "%s: want [$__rate_interval], which fits the scrapes", *p.Title)
		assert.True(t, *q.LegendFormat != "" || *p.Title == "Policies in force", *p.Title)
		all := selected.FindAllStringSubmatch(q.Expr, -1)
		assert.Len(t, metricName.FindAllString(q.Expr, -1), len(all), "%s: a metric without matchers", *p.Title)
		for _, m := range all {
			assert.Regexp(t, `service="\$service"|^instance=~"\$instance"`, m[1], *p.Title)
		}
	}
}

// The variables are those that the queries use.
func TestVariables(t *testing.T) {
	for name := range boards() {
		text, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		var d struct {
			Templating struct{ List []struct{ Name string } }
		}
		require.NoError(t, json.Unmarshal(text, &d))
		known := map[string]bool{"__rate_interval": true}
		for _, v := range d.Templating.List {
			known[v.Name] = true
		}
		for _, m := range regexp.MustCompile(`\$\{?([a-z_]+)`).FindAllStringSubmatch(string(text), -1) {
			assert.True(t, known[m[1]], "%s: $%s", name, m[1])
		}
	}
}
