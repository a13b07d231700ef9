package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
)

const attack = "</script><script>alert(1)</script>\x1b[31m\u202e\""

// document is a report of a few events, with names that attack whoever shows them.
func document() *audit.Document {
	r := &audit.Report{}
	d := &audit.Document{Title: "Who opened what", Made: at(60), Compared: true, Filters: []string{"table users"}}
	for i := range 1500 {
		r.Add(by("app", kmsOpen(float64(i%50), user(i%3))))
	}
	r.Add(by("eve", with(kmsOpen(5, user(1)), func(e *audit.Event) { e.Outcome, e.Error = audit.Failed, "AccessDenied" })))
	r.Add(with(by(attack, kmsOpen(6, user(1))), func(e *audit.Event) { e.Context["model_id"], e.Address, e.KeyID = attack, attack, attack }))
	r.Add(by("root", with(kmsOpen(40, nil), func(e *audit.Event) { e.Op, e.Action = audit.OpManage, "DisableKey" })))
	d.Unexplained.Add(r.Line(by("eve", kmsOpen(7, user(2)))))
	d.Unlogged.Add(r.Line(by(attack, kmsOpen(8, user(2)))))
	d.Logs = []audit.LogRead{{Name: "trail.json", Entries: 1503, Events: 1503, Malformed: 2, Examples: []string{"trail.json:7: not JSON"}}}
	d.Summary = r.Summary()
	return d
}

func TestAReportAsText(t *testing.T) {
	var out bytes.Buffer
	if err := document().WriteText(&out); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/report.txt", out.String())
	if strings.ContainsAny(out.String(), "\x1b\u202e") {
		t.Error("a log can write to the terminal")
	}
	out.Reset()
	if err := new(audit.Document).WriteText(&out); err != nil || !strings.Contains(out.String(), "no events") {
		t.Errorf("of nothing: %q %v", out.String(), err)
	}
}

// What a browser makes of the page is tested in internal/e2e/audit.
func TestAReportAsAPage(t *testing.T) {
	var out bytes.Buffer
	if err := document().WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, want := range []string{"<title>Who opened what</title>", "1,501", "table users", "2 of 1,503 entries", "trail.json:7: not JSON", "DisableKey", "eve",
		`Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if n := strings.Count(page, "<script"); n != 2 {
		t.Errorf("the page has %d scripts: what stands in the log is one", n)
	}
	if strings.ContainsAny(page, "\x1b\u202e") || !strings.Contains(page, `\u001b[31m\u202e`) {
		t.Error("what hides is not shown")
	}
	if found := regexp.MustCompile(`(?i)(src|href|url)\s*[=(]\s*["']?(https?:)?//[^"' >]*`).FindAllString(page, -1); len(found) != 1 {
		t.Errorf("the page refers to %q, and may to its maker alone", found)
	}
	data := regexp.MustCompile(`(?s)id="data">(.*?)</script>`).FindStringSubmatch(page)
	var rows []audit.Access
	if data == nil || json.Unmarshal([]byte(regexp.MustCompile(`"(first|last)":"[^"]*",?`).ReplaceAllString(data[1], "")), &rows) == nil && len(rows) != 5 {
		t.Errorf("the page's table has %d rows", len(rows))
	}
}

func TestAPageOfALargeReport(t *testing.T) {
	r := &audit.Report{}
	for i := range 21_000 {
		r.Add(kmsOpen(float64(i), user(i)))
	}
	var out bytes.Buffer
	d := &audit.Document{Summary: r.Summary()}
	if err := d.WriteHTML(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), `"record":"User `); n != 20_000 {
		t.Errorf("%d rows for the script", n)
	}
	if n := strings.Count(out.String(), `<td data-label="Record"`); n != 200 {
		t.Errorf("%d rows without it", n)
	}
	if !strings.Contains(out.String(), "The page has the 20,000 most frequent of 21,000 accesses") {
		t.Error("that there are more is not said")
	}
}

func TestAReportAsJSONHasNoNull(t *testing.T) {
	for _, d := range []*audit.Document{{}, document()} {
		var out bytes.Buffer
		if err := d.WriteJSON(&out); err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`"[a-z_]+": null`).FindAllString(out.String(), -1); found != nil {
			t.Errorf("%s", found)
		}
		var back audit.Document
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back.Totals != d.Totals || fmt.Sprint(back.Unexplained) != fmt.Sprint(d.Unexplained) && d.Compared {
			t.Errorf("%v", err)
		}
	}
}
