package audit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

// hostile is what somebody might write into a log.
const hostile = `</script><script>document.title='run'</script><img src=x onerror="document.title='run'">` + "\u202e" + `"'`

// pageDocument is a report with two weeks of a service, a night on which somebody helped himself, and names that attack the page.
func pageDocument() *audit.Document {
	start := time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC)
	r := &audit.Report{}
	open := func(t time.Time, who, record string, outcome audit.Outcome) audit.Event {
		e := audit.Event{Time: t, Source: audit.CloudTrail, Op: kms.OpDecrypt, Outcome: outcome, KeyID: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			Principal: who, Address: "192.0.2.1", Context: kms.Context{"model_name": "User", "model_id": record}}
		if outcome == audit.Failed {
			e.Error = "AccessDenied"
		}
		return e
	}
	d := &audit.Document{Title: "Who opened what", Made: start.AddDate(0, 0, 15), Compared: true, Filters: []string{"since " + hostile}}
	for i := range 3000 {
		r.Add(open(start.Add(time.Duration(i)*7*time.Minute), fmt.Sprintf("arn:aws:sts::111122223333:assumed-role/app/i-%d", i%7), fmt.Sprint(i%900+1), audit.OK))
	}
	for i := range 40 {
		outcome := []audit.Outcome{audit.OK, audit.Failed, audit.Unknown}[i%3]
		e := open(start.AddDate(0, 0, 9).Add(time.Duration(i)*time.Second), "arn:aws:iam::111122223333:user/mallory", fmt.Sprint(5000+i), outcome)
		r.Add(e)
		if e.Opened() {
			d.Unexplained.Add(r.Line(e))
		}
	}
	r.Add(open(start, hostile, hostile, audit.OK))
	r.Add(audit.Event{Time: start.AddDate(0, 0, 9), Op: audit.OpManage, Action: "PutKeyPolicy", Principal: hostile})
	d.Unlogged.Add(r.Line(open(start, hostile, hostile, audit.OK)))
	d.Logs = []audit.LogRead{{Name: hostile, Entries: 3042, Events: 3041, Malformed: 1, Examples: []string{"trail.json:7: not JSON"}}}
	d.Summary = r.Summary()
	return d
}

// browser opens the page in a real one, and fails the test when the page asks for anything, complains, or runs what stands in a log.
func browser(t *testing.T) (ctx context.Context, url string) {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("there is no chromium")
		}
		t.Skip("there is no chromium: install it to see the page tested")
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/report.html" {
			if r.URL.Path != "/favicon.ico" { // which browsers ask for by themselves
				t.Errorf("the page asks for %s", r.URL)
			}
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := pageDocument().WriteHTML(w); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	var seen atomic.Int32
	must(t, chromedp.Do(ctx)) // starts it; its life is that of this ctx
	must(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page's script: %s", e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			t.Errorf("the page writes to the console: %s", e.Type)
		case *cdplog.EventEntryAdded: // what the policy forbids is told here
			if !strings.Contains(e.Entry.URL, "favicon") {
				t.Errorf("the browser complains: %s %s", e.Entry.Text, e.Entry.URL)
			}
		case *network.EventRequestWillBeSent:
			seen.Add(1)
			if u := e.Request.URL; !strings.HasSuffix(u, "/report.html") && !strings.HasSuffix(u, "/favicon.ico") {
				t.Errorf("the page asks for %s", u)
			}
		}
	}))
	t.Cleanup(func() {
		if seen.Load() == 0 {
			t.Error("not even the page itself was asked for: the browser's events are not heard")
		}
	})
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return limited, server.URL + "/report.html"
}

// do carries out actions, with the page open.
func do(t *testing.T, ctx context.Context, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	must(t, chromedp.Do(ctx, actions...))
}

// js returns what an expression is in the page.
func js[T any](t *testing.T, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	must(t, err)
	return v
}

func open(t *testing.T, ctx context.Context, url string, width int64, dark bool) {
	t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media)
	must(t, err)
	do(t, ctx, chromedp.EmulateViewport(width, 900), chromedp.Navigate(url), chromedp.WaitVisible("#search"))
}

const (
	found = `document.getElementById("found").textContent`
	shown = `document.querySelectorAll("#table tbody tr").length`
)

func TestThePageInABrowser(t *testing.T) {
	ctx, url := browser(t)
	open(t, ctx, url, 1280, false)

	if title := js[string](t, ctx, `document.title`); title != "Who opened what" {
		t.Errorf("the title is %q: what stands in the log has run", title)
	}
	if text := js[string](t, ctx, `document.body.innerText`); !strings.Contains(text, `<script>document.title='run'</script>`) || !strings.Contains(text, `\u202e"'`) ||
		strings.Contains(text, "\u202e") {
		t.Error("what stands in the log is not shown as it is")
	}
	if n := js[int](t, ctx, shown); n != 100 {
		t.Errorf("the table begins with %d rows", n)
	}

	do(t, ctx, chromedp.SendKeys("#search", "mallory 50"))
	if text := js[string](t, ctx, found); !strings.HasPrefix(text, "40 of ") || js[int](t, ctx, shown) != 40 {
		t.Errorf("mallory: %s", text)
	}
	do(t, ctx, chromedp.SetValue("#outcome", "failed"), chromedp.Evaluate[chromedp.Void](`document.getElementById("outcome").dispatchEvent(new Event("change"))`))
	if n := js[int](t, ctx, shown); n != 13 {
		t.Errorf("%d of mallory's failed", n)
	}
	do(t, ctx, chromedp.SendKeys("#search", " nobody"))
	if text := js[string](t, ctx, found); !strings.HasPrefix(text, "0 of ") {
		t.Errorf("nobody: %s", text)
	}
}

// TestThePageByKeyboard walks with Tab from the top to the table's tools, sorts and turns pages with Enter.
func TestThePageByKeyboard(t *testing.T) {
	ctx, url := browser(t)
	open(t, ctx, url, 1280, false)
	const focused = `(() => { const e = document.activeElement; return e.id || e.textContent.slice(0, 40); })()`
	tab := func(until string) {
		t.Helper()
		for range 60 {
			do(t, ctx, chromedp.KeyEvent(kb.Tab))
			if js[string](t, ctx, focused) == until {
				if outline := js[string](t, ctx, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
					t.Errorf("%s has the focus, and nothing shows it", until)
				}
				return
			}
		}
		t.Fatalf("Tab does not get to %s", until)
	}
	tab("To the table of accesses")
	tab("search")
	tab("Record")
	do(t, ctx, chromedp.KeyEvent(kb.Enter))
	const first = `document.querySelector("#table tbody tr").cells[1].textContent`
	if record, sorted := js[string](t, ctx, first), js[string](t, ctx, `document.querySelectorAll("#table th[aria-sort]").length + document.querySelector("#table th[aria-sort]").textContent`); sorted != "1Record" || !strings.Contains(record, "User") {
		t.Errorf("sorted by %s, the first is %s", sorted, record)
	}
	up := js[string](t, ctx, first)
	do(t, ctx, chromedp.KeyEvent(kb.Enter))
	if down := js[string](t, ctx, first); down == up || !strings.Contains(down, "User 50") && !strings.Contains(down, "script") {
		t.Errorf("upwards the first is %s, downwards %s", up, down)
	}
	tab("next")
	do(t, ctx, chromedp.KeyEvent(kb.Enter))
	if page := js[string](t, ctx, `document.getElementById("page").textContent`); !strings.HasPrefix(page, "Page 2 of ") {
		t.Errorf("the second page is %s", page)
	}
}

// TestThePageOnAPhoneAndInTheDark measures what shows: no scrolling sideways, and contrasts of at least 4.5 to 1 (WCAG 2.2, 1.4.3).
// ROWSEAL_SCREENSHOTS names a directory for pictures.
func TestThePageOnAPhoneAndInTheDark(t *testing.T) {
	ctx, url := browser(t)
	backgrounds := map[string]bool{}
	for _, look := range []struct {
		name  string
		width int64
		dark  bool
	}{{"desktop", 1280, false}, {"desktop-dark", 1280, true}, {"phone", 390, false}, {"phone-dark", 390, true}} {
		open(t, ctx, url, look.width, look.dark)
		if wide := js[int64](t, ctx, `document.documentElement.scrollWidth`); wide > look.width {
			t.Errorf("%s: the page is %d wide", look.name, wide)
		}
		background := js[string](t, ctx, `getComputedStyle(document.body).backgroundColor`)
		backgrounds[background] = true
		if side := js[int](t, ctx, `[...document.querySelectorAll(".scroll")].filter((e) => e.scrollWidth > e.clientWidth && e.checkVisibility()).length`); side > 0 {
			t.Errorf("%s: %d tables scroll sideways", look.name, side)
		}
		for _, bad := range js[[]string](t, ctx, contrasts) {
			t.Errorf("%s: hard to read: %s", look.name, bad)
		}
		picture(t, ctx, look.name)
	}
	if len(backgrounds) != 2 {
		t.Errorf("light and dark: %v", backgrounds)
	}
}

// contrasts lists the elements with text of their own whose contrast is too low.
const contrasts = `(() => {
	const numbers = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const behind = (e) => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c.slice(0, 3); } return [255, 255, 255]; };
	const bad = new Set();
	for (const e of document.querySelectorAll("body *")) {
		if (!e.checkVisibility() || e.closest("script,svg,button:disabled") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
		const a = light(numbers(getComputedStyle(e).color).slice(0, 3)), b = light(behind(e));
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (contrast < 4.5) bad.add(e.tagName + "." + e.className + " " + contrast.toFixed(2));
	}
	return [...bad];
})()`

func picture(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("ROWSEAL_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600))
}
