package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/grayrelease/gray/core/problem"
	"github.com/grayrelease/gray/internal/accesslog"
)

// logReader reads one access log after the other.
type logReader struct {
	program *program
	readers []*logStats // one for each that reads
}

// logStats is what was read, for people.
type logStats struct {
	Lines    int64            `json:"lines"`
	Requests int64            `json:"requests"`
	Formats  map[string]int64 `json:"formats"`
	First    time.Time        `json:"first,omitzero"`
	Last     time.Time        `json:"last,omitzero"`
	// Skipped are lines that are no requests, by the reason.
	Skipped []*skipped `json:"skipped,omitempty"`

	formats [4]int64
	log     int // the number of the file
}

// skipped are lines that could not be read as requests.
type skipped struct {
	Reason  string `json:"reason"`
	Lines   int64  `json:"lines"`
	Example string `json:"example,omitempty"` // the first one's beginning

	spot spot
}

// spot is where a line is.
type spot struct {
	log    int
	offset int64
}

func (p spot) compare(other spot) int {
	return cmp.Or(cmp.Compare(p.log, other.log), cmp.Compare(p.offset, other.offset))
}

// readLogs reads access logs, "-" being the standard input, and hands the requests to functions
// that newTaker makes: one for each goroutine that reads. Records are valid during the call.
func (p *program) readLogs(
	ctx context.Context, paths []string, newTaker func() func(*accesslog.Record, spot),
) (*logStats, error) {
	r := &logReader{program: p}
	for i, path := range paths {
		if err := r.read(ctx, i, path, newTaker); err != nil {
			if ctx.Err() != nil {
				return nil, &failure{code: exitNot, err: errors.New("interrupted")}
			}
			return nil, away(fmt.Errorf("%s cannot be read: %w", path, err))
		}
	}
	total := &logStats{Formats: map[string]int64{}}
	for _, s := range r.readers {
		total.merge(s)
	}
	for format, n := range total.formats {
		if n > 0 {
			total.Formats[accesslog.Format(format).String()] = n
		}
	}
	slices.SortFunc(total.Skipped, func(a, b *skipped) int {
		return cmp.Or(cmp.Compare(b.Lines, a.Lines), cmp.Compare(a.Reason, b.Reason))
	})
	return total, nil
}

func (r *logReader) read(
	ctx context.Context, number int, path string, newTaker func() func(*accesslog.Record, spot),
) error {
	var log io.Reader = r.program.in
	size := int64(-1)
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			size = info.Size()
		}
		log = file
	}
	if !r.program.isJSON() && r.program.isTerminal(r.program.err) {
		bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(r.program.err),
			progressbar.OptionSetDescription(path), progressbar.OptionShowBytes(true), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		defer func() { _ = bar.Finish() }()
		log = io.TeeReader(log, bar)
	}
	return accesslog.Scan(ctx, log, func() accesslog.Reader {
		s := &logStats{log: number}
		r.readers = append(r.readers, s)
		return s.reader(newTaker())
	})
}

// reader returns what takes lines.
func (s *logStats) reader(take func(*accesslog.Record, spot)) accesslog.Reader {
	var parser accesslog.Parser
	return func(line accesslog.Line) {
		s.Lines++
		at := spot{s.log, line.Offset}
		if line.IsTooLong {
			s.skip(accesslog.ErrTooLong, nil, at)
			return
		}
		record, err := parser.Parse(line.Text)
		if err != nil {
			s.skip(err, line.Text, at)
			return
		}
		s.Requests++
		s.formats[record.Format]++
		if t := record.Time; !t.IsZero() {
			if s.First.IsZero() || t.Before(s.First) {
				s.First = t
			}
			if t.After(s.Last) {
				s.Last = t
			}
		}
		take(record, at)
	}
}

func (s *logStats) skip(reason error, line []byte, at spot) {
	for _, known := range s.Skipped {
		if known.Reason == reason.Error() {
			known.Lines++
			return
		}
	}
	const most = 100
	example := string(line[:min(len(line), most)])
	s.Skipped = append(s.Skipped, &skipped{Reason: reason.Error(), Lines: 1, Example: example, spot: at})
}

func (s *logStats) merge(other *logStats) {
	s.Lines += other.Lines
	s.Requests += other.Requests
	for i, n := range other.formats {
		s.formats[i] += n
	}
	if s.First.IsZero() || !other.First.IsZero() && other.First.Before(s.First) {
		s.First = other.First
	}
	if other.Last.After(s.Last) {
		s.Last = other.Last
	}
	for _, more := range other.Skipped {
		i := slices.IndexFunc(s.Skipped, func(known *skipped) bool { return known.Reason == more.Reason })
		if i < 0 {
			c := *more
			s.Skipped = append(s.Skipped, &c)
			continue
		}
		known := s.Skipped[i]
		known.Lines += more.Lines
		if more.spot.compare(known.spot) < 0 {
			known.Example, known.spot = more.Example, more.spot
		}
	}
}

// show prints what was read.
func (s *logStats) show(p *program) {
	var formats []string
	for name := range s.Formats {
		formats = append(formats, name)
	}
	slices.Sort(formats)
	text := fmt.Sprintf("%s requests", thousands(s.Requests))
	if len(formats) > 0 {
		text += " (" + strings.Join(formats, ", ") + ")"
	}
	if !s.First.IsZero() {
		text += fmt.Sprintf(", %s to %s", clockText(s.First), clockText(s.Last))
	}
	p.line("%s", text)
}

// showSkipped says which lines were no requests.
func (s *logStats) showSkipped(p *program) {
	if left := s.Lines - s.Requests; left > 0 {
		p.line("")
		p.line("%s of %s lines could not be used:", thousands(left), thousands(s.Lines))
		t := newTable(p.out)
		for _, some := range s.Skipped {
			example := ""
			if some.Example != "" {
				example = "such as " + problem.Quote(some.Example)
			}
			t.row("  "+thousands(some.Lines), some.Reason, example)
		}
		_ = t.Flush()
	}
}

// thousands writes a number with commas.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
