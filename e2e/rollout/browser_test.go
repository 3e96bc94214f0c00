package rollout

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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

	"github.com/grayrelease/gray/e2e/servers"
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
	// asksOthers says that requests to other origins are what is tested.
	asksOthers bool
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

// openPage starts a browser of a language and opens a page.
func openPage(t *testing.T, url, language string) *browser {
	t.Helper()
	profile, err := os.MkdirTemp("", "gray-browser-") //nolint:usetesting // it is removed when the browser has ended
	require.NoError(t, err)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium(t)),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.WindowSize(1200, 1500),
		chromedp.Flag("lang", language),
		chromedp.Flag("accept-lang", language),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.UserDataDir(profile),
	)
	allocated, endBrowser := chromedp.NewExecAllocator(context.Background(), options...)
	tab, endTab := chromedp.NewContext(allocated, chromedp.WithErrorf(func(string, ...any) {}))
	ctx, cancel := context.WithTimeout(tab, 3*time.Minute)
	t.Cleanup(func() {
		cancel()
		endTab()
		endBrowser()
		if c := chromedp.FromContext(tab); c.Allocator != nil {
			c.Allocator.Wait()
		}
		assert.Eventually(t, func() bool { return os.RemoveAll(profile) == nil }, 10*time.Second, 50*time.Millisecond,
			"no process of the browser writes to its profile any more")
	})
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

func (b *browser) allowOthers() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asksOthers = true
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
	if !b.asksOthers {
		assert.Empty(b.t, b.others, "requests to other origins")
	}
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

// quoted is a text as a JavaScript string.
func quoted(text string) string {
	data, _ := json.Marshal(text)
	return string(data)
}

// awaitNoText waits until the page does not show a text any more.
func (b *browser) awaitNoText(text string) {
	b.t.Helper()
	b.await("!document.body.innerText.includes(" + quoted(text) + ")")
}

// press presses keys, as in "\t" or "\r".
func (b *browser) press(keys string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys))
}

// tabTo presses the tab key until the focus is on the element with that key.
func (b *browser) tabTo(key string) {
	b.t.Helper()
	for range 80 {
		b.press("\t")
		if eval[string](b, `document.activeElement.dataset.key ?? ""`) == key {
			return
		}
	}
	b.t.Fatalf("the tab key does not lead to %s", key)
}

// click clicks the button with that key.
func (b *browser) click(key string) {
	b.t.Helper()
	b.run(chromedp.Click("[data-key="+quoted(key)+"]", chromedp.ByQuery))
}

// confirm clicks the button with that key, and confirms what the dialog asks.
func (b *browser) confirm(key string) {
	b.t.Helper()
	b.awaitNoDialog()
	b.click(key)
	b.run(chromedp.Click("[data-key=confirm]", chromedp.ByQuery))
	b.awaitNoDialog()
}

// awaitNoDialog waits until no dialog is open.
func (b *browser) awaitNoDialog() {
	b.t.Helper()
	b.await(`!document.querySelector("dialog").open`)
}

// axe finds what people with disabilities stumble over, and fails for what is serious.
func (b *browser) axe(what string) {
	b.t.Helper()
	script, err := os.ReadFile(filepath.Join(servers.Path(b.t, "axe"), "node_modules", "axe-core", "axe.min.js"))
	require.NoError(b.t, err)
	b.run(chromedp.Evaluate(string(script), nil))
	found := eval[[]struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML string }
	}](b, `axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}).
		then((r) => r.violations)`)
	for _, v := range found {
		if v.Impact == "serious" || v.Impact == "critical" {
			html := v.Nodes[0].HTML
			assert.Fail(b.t, what, "%s (%s): %s: %s", v.ID, v.Impact, v.Help, html)
		} else {
			b.t.Logf("%s: %s (%s): %s", what, v.ID, v.Impact, v.Help)
		}
	}
}

// fill puts a text into a field.
func (b *browser) fill(field, text string) {
	b.t.Helper()
	eval[any](b, "document.querySelector("+quoted(field)+").value = "+quoted(text))
}

// pictureOf takes a screenshot of what the window shows.
func (b *browser) pictureOf(path string) chromedp.Action {
	return chromedp.ActionFunc(func(ctx context.Context) error {
		var png []byte
		if err := chromedp.CaptureScreenshot(&png).Do(ctx); err != nil {
			return err
		}
		return os.WriteFile(path, png, 0o600)
	})
}
