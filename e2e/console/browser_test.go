package console

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// browser is a page in a real Chromium. The test fails if the page logs an error, or asks another
// origin for anything.
type browser struct {
	t      *testing.T
	ctx    context.Context
	origin string

	mu     sync.Mutex
	errors []string
	others []string
	// expected are parts of errors that the test provokes.
	expected []string
}

// chromium is the path of the browser. The test is skipped where there is none, but not in CI.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("this machine has no chromium")
	}
	t.Skip("this machine has no chromium")
	return ""
}

// open starts a browser of a language and opens a page.
func open(t *testing.T, url, language string) *browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.WindowSize(1200, 900),
		chromedp.Flag("lang", language),
		chromedp.Flag("accept-lang", language),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.UserDataDir(t.TempDir()),
	)
	allocated, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx, origin: originOf(url)}
	chromedp.ListenTarget(ctx, b.heard)
	t.Cleanup(b.check)
	b.run(log.Enable(), network.Enable(), runtime.Enable(),
		emulation.SetLocaleOverride().WithLocale(strings.ReplaceAll(language, "-", "_")), chromedp.Navigate(url))
	return b
}

func originOf(url string) string { return strings.Join(strings.SplitN(url, "/", 4)[:3], "/") }

// heard notes errors, and requests to other origins.
func (b *browser) heard(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.errors = append(b.errors, e.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			text := ""
			for _, arg := range e.Args {
				text += string(arg.Value) + " " + arg.Description
			}
			b.errors = append(b.errors, text)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			b.errors = append(b.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if url := e.Request.URL; originOf(url) != b.origin && !strings.HasPrefix(url, "data:") {
			b.others = append(b.others, url)
		}
	}
}

// expect allows errors with a text in them.
func (b *browser) expect(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, text)
}

func (b *browser) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.errors {
		isExpected := false
		for _, part := range b.expected {
			isExpected = isExpected || strings.Contains(text, part)
		}
		assert.True(b.t, isExpected, "the page says %s", text)
	}
	assert.Empty(b.t, b.others, "requests to other origins")
}

func (b *browser) run(actions ...chromedp.Action) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Run(b.ctx, actions...))
}

// eval returns what an expression gives.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	var value T
	b.run(chromedp.Evaluate(expression, &value, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
	return value
}

// await waits until an expression is true.
func (b *browser) await(expression string) {
	b.t.Helper()
	err := chromedp.Run(b.ctx, chromedp.Poll(expression, nil, chromedp.WithPollingTimeout(60*time.Second),
		chromedp.WithPollingInterval(50*time.Millisecond)))
	if err != nil {
		b.t.Fatalf("%s: %v; the page shows:\n%s", expression, err, eval[string](b, "document.body.innerText"))
	}
}

// awaitText waits until the page shows a text.
func (b *browser) awaitText(text string) {
	b.t.Helper()
	b.await("document.body.innerText.includes(" + quoted(text) + ")")
}

// picture takes a screenshot of the whole page.
func (b *browser) picture(path string) {
	b.t.Helper()
	var png []byte
	b.run(chromedp.FullScreenshot(&png, 100))
	require.NoError(b.t, os.WriteFile(path, png, 0o600))
}
