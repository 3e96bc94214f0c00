package main

import (
	"strconv"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Units of Grafana.
const (
	perSecond = "reqps"
	events    = "ops"
	percent   = "percent"     // 0 to 100
	share     = "percentunit" // 0 to 1
	duration  = "s"
	count     = "short"
)

// Colours of Grafana.
const (
	green  = "green"
	yellow = "yellow"
	red    = "red"
	blue   = "blue"
	orange = "orange"
	purple = "purple"
	grey   = "text"
)

const (
	height     = 8
	statHeight = 4
	full       = 24 // columns
)

// curve adds lines over time, from zero.
func (b *board) curve(title, description, unit string, width uint32, queries ...query) *timeseries.PanelBuilder {
	return b.lines(title, description, unit, width, queries...).Min(0)
}

// lines adds lines over time, which may be below zero.
func (b *board) lines(title, description, unit string, width uint32, queries ...query) *timeseries.PanelBuilder {
	p := timeseries.NewPanelBuilder().Title(title).Description(description).Datasource(source).Unit(unit).
		Span(width).Height(height).LineWidth(1).FillOpacity(5).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending))
	for i, q := range queries {
		p.WithTarget(q.over(i))
	}
	return p
}

// steps adds lines that jump.
func (b *board) steps(title, description, unit string, width uint32, queries ...query) *timeseries.PanelBuilder {
	return b.curve(title, description, unit, width, queries...).LineInterpolation(common.LineInterpolationStepAfter)
}

// dashed draws the lines whose legend matches as thresholds are drawn.
func dashed(p *timeseries.PanelBuilder, pattern string) *timeseries.PanelBuilder {
	return p.OverrideByRegexp(pattern, []dashboard.DynamicConfigValue{
		{Id: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{8, 8}}},
		{Id: "custom.fillOpacity", Value: 0},
	})
}

// figure is one value, as it is now.
func (b *board) figure(title, description, unit string, q query) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(description).Datasource(source).Unit(unit).
		Span(full / 6).Height(statHeight).GraphMode(common.BigValueGraphModeNone).
		Orientation(common.VizOrientationAuto).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})).
		ColorScheme(fixed(grey)).WithTarget(q.now(0))
}

func fixed(color string) *dashboard.FieldColorBuilder {
	return dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdFixed).FixedColor(color)
}

// state is what a number of a timeline stands for.
type state struct{ text, color string }

// timeline shows by colours how something was; the values of the queries number the states.
func (b *board) timeline(
	title, description string, width uint32, states []state, queries ...query,
) *statetimeline.PanelBuilder {
	p := statetimeline.NewPanelBuilder().Title(title).Description(description).Datasource(source).
		Span(width).Height(height).Mappings(mapped(states)).MergeValues(true).RowHeight(0.8).FillOpacity(70).
		ShowValue(common.VisibilityModeAuto).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).ShowLegend(false))
	for i, q := range queries {
		p.WithTarget(q.over(i))
	}
	return p
}

func mapped(states []state) []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for i, s := range states {
		options[strconv.Itoa(i)] = dashboard.ValueMappingResult{Text: &s.text, Color: &s.color, Index: cog.ToPtr(int32(i))}
	}
	values := dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}
	return []dashboard.ValueMapping{{ValueMap: &values}}
}
