package audit

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/rowseal/rowseal/kms"
)

//go:embed page/page.html
var pageHTML string

//go:embed page/page.css
var pageCSS string

//go:embed page/page.js
var pageJS string

// What the page has at most; the rest is for filters, or for CSV.
const (
	pageAccesses   = 20_000
	pageWithout    = 200 // rows for a browser that runs no scripts
	pagePrincipals = 50
)

// pagePolicy lets the page's own style and script run, by their hashes, and nothing else: no script of a log, and no request.
var pagePolicy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'",
	sourceHash(pageCSS), sourceHash(pageJS))

func sourceHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"number": grouped, "counted": counted, "clock": clock}).Parse(pageHTML))

// page is what the template shows.
type page struct {
	*Document
	Policy         string
	Style          template.HTML
	Script         template.HTML
	Data           template.HTML
	Any            bool
	Made           string
	First, Last    string
	Step           string
	Bars           []bar
	Highest        int
	Axis           []string
	Principals     []Principal
	MorePrincipals int
	Columns        []column
	Rows           []Access
	Total          int
	Embedded       int
	Cut            bool
	Ops            []kms.Op
	Outcomes       []Outcome
}

type column struct {
	Name, Key string
	Number    bool
}

var columns = []column{{"Principal", "principal", false}, {"Record", "record", false}, {"Operation", "op", false}, {"Outcome", "outcome", false},
	{"Times", "count", true}, {"First", "first", false}, {"Last", "last", false}, {"From", "address", false}, {"Key", "key_id", false}}

// WriteHTML writes the document as one page that needs no network: a timeline, who opened most, what was opened most, what failed and
// what no application explains, and a table of who opened what that can be searched and sorted. Nothing that stands in a log can run in
// it. Its table has 20,000 accesses at most.
func (d *Document) WriteHTML(w io.Writer) error {
	shown := d.visible()
	p := &page{
		Document: shown, Policy: pagePolicy,
		Style: template.HTML("<style>" + pageCSS + "</style>"), Script: template.HTML("<script>" + pageJS + "</script>"),
		Any: !d.First.IsZero(), Made: clock(d.Made), First: clock(d.First), Last: clock(d.Last), Step: stepName(d.Step),
		Principals: shown.Principals[:min(len(shown.Principals), pagePrincipals)], Columns: columns, Total: len(shown.Accesses),
	}
	if len(shown.Principals) > pagePrincipals {
		p.MorePrincipals = len(shown.Principals)
	}
	embedded := shown.Accesses[:min(len(shown.Accesses), pageAccesses)]
	p.Embedded, p.Rows = len(embedded), embedded[:min(len(embedded), pageWithout)]
	p.Cut = p.Total > len(p.Rows)
	p.draw()
	p.choices(embedded)
	var err error
	if p.Data, err = pageData(embedded); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, p); err != nil {
		return fmt.Errorf("audit: page: %w", err)
	}
	_, err = out.WriteTo(w)
	return err
}

// pageData is the table for the script. JSON as Go writes it has no "<", and so does not end the element.
func pageData(accesses []Access) (template.HTML, error) {
	type row struct {
		Access
		First string `json:"first"`
		Last  string `json:"last"`
	}
	rows := make([]row, len(accesses))
	for i, a := range accesses {
		rows[i] = row{a, clock(a.First), clock(a.Last)}
	}
	b, err := json.Marshal(rows)
	return template.HTML(`<script type="application/json" id="data">` + string(b) + "</script>"), err
}

func (p *page) choices(accesses []Access) {
	for _, op := range []kms.Op{kms.OpDecrypt, kms.OpEncrypt, kms.OpRewrap, kms.OpCheck} {
		for _, a := range accesses {
			if a.Op == op {
				p.Ops = append(p.Ops, op)
				break
			}
		}
	}
	p.Outcomes = []Outcome{OK, Failed, Unknown}
}

// bar is a step of the timeline, in a box of 1000 by 200.
type bar struct {
	From, Label         string
	Counts              Counts
	X, Width            string
	OpensY, Opens       string // "" for none
	FailuresY, Failures string
}

const chartWidth, chartHeight = 1000, 200

func (p *page) draw() {
	if len(p.Timeline) == 0 {
		return
	}
	step, err := time.ParseDuration(p.Document.Step)
	if err != nil || step <= 0 {
		step = time.Minute
	}
	first := p.Timeline[0].Start
	span := p.Timeline[len(p.Timeline)-1].Start.Add(step).Sub(first)
	for _, t := range p.Timeline {
		p.Highest = max(p.Highest, t.Opens+t.Failures)
	}
	width := float64(step) / float64(span) * chartWidth
	for _, t := range p.Timeline {
		b := bar{From: clock(t.Start), Counts: t.Counts, X: decimal(float64(t.Start.Sub(first)) / float64(span) * chartWidth), Width: decimal(max(width*.92, 1))}
		b.Label = fmt.Sprintf("%s: %s, %s", b.From, counted(t.Opens, "open"), counted(t.Failures, "failure"))
		height := func(n int) float64 {
			if n == 0 {
				return 0
			}
			return max(float64(n)/float64(p.Highest)*chartHeight, 2) // so that one failure among thousands shows
		}
		failures, opens := height(t.Failures), height(t.Opens)
		opens = min(opens, chartHeight-failures)
		if t.Opens > 0 {
			b.Opens, b.OpensY = decimal(opens), decimal(chartHeight-opens)
		}
		if t.Failures > 0 {
			b.Failures, b.FailuresY = decimal(failures), decimal(chartHeight-opens-failures)
		}
		p.Bars = append(p.Bars, b)
	}
	const marks = 5
	for i := range marks {
		p.Axis = append(p.Axis, axisTime(first.Add(span/(marks-1)*time.Duration(i)), span))
	}
}

func axisTime(t time.Time, span time.Duration) string {
	switch {
	case span > 4*24*time.Hour:
		return t.UTC().Format("2006-01-02")
	case span > time.Hour:
		return t.UTC().Format("01-02 15:04")
	}
	return t.UTC().Format("15:04")
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// stepName is a duration as people say it.
func stepName(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{7 * 24 * time.Hour, "week"}, {24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := d / unit.d; n >= 1 && d%unit.d == 0 {
			if n == 1 {
				return "1 " + unit.name
			}
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return text
}

// clock is a time in UTC, to the second.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// grouped is 1,234,567.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && c != '-' && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// visible returns the document with what a log could hide, or turn around, made to show: control and format characters.
func (d *Document) visible() *Document {
	c := *d
	c.Title = showAll(d.Title)
	c.Filters = each(d.Filters, showAll)
	c.Logs = each(d.Logs, func(l LogRead) LogRead {
		l.Name, l.Examples = showAll(l.Name), each(l.Examples, showAll)
		return l
	})
	c.Principals = each(d.Principals, func(p Principal) Principal {
		p.Name, p.Addresses = showAll(p.Name), each(p.Addresses, showAll)
		return p
	})
	c.TopRecords, c.Accesses = each(d.TopRecords, Access.visible), each(d.Accesses, Access.visible)
	c.Errors = each(d.Errors, func(e Count) Count { return Count{showAll(e.Name), e.Count} })
	c.Changes = each(d.Changes, Line.visible)
	c.Unexplained.First, c.Unlogged.First = each(d.Unexplained.First, Line.visible), each(d.Unlogged.First, Line.visible)
	return &c
}

// each returns what f makes of the elements; never nil.
func each[T any](all []T, f func(T) T) []T {
	made := make([]T, len(all))
	for i, v := range all {
		made[i] = f(v)
	}
	return made
}

func (a Access) visible() Access {
	a.Principal, a.Record, a.KeyID, a.Error, a.Address = showAll(a.Principal), showAll(a.Record), showAll(a.KeyID), showAll(a.Error), showAll(a.Address)
	return a
}

func (l Line) visible() Line {
	for _, s := range []*string{&l.Action, &l.Error, &l.KeyID, &l.Principal, &l.Purpose, &l.Address, &l.Record, &l.To, &l.Hash, &l.Request} {
		*s = showAll(*s)
	}
	return l
}

// showAll writes what has no look of its own as \u202e.
func showAll(s string) string {
	hidden := func(r rune) bool { return r != ' ' && !unicode.IsGraphic(r) || r == unicode.ReplacementChar }
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
