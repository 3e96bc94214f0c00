package accesslog

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scan returns the lines of a log in their order, each with its offset.
func scan(t testing.TB, log io.Reader) []string {
	t.Helper()
	var mu sync.Mutex
	found := map[int64]string{}
	err := Scan(context.Background(), log, func() Reader {
		return func(l Line) {
			mu.Lock()
			defer mu.Unlock()
			if known, twice := found[l.Offset]; twice {
				t.Errorf("%d: %q and %q", l.Offset, known, l.Text)
			}
			found[l.Offset] = string(l.Text)
			if l.IsTooLong {
				found[l.Offset] = "too long"
			}
		}
	})
	require.NoError(t, err)
	var offsets []int64
	for at := range found {
		offsets = append(offsets, at)
	}
	slices.Sort(offsets)
	var lines []string
	for _, at := range offsets {
		lines = append(lines, fmt.Sprint(at, " ", found[at]))
	}
	return lines
}

// linesOf is what Scan is to find.
func linesOf(text string) []string {
	var lines []string
	at := 0
	for line := range strings.SplitAfterSeq(text, "\n") {
		if cut := strings.TrimRight(line, "\r\n "); len(cut) > MaxLine {
			lines = append(lines, fmt.Sprint(at, " too long"))
		} else if cut != "" {
			lines = append(lines, fmt.Sprint(at, " ", cut))
		}
		at += len(line)
	}
	return lines
}

func TestScan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var long strings.Builder
	for range 40000 {
		long.WriteString(strings.Repeat("x", random.IntN(200)) + "\n")
	}
	for name, text := range map[string]string{
		"empty":                    "",
		"one without an end":       "a",
		"empty lines":              "\n\na\r\n\nb\n",
		"several blocks":           long.String(),
		"as long as may be":        strings.Repeat("x", MaxLine) + "\nb\n",
		"a line too long":          "a\n" + strings.Repeat("x", MaxLine+1) + "\nb\n",
		"a line of several blocks": "a\n" + strings.Repeat("x", 3*blockSize+7) + "\nb\n" + strings.Repeat("y", 2*blockSize),
		"only a line too long":     strings.Repeat("x", 2*blockSize),
	} {
		want := linesOf(text)
		got := scan(t, strings.NewReader(text))
		require.Equal(t, want, got, name)
		require.Equal(t, want, scan(t, iotest.HalfReader(strings.NewReader(text))), name)
	}
	assert.Equal(t, linesOf("a\nb"), scan(t, iotest.OneByteReader(strings.NewReader("a\nb"))))
}

func TestScanOfGzip(t *testing.T) {
	var compressed bytes.Buffer
	for _, part := range []string{"a\nb", "c\n"} { // as logs that were joined
		z := gzip.NewWriter(&compressed)
		_, err := z.Write([]byte(part))
		require.NoError(t, err)
		require.NoError(t, z.Close())
	}
	assert.Equal(t, linesOf("a\nbc\n"), scan(t, bytes.NewReader(compressed.Bytes())))
	nothing := func() Reader { return func(Line) {} }
	err := Scan(context.Background(), bytes.NewReader(compressed.Bytes()[:10]), nothing)
	require.Error(t, err)
	require.Error(t, Scan(context.Background(), strings.NewReader("\x1f\x8bxxxxxxxxxxxxxxx"), nothing))
}

func TestScanEnds(t *testing.T) {
	broken := errors.New("the disk")
	err := Scan(context.Background(), io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken)), func() Reader {
		return func(Line) {}
	})
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(context.Background())
	endless := &endless{}
	err = Scan(ctx, endless, func() Reader { return func(Line) { cancel() } })
	require.ErrorIs(t, err, context.Canceled)
}

type endless struct{}

func (*endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "abcdefg\n"[i%8]
	}
	return len(p) / 8 * 8, nil
}

// Whatever a log is, each line is found once.
func FuzzScan(f *testing.F) {
	f.Add([]byte("a\nb\n"), uint16(3))
	f.Add([]byte("\n\n"), uint16(60000))
	f.Fuzz(func(t *testing.T, text []byte, times uint16) {
		if bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
			return
		}
		whole := bytes.Repeat(text, min(int(times), (400<<10)/(len(text)+1)))
		require.Equal(t, linesOf(string(whole)), scan(t, bytes.NewReader(whole)))
	})
}
