package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fatih/color"

	"github.com/grayrelease/gray/core"
)

// Formats of the output.
const (
	formatText = "text"
	formatJSON = "json"
)

// now is the time; tests replace it.
var now = func() time.Time { return time.Now().UTC().Round(0) }

// json writes a value for programs.
func (p *program) json(value any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return away(encoder.Encode(value))
}

func (p *program) isJSON() bool { return p.format == formatJSON }

func (p *program) line(format string, args ...any) {
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
}

// paint returns a text in a colour: on a terminal, unless the user wants none.
func (p *program) paint(text string, as ...color.Attribute) string {
	return p.paintOn(p.out, text, as...)
}

// paintError is paint for the standard error.
func (p *program) paintError(text string, as ...color.Attribute) string {
	return p.paintOn(p.err, text, as...)
}

func (p *program) paintOn(stream io.Writer, text string, as ...color.Attribute) string {
	c := color.New(as...)
	if p.isTerminal(stream) && p.env("NO_COLOR") == "" && p.env("TERM") != "dumb" {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(text)
}

// phaseColours are those of phases, as people expect them.
var phaseColours = map[string]color.Attribute{
	core.PhaseWaiting: color.FgYellow, core.PhaseRunning: color.FgCyan, core.PhasePaused: color.FgYellow,
	core.PhaseBaking: color.FgCyan, core.PhaseCompleted: color.FgGreen, core.PhaseRolledBack: color.FgRed,
}

func (p *program) phase(phase string) string {
	if c, known := phaseColours[phase]; known {
		return p.paint(phase, c, color.Bold)
	}
	return phase
}

// table aligns columns. Colours belong in its last column: they have no width.
type table struct{ *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)} }

func (t table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, cell := range cells {
		text[i] = strings.ReplaceAll(fmt.Sprint(cell), "\n", " ")
	}
	_, _ = fmt.Fprintln(t, strings.Join(text, "\t"))
}

func percentText(percent float64) string { return strconv.FormatFloat(percent, 'f', -1, 64) + " %" }

// age returns for how long something has been so, in its two largest units.
func age(since time.Time) string {
	d := max(now().Sub(since), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}

func clockText(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
