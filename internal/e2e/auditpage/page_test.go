// Package auditpage tests the page of an audit report in a real browser.
package auditpage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

const key = "arn:aws:kms:eu-central-1:123456789012:key/5c7e0b1a-6f0e-4a51-9d3c-2b1f5a0d7e42"

// report has 450 accesses of three principals, each to a record as often as its number's last digit says, and one that failed.
func report() *audit.Document {
	begin := time.Date(2026, 11, 9, 8, 0, 0, 0, time.UTC)
	r := &audit.Report{}
	for id := range 450 {
		who := []string{"web", "jobs", "support"}[id%3]
		for again := range 1 + id%10 {
			r.Add(audit.Event{Time: begin.Add(time.Duration(id*31+again*7) * time.Minute), Source: audit.CloudTrail, Op: kms.OpDecrypt, Action: "Decrypt",
				Outcome: audit.OK, KeyID: key, Principal: "arn:aws:sts::123456789012:assumed-role/" + who + "/i-0f3c81a2b", Address: "10.20.1.11",
				Context: kms.Context{"model_name": "User", "model_id": strconv.Itoa(id)}})
		}
	}
	failed := audit.Event{Time: begin.Add(time.Hour), Source: audit.CloudTrail, Op: kms.OpDecrypt, Action: "Decrypt", Outcome: audit.Failed,
		Error: "AccessDenied", KeyID: key, Principal: "signup", Context: kms.Context{"model_name": "User", "model_id": "4711"}}
	r.Add(failed)
	d := &audit.Document{Title: "Who opened what", Made: begin.AddDate(0, 0, 14), Compared: true, Summary: r.Summary(),
		Logs: []audit.LogRead{{Name: "trail", Entries: 3_000, Events: 2_476, Malformed: 1, Examples: []string{"trail:7: not JSON"}}}}
	for range 60 {
		d.Unexplained.Add(r.Line(failed))
	}
	return d
}

// column returns the texts of a column of the accesses.
func column(p *tab, name string) []string {
	p.Helper()
	return js[[]string](p, fmt.Sprintf(`[...document.querySelectorAll('#table tbody [data-label=%s]')].map(cell => cell.textContent.trim())`, name))
}

func status(p *tab) string {
	p.Helper()
	return js[string](p, `document.querySelector('#status').textContent`)
}

func focused(p *tab) string {
	p.Helper()
	return js[string](p, `document.activeElement.id || document.activeElement.textContent`)
}

func TestAPageNeedsNothing(t *testing.T) {
	p := open(t, report())
	for _, width := range []int64{1280, 390} {
		p.width(width)
		js[bool](p, `document.querySelectorAll('details').forEach(fold => fold.open = true), true`)
	}
	p.prefers("prefers-color-scheme", "dark")
	if title := js[string](p, `document.title`); title != "Who opened what" {
		t.Errorf("it is called %q", title)
	}
	p.quiet()
}

func TestASearchNarrows(t *testing.T) {
	p := open(t, report())
	if got := status(p); got != "1–100 of 451" || len(column(p, "Record")) != 100 {
		t.Errorf("%s, %d rows", got, len(column(p, "Record")))
	}
	p.do(chromedp.SendKeys(chromedp.CSS("#search"), "SUPPORT/ user 44"))
	for _, who := range column(p, "Principal") {
		if !strings.Contains(who, "/support/") {
			t.Error(who)
		}
	}
	if got := status(p); !strings.HasSuffix(got, " found, of 451") || len(column(p, "Record")) == 100 || len(column(p, "Record")) == 0 {
		t.Errorf("%s, %d rows", got, len(column(p, "Record")))
	}
	p.do(chromedp.SendKeys(chromedp.CSS("#search"), " nobody"))
	if got := status(p); got != "None found, of 451" {
		t.Error(got)
	}
	p.do(chromedp.Click(chromedp.CSS("#controls [type=reset]")))
	p.do(chromedp.Poll[chromedp.Void](`document.querySelector('#status').textContent === '1–100 of 451'`))
	js[bool](p, `outcome.value = 'failed', outcome.dispatchEvent(new Event('input', {bubbles: true}))`)
	if got := column(p, "Record"); !slices.Equal(got, []string{"User 4711"}) {
		t.Errorf("failed: %v", got)
	}
	p.quiet()
}

func TestTheKeyboardDoesAll(t *testing.T) {
	p := open(t, report())
	p.do(chromedp.KeyEvent(kb.Tab))
	if got := focused(p); got != "Skip to the accesses" {
		t.Errorf("the first stop is %q", got)
	}
	var stops []string
	for range 60 {
		p.do(chromedp.KeyEvent(kb.Tab))
		stops = append(stops, focused(p))
		if !js[bool](p, `(style => style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2)(getComputedStyle(document.activeElement))`) {
			t.Errorf("the focus on %q does not show", stops[len(stops)-1])
		}
		if stops[len(stops)-1] == "Address" {
			break
		}
	}
	at := slices.Index(stops, "search")
	want := []string{"search", "op", "outcome", "Reset", "first", "previous", "next", "last", "Principal", "Record", "Key", "Operation", "Outcome",
		"Count", "First", "Last", "Address"}
	if at < 0 || !slices.Equal(stops[at:], want) {
		t.Fatalf("the stops are %q", stops)
	}

	for focused(p) != "Record" {
		p.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(kb.ModifierShift)))
	}
	p.do(chromedp.KeyEvent(kb.Enter))
	if got := column(p, "Record"); !slices.Equal(got[:4], []string{"User 0", "User 1", "User 2", "User 3"}) || got[10] != "User 10" {
		t.Errorf("by record: %v", got[:11])
	}
	sorted := `document.querySelector('[aria-sort]').textContent + ' ' + document.querySelector('[aria-sort]').ariaSort`
	if got := js[string](p, sorted); got != "Record ascending" {
		t.Error(got)
	}
	p.do(chromedp.KeyEvent(" "))
	if got := column(p, "Record"); got[0] != "User 4711" || js[string](p, sorted) != "Record descending" {
		t.Errorf("by record, down: %v", got[:4])
	}
	if got := focused(p); got != "Record" {
		t.Errorf("the focus went to %q", got)
	}

	js[bool](p, `next.focus(), true`)
	for range 9 { // more than there are
		p.do(chromedp.KeyEvent(kb.Enter))
	}
	if got := status(p); got != "401–451 of 451" || js[bool](p, `!next.matches(':focus:enabled')`) || len(column(p, "Record")) != 51 {
		t.Errorf("the last page: %s, the focus is on %q", got, focused(p))
	}
	js[bool](p, `first.focus(), true`)
	p.do(chromedp.KeyEvent(kb.Enter))
	if got := status(p); got != "1–100 of 451" {
		t.Errorf("the first page: %s", got)
	}
	p.quiet()
}

func TestCountsAndTimesSortAsNumbers(t *testing.T) {
	p := open(t, report())
	if got := column(p, "Count"); got[0] != "10" || got[99] != "8" && got[99] != "9" {
		t.Errorf("at first: %v", got)
	}
	for name, want := range map[string]string{"Count": "1", "First": "2026-11-18"} {
		js[bool](p, fmt.Sprintf(`[...document.querySelectorAll('#table th button')].find(b => b.textContent === '%s').click(), true`, name))
		if got := column(p, name); !strings.HasPrefix(got[0], want) {
			t.Errorf("by %s: %v", name, got[:3])
		}
	}
}

func TestDarkIsDark(t *testing.T) {
	p := open(t, report())
	back := func(scheme string) string {
		p.prefers("prefers-color-scheme", scheme)
		return js[string](p, `getComputedStyle(document.body).backgroundColor`)
	}
	if light, dark := back("light"), back("dark"); light != "rgb(255, 255, 255)" || light == dark {
		t.Errorf("light %s, dark %s", light, dark)
	}
}

// What shows is measured: WCAG 2.2 AA, https://www.w3.org/TR/WCAG22/#contrast-minimum. ROWSEAL_SCREENSHOTS names a directory for pictures.
func TestColoursCanBeReadWhereTheyAre(t *testing.T) {
	p := open(t, report())
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			p.width(width)
			p.prefers("prefers-color-scheme", scheme)
			for _, bad := range js[[]string](p, contrasts) {
				t.Errorf("%d pixels, %s: hard to read: %s", width, scheme, bad)
			}
			p.picture(fmt.Sprintf("%s-%d", scheme, width))
		}
	}
}

// contrasts lists the elements with text of their own whose contrast is too low.
const contrasts = `(() => {
	const rgb = colour => colour.match(/[\d.]+/g).map(Number);
	const linear = v => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
	const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
	const behind = e => {
		for (; e; e = e.parentElement) {
			const colour = rgb(getComputedStyle(e).backgroundColor);
			if (colour.length === 3 || colour[3] > 0) return colour;
		}
	};
	const hasText = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
	return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && !e.closest('script, svg') && hasText(e)).flatMap(e => {
		const [dark, light] = [luminance(rgb(getComputedStyle(e).color)), luminance(behind(e))].sort((a, b) => a - b);
		const contrast = (light + 0.05) / (dark + 0.05);
		return contrast < 4.5 ? [e.tagName + ' ' + e.className + ' ' + contrast.toFixed(2)] : [];
	});
})()`

func TestNothingMovesForWhoeverPrefersThat(t *testing.T) {
	p := open(t, report())
	p.prefers("prefers-reduced-motion", "reduce")
	if got := js[string](p, `getComputedStyle(document.documentElement).scrollBehavior`); got != "auto" {
		t.Errorf("it scrolls %s", got)
	}
}

func TestAPhoneShowsAllWithoutScrollingSideways(t *testing.T) {
	d := report()
	d.Accesses[0].Record = "User " + strings.Repeat("0123456789abcdef", 20)
	d.Principals[0].Name = strings.Repeat("x", 300)
	for _, width := range []int64{320, 390, 768, 1000, 1280} {
		p := open(t, d)
		p.width(width)
		js[bool](p, `document.querySelectorAll('details').forEach(fold => fold.open = true), true`)
		if got := js[int64](p, `document.documentElement.scrollWidth`); got > width {
			t.Errorf("at %d pixels the page is %d wide", width, got)
		}
		small := js[string](p, `[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && e.firstChild?.nodeType === 3 &&
			e.firstChild.data.trim() && parseFloat(getComputedStyle(e).fontSize) < 12).map(e => e.textContent).join()`)
		if small != "" {
			t.Errorf("at %d pixels this is too small: %.200s", width, small)
		}
	}
}

func TestWhatALogHoldsDoesNotRun(t *testing.T) {
	const attack = `</script><script>ran = 1</script><img src="http://127.0.0.1:9/x" onerror="ran = 1"><svg onload="ran = 1">` +
		"' onfocus='ran=1' autofocus=' javascript:ran=1 ${ran=1} \u202e"
	d := report()
	for i := range d.Accesses {
		a := &d.Accesses[i]
		a.Principal, a.Record, a.KeyID, a.Error, a.Address, a.Outcome = attack, attack, attack, attack, attack, attack
		a.Op = attack
	}
	for i := range d.Principals {
		d.Principals[i].Name, d.Principals[i].Addresses = attack, []string{attack}
	}
	d.Unexplained.First[0] = audit.Line{Principal: attack, Record: attack, Action: attack, Request: attack}
	d.Title, d.Filters, d.Logs[0].Name, d.Logs[0].Examples, d.Errors[0].Name = attack, []string{attack}, attack, []string{attack}, attack
	p := open(t, d)
	p.do(chromedp.SendKeys(chromedp.CSS("#search"), "script"))
	if got := status(p); got != "1–100 of 451" {
		t.Error(got)
	}
	if got := column(p, "Principal"); got[0] != strings.ReplaceAll(attack, "\u202e", `\u202e`) {
		t.Errorf("it shows %s", got[0])
	}
	if js[bool](p, `'ran' in window`) {
		t.Error("it ran")
	}
	if got := js[int](p, `document.querySelectorAll('img, #table svg, [onfocus], [onload], [onerror]').length`); got != 0 {
		t.Errorf("%d elements of the log", got)
	}
	p.quiet()
}

// The policy is a second wall: what got into the page as markup would not run either.
func TestMarkupWouldNotRun(t *testing.T) {
	p := open(t, report())
	js[bool](p, `(() => {
		const script = document.createElement('script');
		script.textContent = 'ran = 1';
		document.body.append(script);
		document.body.insertAdjacentHTML('beforeend', '<a id=bad href="javascript:ran=1" onclick="ran=1" style="position: fixed">x</a><img src="http://127.0.0.1:9/x">');
		bad.click();
		return true;
	})()`)
	if js[bool](p, `'ran' in window`) {
		t.Error("it ran")
	}
	if got := js[string](p, `getComputedStyle(bad).position`); got != "static" {
		t.Error("a style of its own has an effect")
	}
}

// A report with nothing to show is a page, too.
func TestAnEmptyReport(t *testing.T) {
	p := open(t, &audit.Document{})
	if got := js[string](p, `document.querySelector('#accesses').innerText`); !strings.Contains(got, "None.") {
		t.Error(got)
	}
	p.quiet()
}

func TestTwentyThousandAccesses(t *testing.T) {
	d := report()
	d.Accesses = nil
	for i := range 20_500 {
		d.Accesses = append(d.Accesses, audit.Access{Principal: "ada", Record: "User " + strconv.Itoa(i), Op: kms.OpDecrypt, Outcome: audit.OK, Count: 1})
	}
	p := open(t, d)
	p.do(chromedp.SendKeys(chromedp.CSS("#search"), "user 1999"))
	if got := status(p); got != "1–12 of 12 found, of 20,000" {
		t.Error(got)
	}
	p.quiet()
}

func TestWithoutJavaScript(t *testing.T) {
	p := openStill(t, report())
	if got := len(column(p, "Record")); got != 200 {
		t.Errorf("%d rows", got)
	}
	if !js[bool](p, `controls.checkVisibility() === false && document.querySelector('noscript p').checkVisibility()`) {
		t.Error("it shows what does not work, or does not say so")
	}
	p.quiet()
}

func TestPaperHasWhatIsFolded(t *testing.T) {
	p := open(t, report())
	paper := func(media string) bool {
		p.media(media)
		return js[bool](p, `dispatchEvent(new Event(matchMedia('print').matches ? 'beforeprint' : 'afterprint')),
			[...document.querySelectorAll('details')].every(fold => fold.open !== fold.matches('.aside')) && !controls.checkVisibility()`)
	}
	if !paper("print") || paper("") {
		t.Error("it is not printed, or stays unfolded")
	}
}
