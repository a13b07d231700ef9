package audit_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"math"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

func output(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func page(t *testing.T, d *audit.Document) string { return output(t, d.WriteHTML) }
func text(t *testing.T, d *audit.Document) string { return output(t, d.WriteText) }

func TestTextIsForATerminal(t *testing.T) {
	got := text(t, sample())
	golden(t, "testdata/report.txt", got)
	hostile := text(t, attacked(t))
	for line := range strings.Lines(got + hostile) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 || strings.HasSuffix(line, " \n") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

// attack is what somebody may bring into a log: markup, the end of a script, a template, an escape sequence of a terminal, letters from
// right to left, a character without a shape, a byte that is no UTF-8.
const attack = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'`{{.}}${1}<!--]]>\x1b[31m\r\n\u202eevil\u2066\u200b\u3164\xff"

// attacked is a document all of whose texts are an attack, those of fields that are not thought of yet included.
func attacked(t *testing.T) *audit.Document {
	t.Helper()
	d := sample()
	n := 0
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			v.SetString(attack)
			n++
		case reflect.Slice:
			for i := range v.Len() {
				fill(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Field(i).CanSet() {
					fill(v.Field(i))
				}
			}
		}
	}
	fill(reflect.ValueOf(d).Elem())
	if n < 10_000 {
		t.Fatalf("only %d texts", n)
	}
	return d
}

func TestNothingOfALogIsMarkupOrHidden(t *testing.T) {
	for name, got := range map[string]string{"html": page(t, attacked(t)), "text": text(t, attacked(t))} {
		for _, bad := range []string{"\x1b", "\r", "\u202e", "\u2066", "\u200b", "\u3164", "\xff"} {
			if strings.Contains(got, bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
		for _, shown := range []string{`\x1b[31m\r\n\u202e`, `evil\u2066\u200b\u3164\xff`} {
			if !strings.Contains(got, shown) && name == "html" {
				t.Errorf("%s does not show %s", name, shown)
			}
		}
	}
	got := page(t, attacked(t))
	for _, bad := range []string{"<script>alert", "<img", "<!--"} {
		if strings.Contains(got, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	if n := strings.Count(got, "</script>"); n != 2 {
		t.Errorf("the page's scripts end %d times", n)
	}
}

var tag = regexp.MustCompile(`<(/?)([a-z0-9]+)((?:\s+[a-z0-9-]+(?:="[^"<>]*")?)*)\s*(/?)>`)

func TestPagesAreWellFormed(t *testing.T) {
	empty := []string{"meta", "input", "wbr"}
	content := regexp.MustCompile(`(?s)(<(?:script|style)[^>]*>).*?(</(?:script|style)>)`)
	for name, d := range map[string]*audit.Document{"sample": sample(), "attacked": attacked(t), "nothing": {}, "nothing compared": {Compared: true}} {
		got := content.ReplaceAllString(strings.TrimPrefix(page(t, d), "<!DOCTYPE html>\n"), "$1$2")
		if rest := tag.ReplaceAllString(got, ""); strings.ContainsAny(rest, "<>") {
			at := strings.IndexAny(rest, "<>")
			t.Errorf("%s: no tag: %.80q", name, rest[at:])
		}
		var open []string
		ids := map[string]bool{}
		for _, m := range tag.FindAllStringSubmatch(got, -1) {
			switch end, element := m[1] == "/", m[2]; {
			case end && (len(open) == 0 || open[len(open)-1] != element):
				t.Fatalf("%s: </%s> in %v", name, element, open)
			case end:
				open = open[:len(open)-1]
			case m[4] == "" && !slices.Contains(empty, element):
				open = append(open, element)
			}
			for _, id := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(m[3], -1) {
				if ids[id[1]] {
					t.Errorf("%s: two elements are %q", name, id[1])
				}
				ids[id[1]] = true
			}
		}
		if len(open) != 0 {
			t.Errorf("%s: %v are open at the end", name, open)
		}
		for _, link := range regexp.MustCompile(`(?:href="#|aria-labelledby=")([^"]*)"`).FindAllStringSubmatch(got, -1) {
			for _, id := range strings.Fields(link[1]) {
				if !ids[id] {
					t.Errorf("%s: nothing is %q", name, id)
				}
			}
		}
	}
}

func TestAPageRunsItsOwnScriptOnly(t *testing.T) {
	got := page(t, sample())
	policy := html.UnescapeString(regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(got)[1])
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Error(policy)
	}
	for _, c := range []struct{ directive, element string }{{"script-src", "script"}, {"style-src", "style"}} {
		inline := regexp.MustCompile(`(?s)<`+c.element+`>(.*?)</`+c.element+`>`).FindAllStringSubmatch(got, -1)
		if len(inline) != 1 {
			t.Fatalf("%d elements %s", len(inline), c.element)
		}
		sum := sha256.Sum256([]byte(inline[0][1]))
		if want := c.directive + " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
			t.Errorf("%s is not in %s", want, policy)
		}
	}
	if found := regexp.MustCompile(`https?://|url\(|@import|src=|<link| on[a-z]+=| style=`).FindString(got); found != "" {
		t.Errorf("the page has %s", found)
	}
}

func TestAPageSaysFirstWhatMattersMost(t *testing.T) {
	const (
		unexplained = "Opens that no application event explains: 7"
		incomplete  = "This report is not complete"
		approximate = "Some numbers are approximate"
	)
	change := func(change func(d *audit.Document)) *audit.Document {
		d := sample()
		change(d)
		return d
	}
	for name, c := range map[string]struct {
		doc       *audit.Document
		has, lack []string
	}{
		"some unexplained": {sample(), []string{unexplained, `class="verdict bad"`}, []string{"Every open in", approximate}},
		"all explained": {change(func(d *audit.Document) { d.Unexplained = audit.Lines{} }),
			[]string{"Every open in the KMS", `class="verdict good"`}, []string{unexplained}},
		"not compared":   {change(func(d *audit.Document) { d.Compared = false }), nil, []string{`id="unexplained"`, "Every open in"}},
		"not all read":   {sample(), []string{incomplete, "3 entries of 1 log could not be read", "20261117T0905Z.json.gz:112: not JSON"}, nil},
		"all read":       {change(func(d *audit.Document) { d.Logs[0].Malformed = 0 }), nil, []string{incomplete, "could not be read"}},
		"too many":       {change(func(d *audit.Document) { d.Approximate = true; d.Accesses[0].Over = 2 }), []string{approximate, ">20–22<"}, nil},
		"without events": {&audit.Document{}, []string{"no event", "Who opened what"}, []string{"NaN", "0001"}},
	} {
		got := page(t, c.doc)
		for _, want := range c.has {
			if !strings.Contains(got, want) {
				t.Errorf("%s: the page lacks %q", name, want)
			}
		}
		for _, bad := range c.lack {
			if strings.Contains(got, bad) {
				t.Errorf("%s: the page has %q", name, bad)
			}
		}
		if first, then := strings.Index(got, `id="unexplained"`), strings.Index(got, `id="timeline"`); first > then {
			t.Errorf("%s: the unexplained come late", name)
		}
	}
}

// A page stays one that browsers can show.
func TestAPageOfMoreThanItCanHold(t *testing.T) {
	d := &audit.Document{Compared: true}
	for i := range 20_007 {
		d.Accesses = append(d.Accesses, audit.Access{Principal: "ada", Record: "User " + strconv.Itoa(i), Op: kms.OpDecrypt, Outcome: audit.OK, Count: 1})
		d.Unexplained.Add(audit.Line{Record: "User " + strconv.Itoa(i)})
	}
	for i := range 1_500 {
		d.Logs = append(d.Logs, audit.LogRead{Name: "log" + strconv.Itoa(i), Malformed: i % 2})
	}
	for range 1_200 {
		d.Principals = append(d.Principals, audit.Principal{Name: "somebody"})
	}
	if lines := strings.Split(text(t, d), "\n"); len(lines) > 100 {
		t.Errorf("the text has %d lines", len(lines))
	}
	got := page(t, d)
	for _, want := range []string{"There are 20,007; this page has the 20,000", "its first 200 rows", ">950 more<", ">19,007 more are not in this page.<",
		">980 more<", ">200 more are not in this page.<", ">500 more are not in this page.<",
		">730 more that could not be read whole<"} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	var data struct {
		Texts []string
		Rows  [][]int
	}
	in := regexp.MustCompile(`(?s)<script type="application/json" id="data">(.*?)</script>`).FindStringSubmatch(got)[1]
	if err := json.Unmarshal([]byte(in), &data); err != nil || len(data.Rows) != 20_000 || data.Texts[data.Rows[19_999][1]] != "User 19999" {
		t.Errorf("%d rows, %v", len(data.Rows), err)
	}
}

// The contrasts are those of WCAG 2.2 AA: https://www.w3.org/TR/WCAG22/#contrast-minimum and #non-text-contrast.
func TestColoursCanBeRead(t *testing.T) {
	style, err := os.ReadFile("page.css")
	if err != nil {
		t.Fatal(err)
	}
	schemes := regexp.MustCompile(`(?s):root \{(.*?)\}`).FindAllSubmatch(style, -1)
	if len(schemes) != 3 { // light, dark, print
		t.Fatalf("%d schemes", len(schemes))
	}
	for i, scheme := range schemes {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): #([0-9a-f]{6});`).FindAllSubmatch(scheme[1], -1) {
			rgb, err := strconv.ParseUint(string(m[2]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			colours[string(m[1])] = luminance(uint32(rgb))
		}
		for pair, least := range map[[2]string]float64{
			{"ink", "page"}: 7, {"ink", "raised"}: 7, {"quiet", "page"}: 4.5, {"quiet", "raised"}: 4.5, {"accent", "page"}: 4.5,
			{"accent", "raised"}: 4.5, {"bad", "page"}: 4.5, {"bad", "raised"}: 4.5, {"bad", "bad-page"}: 4.5, {"ink", "bad-page"}: 7,
			{"quiet", "bad-page"}: 4.5, {"accent", "bad-page"}: 4.5, {"good", "page"}: 4.5, {"good", "good-page"}: 4.5, {"ink", "good-page"}: 7,
			{"doubt", "page"}: 4.5, {"doubt", "raised"}: 4.5, {"doubt", "bad-page"}: 4.5, {"doubt", "doubt-page"}: 4.5, {"ink", "doubt-page"}: 7,
			{"edge", "page"}: 3,
		} {
			a, okA := colours[pair[0]]
			b, okB := colours[pair[1]]
			if contrast := (max(a, b) + 0.05) / (min(a, b) + 0.05); !okA || !okB || contrast < least {
				t.Errorf("scheme %d: %v: %.2f, must be %v", i, pair, contrast, least)
			}
		}
	}
}

// luminance is as https://www.w3.org/TR/WCAG22/#dfn-relative-luminance has it.
func luminance(rgb uint32) float64 {
	linear := func(shift int) float64 {
		c := float64(rgb>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(16) + 0.7152*linear(8) + 0.0722*linear(0)
}

func TestJSONHasNoNulls(t *testing.T) {
	d := &audit.Document{Logs: []audit.LogRead{{}}, Summary: audit.Summary{Principals: []audit.Principal{{}}}}
	if got := output(t, d.WriteJSON); strings.Contains(got, "null") {
		t.Error(got)
	}
	got := &audit.Document{}
	if err := json.Unmarshal([]byte(output(t, sample().WriteJSON)), got); err != nil {
		t.Fatal(err)
	}
	want := sample()
	for i := range want.Logs {
		if want.Logs[i].Examples == nil {
			want.Logs[i].Examples = []string{}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("a document is not as it was written")
	}
}

func TestWritingADocumentDoesNotChangeIt(t *testing.T) {
	d, same := attacked(t), attacked(t)
	text(t, d)
	page(t, d)
	output(t, d.WriteJSON)
	if !reflect.DeepEqual(d, same) {
		t.Error("it is another one")
	}
}

type full struct{ room int }

var errFull = errors.New("full")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestAWriterThatFailsIsTold(t *testing.T) {
	d := sample()
	for _, room := range []int{0, 5_000} {
		for name, write := range map[string]func(io.Writer) error{"text": d.WriteText, "html": d.WriteHTML, "json": d.WriteJSON} {
			if err := write(&full{room}); !errors.Is(err, errFull) && !(name == "text" && room > 0) {
				t.Errorf("%s with room for %d: %v", name, room, err)
			}
		}
	}
}

func BenchmarkWriteHTML(b *testing.B) {
	d := sample()
	for b.Loop() {
		if err := d.WriteHTML(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
