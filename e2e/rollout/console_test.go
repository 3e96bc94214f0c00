package rollout

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/grayrelease/gray/core"
	"github.com/grayrelease/gray/core/live"
	"github.com/grayrelease/gray/e2e/backends"
	"github.com/grayrelease/gray/e2e/caddy"
	"github.com/grayrelease/gray/e2e/servers"
)

var pictures = flag.Bool("pictures", false, "renew the pictures in docs/images")

// keep takes a picture for the documentation, or for nobody.
func (b *browser) keep(name string) {
	b.t.Helper()
	folder := b.t.TempDir()
	if *pictures {
		folder = filepath.Join("..", "..", "docs", "images")
		require.NoError(b.t, os.MkdirAll(folder, 0o755))
	}
	b.run(chromedp.Evaluate("scrollTo(0, 0)", nil), b.pictureOf(filepath.Join(folder, name)))
}

const dark = "dark"

// scheme has the page be dark, or light.
func (b *browser) scheme(name string) {
	b.t.Helper()
	feature := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: name}
	b.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{feature}))
}

// phase is what the heading of a service's page says.
func (b *browser) awaitPhase(word string) {
	b.t.Helper()
	b.await(`document.querySelector("h1 .badge")?.textContent === ` + quoted(word))
}

// A controller and a Caddy, a canary that turns bad while people look, and is rolled back before
// their eyes.
func TestConsoleShowsARollback(t *testing.T) {
	t.Parallel()
	b := backends.File(t)
	s := newService(t)
	for _, u := range []*upstream{s.v1, s.v2} {
		u.mode.Store(&mode{took: 3 * time.Millisecond, errors: 0.01})
	}
	b.Put("shop", s.policy(`"5% for 2s min 20", "25% for 1h", "100% for 1h"`, `"errors", "latency p90 < 2s pause"`))
	g := start(t, b.URL("shop"), t.TempDir(), "")
	c := serve(t, fmt.Sprintf("services: [{service: shop, source: %q, gateways: [%q]}]", b.URL("shop"), g.Admin()))
	startLoad(t, 200, g)

	list := openPage(t, c.url, "en-US")
	list.awaitText("25 %")
	list.awaitText("Gateways: 1 follow")
	list.axe("the list")

	page := openPage(t, c.url+"/#/shop", "en-US")
	page.awaitPhase("running")
	page.await(`document.querySelectorAll("figure").length >= 8`)
	page.await(`document.querySelector("#section-guards").innerText.includes("good")`)
	page.run(chromedp.Sleep(7 * time.Second)) // so that the picture shows some figures
	page.axe("a running rollout")
	page.keep("console-running.png")
	page.scheme(dark)
	page.axe("in the dark")
	page.scheme("light")
	assert.Contains(t, eval[string](page, `document.querySelector("#section-gateways").innerText`), "up to date")
	assert.Contains(t, eval[string](page, `document.querySelector("#section-instances").innerText`), "up")

	bad := time.Now()
	s.v2.mode.Store(&mode{errors: 0.5})
	page.awaitPhase("rolled back")
	t.Logf("the page shows the rollback %v after the version turned bad", time.Since(bad).Round(time.Millisecond))
	list.await(`document.querySelector(".list .badge").textContent === "rolled back"`)
	page.awaitText("guard errors")
	page.await(`document.querySelector("#section-charts [role=img]").getAttribute("aria-label").includes("canary")`)
	page.run(chromedp.Sleep(4 * time.Second))
	page.axe("after the rollback")
	page.keep("console-rolled-back.png")
	list.keep("console-list.png")
	assert.Contains(t, eval[string](page, `document.querySelector("#section-history").innerText`), "rolled back")
	assert.Contains(t, eval[string](page, "document.title"), "rolled back")
}

// People who use no mouse approve a step, with a reason; what is stale by then is refused.
func TestConsoleByKeyboard(t *testing.T) {
	t.Parallel()
	b := backends.File(t)
	s := newService(t)
	b.Put("shop", s.policy(`"5% until approved", "50% until approved", "100% for 1h"`, ""))
	c := serve(t, fmt.Sprintf("services: [{service: shop, source: %q}]", b.URL("shop")))
	c.await("the approval", func(r *live.RolloutStatus) bool { return r.Phase == core.PhaseWaiting && r.Step == 1 })
	page := openPage(t, c.url, "en-US")
	page.awaitText("waits for approval")
	page.tabTo("to")
	page.press("\r")
	page.awaitPhase("waiting")
	page.tabTo("approve")
	page.press("\r")
	page.await(`document.activeElement.name === "reason"`)
	page.axe("the dialog")
	page.press("looks good\tann\t\r")
	page.await(`!document.querySelector("dialog").open`)
	r := c.await("the second step", func(r *live.RolloutStatus) bool { return r.Step == 2 && r.NeedsApproval })
	approved := r.History[len(r.History)-3]
	assert.Equal(t, "ann (API)", approved.By)
	assert.Equal(t, "approved step 1 of 3 (5 %): looks good", approved.Reason)

	page.await(`document.querySelector(".timeline .current").innerText.startsWith("50%")`)
	page.tabTo("approve")
	page.press("\r")
	page.await(`document.querySelector("dialog").open`)
	require.Equal(t, 200, post(t, c.url+"/gray/v1/shop/pause", `{"reason": "lunch"}`))
	page.expect("409")
	page.press("\r")
	page.awaitText("This has changed meanwhile")
	assert.Equal(t, core.PhasePaused, c.state().Phase)
	page.press("\x1b")
	page.awaitPhase("paused")

	// A rollback of the same attempt is not refused, whatever has happened since: two clicks.
	page.click("rollback")
	page.await(`document.querySelector("dialog").open`)
	require.Equal(t, 200, post(t, c.url+"/gray/v1/shop/resume", ""))
	page.run(chromedp.Click("[data-key=confirm]", chromedp.ByQuery))
	page.awaitPhase("rolled back")
	page.confirm("throw")
	page.awaitText("Every request goes to v1 (epoch 1)")
	page.confirm("end")
	page.awaitText("It is not in force (epoch 2)")
}

func post(t *testing.T, url, body string) int {
	t.Helper()
	res, err := client.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	res.Body.Close()
	return res.StatusCode
}

// Without a token the page is for looking only; with one, what is done has its name.
func TestConsoleReadOnly(t *testing.T) {
	t.Parallel()
	b := backends.File(t)
	b.Put("shop", newService(t).policy(`"5% for 1h", "100% for 1h"`, `"errors"`))
	secret := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(secret, []byte("0123456789abcdef"), 0o600))
	tokens := fmt.Sprintf("tokens: [{role: operate, name: ann, file: %q}]\nservices: [{service: shop, source: %q}]\n",
		secret, b.URL("shop"))
	open, private := serve(t, "anonymous: view\n"+tokens), serve(t, "name: other\n"+tokens)

	page := openPage(t, open.url+"/#/shop", "en-US")
	page.awaitPhase("running")
	page.awaitText("read-only")
	assert.Empty(t, eval[[]string](page, `[...document.querySelectorAll("main button")].map((b) => b.textContent).
		filter((text) => text !== "Explain")`))
	assert.Equal(t, http.StatusForbidden, post(t, open.url+"/gray/v1/shop/rollback", "{}"))
	page.run(chromedp.Click("#account button", chromedp.ByQuery))
	page.run(chromedp.SendKeys("#field-token", "wrong-token-wrong\r", chromedp.ByQuery))
	page.awaitText("This token is not accepted")
	eval[any](page, `document.querySelector("#field-token").value = null`)
	page.run(chromedp.SendKeys("#field-token", "0123456789abcdef\r", chromedp.ByQuery))
	page.awaitText("signed in as ann")
	page.awaitNoDialog()
	page.click("pause")
	page.run(chromedp.SendKeys("#field-reason", "lunch\r", chromedp.ByQuery))
	page.awaitPhase("paused")
	page.await(`document.querySelector("#section-history td:last-child")?.textContent === "ann"`)

	page = openPage(t, private.url, "en-US")
	page.awaitText("A token is required")
	assert.Equal(t, http.StatusUnauthorized, post(t, private.url+"/gray/v1/shop/rollback", "{}"))
}

// Caddy's own console, under a prefix, on a phone, in Chinese; and the gateway goes, and comes
// back.
func TestConsoleOfCaddy(t *testing.T) {
	t.Parallel()
	s := newService(t)
	ports := servers.FreePorts(t, 2)
	site, console := servers.Host(ports[0]), servers.Host(ports[1])
	cache := t.TempDir()
	config := fmt.Sprintf(`http://%s {
	gray shop {
		stable v1
		version v1 %s
		version v2 %s
		identity header X-User
		rule testers v2 {
			when header X-Beta = 1
		}
		rule ramp v2
		rollout ramp {
			step 5%% for 1h
			step 100%%
			guard errors
		}
		cache %s
	}
	reverse_proxy {
		dynamic gray
	}
}
http://%s {
	handle_path /ops/* {
		gray_console {
			operator {http.request.uri.query.person}
		}
	}
}
`, site, s.v1.server.URL, s.v2.server.URL, cache, console)
	g := caddy.Start(t, site, config)
	startLoad(t, 100, &gateway{t: t, url: "http://" + site})
	page := openPage(t, "http://"+console+"/ops/", "zh-CN")
	page.run(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
	page.awaitText("发布")
	page.awaitText("进行中")
	assert.Equal(t, "zh-Hans", eval[string](page, "document.documentElement.lang"))
	isWide := "document.documentElement.scrollWidth > document.documentElement.clientWidth"
	assert.False(t, eval[bool](page, isWide), "the list is wider than the phone")
	page.axe("the list on a phone")
	page.click("to")
	page.awaitText("护栏")
	page.await(`document.querySelectorAll("figure").length >= 7`)
	assert.False(t, eval[bool](page, isWide), "the page is wider than the phone")
	page.axe("the page on a phone")
	page.keep("console-phone.png")

	page.run(chromedp.SendKeys("#why-headers", "X-Beta: 1", chromedp.ByQuery))
	page.fill("#why-cookies", "uid=<b>x</b>")
	page.run(chromedp.Click("form.why button", chromedp.ByQuery))
	page.awaitText(`rule "testers" matched`)
	page.fill("#why-headers", "X-User: u-1")
	page.run(chromedp.Click("form.why button", chromedp.ByQuery))
	page.awaitText("5 % 的调用方被选中")

	for _, part := range []string{"Failed to load resource", "ERR_CONNECTION", "ERR_INCOMPLETE", "net::"} {
		page.expect(part)
	}
	g.Kill()
	page.awaitText("起失去联系")
	caddy.Start(t, site, config)
	page.awaitNoText("起失去联系")
	page.awaitText("进行中")
}

// Nothing that others have written is more than text, whoever they are.
func TestConsoleShowsText(t *testing.T) {
	t.Parallel()
	const markup = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`
	b := backends.File(t)
	name := `<b>"shop"</b>`
	document := fmt.Sprintf(`{"service": %q, "stable": "v1", "versions": {"v1": {"upstreams": ["127.0.0.1:1"]},
		"v2": {"upstreams": ["127.0.0.1:2"]}}, "lists": {"names": [%q]},
		"rules": [{"name": %q, "version": "v2", "when": ["header X-A = \"<i>a</i>\"", "identity in @names"]},
		{"name": "<u>ramp</u>", "version": "v2"}],
		"rollout": {"rule": "<u>ramp</u>", "steps": ["5%% for 1h", "100%%"], "guard": ["alert a=<s>b</s>", "errors"]}}`,
		name, markup, markup)
	b.Put("shop", document)
	ctl := serve(t, fmt.Sprintf("services: [{service: %q, source: %q, gateways: ['http://127.0.0.1:1/%%3Cb%%3E']}]", name,
		b.URL("shop")))
	list := openPage(t, ctl.url, "en-US")
	list.await(`document.querySelector(".list a")?.textContent === ` + quoted(name))
	list.click("to")
	list.awaitPhase("running")
	at := ctl.url + "/gray/v1/%3Cb%3E%22shop%22%3C%2Fb%3E/"
	body := fmt.Sprintf(`{"reason": %q, "by": %q}`, markup, markup)
	require.Equal(t, 200, post(t, at+"pause", body))
	require.Equal(t, 200, post(t, at+"switch", strings.Replace(body, "{", `{"to": "v1", `, 1)))
	list.awaitText("paused: " + markup)
	list.awaitText("Every request goes to v1")
	b.Put("shop", strings.Replace(document, `"stable": "v1"`, `"stable": "<img src=x onerror=hacked=1>"`, 1))
	list.awaitText("The newest policy is refused")
	b.Put("shop.rollout", `{"epoch": 99, "phase": "<img src=x onerror=hacked=1>"}`)
	list.fill("#why-cookies", "uid="+markup)
	list.fill("#why-headers", "X-A: <i>a</i>")
	list.run(chromedp.Click("form.why button", chromedp.ByQuery))
	list.await(`document.querySelector(".answer").innerText.length > 10`)
	list.run(chromedp.Sleep(3 * time.Second))
	assert.Equal(t, "undefined", eval[string](list, "typeof window.hacked"))
	made := eval[int](list, `document.querySelectorAll("main img, main script, main b, main i, main u, main s").length`)
	assert.Zero(t, made)
}

// A page of another origin moves nothing, and cannot frame the console.
func TestConsoleIsNoTool(t *testing.T) {
	t.Parallel()
	b := backends.File(t)
	b.Put("shop", newService(t).policy(`"5% for 1h", "100% for 1h"`, `"errors"`))
	ctl := serve(t, fmt.Sprintf("services: [{service: shop, source: %q}]", b.URL("shop")))
	ctl.await("the first step", func(r *live.RolloutStatus) bool { return r.Phase == core.PhaseRunning })
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<iframe name=frame src="%[1]s/"></iframe><form method=post enctype="text/plain" target=other
			action="%[1]s/gray/v1/shop/rollback"><input name='{"reason": "' value='"}'></form><iframe name=other></iframe>`,
			ctl.url)
	}))
	t.Cleanup(evil.Close)
	page := openPage(t, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1), "en-US")
	for _, part := range []string{"frame", "Failed to load", "CORS", "rollback", "Mixed", "sandbox", "Permissions"} {
		page.expect(part)
	}
	page.allowOthers()
	eval[any](page, fmt.Sprintf(`(async () => {
		for (const type of ["text/plain", "application/json", "application/x-www-form-urlencoded"])
			for (const mode of ["no-cors", "cors"])
				await fetch(%q, {method: "POST", mode, headers: {"Content-Type": type}, body: "{}",
					credentials: "include"}).catch(() => 0);
		document.forms[0].submit();
		await new Promise((resolve) => setTimeout(resolve, 1000));
		return null;
	})()`, ctl.url+"/gray/v1/shop/rollback"))
	assert.Equal(t, core.PhaseRunning, ctl.state().Phase)
	assert.EqualValues(t, 1, ctl.state().Epoch)
}
