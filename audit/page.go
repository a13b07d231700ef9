package audit

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

const (
	rowsAlive = 20_000 // accesses in a page, where JavaScript runs
	rowsStill = 200    // and where it does not
)

// WriteHTML writes the document as one HTML file, which needs no network and no server: with a timeline, and a table of the first 20,000
// accesses that can be searched and sorted. Without JavaScript it shows 200.
//
// Nothing of a log can run in it: texts are escaped, and a Content-Security-Policy lets only the page's own script and style in, by their
// hashes. Control characters and the like are written as Go escapes them, "\u202e".
func (d *Document) WriteHTML(w io.Writer) error {
	// Parsed each time: a program that only writes logs has none of this in it.
	t, err := template.New("page").Funcs(template.FuncMap{
		"number": number, "many": many, "moment": moment, "word": word, "counted": counted,
		"who":   func(name string) string { return cmp.Or(name, nobody) },
		"named": func(record string) string { return cmp.Or(record, unnamed) },
		"list":  func(v ...any) []any { return v },
		"split": strings.Fields,
		"parts": parts,
		"half":  func(n int) int { return n / 2 },
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	out := bufio.NewWriter(w)
	if err := t.Execute(out, newPage(d)); err != nil {
		return fmt.Errorf("audit: page: %w", err)
	}
	return out.Flush()
}

// page is what page.html shows.
type page struct {
	*Document
	Policy string
	Style  template.CSS
	Script template.JS

	Heading, Period string

	Read            string
	Malformed       []LogRead
	Warning         string
	Caveat          string // what a warning means for what was compared
	Approximation   string
	Openers         int
	Chart           *chart
	Opened          shortList[Principal]
	Unread          shortList[LogRead] // of Malformed
	Listed          shortList[LogRead]
	Strange, Lacked shortList[Line]
	Changed         shortList[Line]
	MostOpens       int // of a principal
	Still           []Access
	Alive           aliveRows
	Ops, Outcomes   []string
}

func newPage(d *Document) *page {
	d = d.copy(visible)
	p := &page{
		Document: d, Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Policy: fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; base-uri 'none'; form-action 'none'", source(pageStyle), source(pageScript)),

		Heading: cmp.Or(d.Title, untitled), Period: d.period(), Read: d.read(),
		Malformed: d.malformed(), Listed: shorten(d.Logs, len(d.Logs), 1_000), Openers: d.openers(), MostOpens: 1, Approximation: approximate,
		Opened:  shorten(d.Principals, len(d.Principals), 20),
		Strange: shorten(d.Unexplained.First, d.Unexplained.Count, 50),
		Lacked:  shorten(d.Unlogged.First, d.Unlogged.Count, 10),
		Changed: shorten(d.Changes, d.Totals.Changes, 50),
		Still:   d.Accesses[:min(len(d.Accesses), rowsStill)],
		Alive:   newAliveRows(d.Accesses[:min(len(d.Accesses), rowsAlive)]),
	}
	if len(p.Malformed) > 0 {
		p.Unread = shorten(p.Malformed, len(p.Malformed), 20)
		p.Warning = warning(p.Malformed) + "."
		p.Caveat = "As far as the logs could be read: see the warning above."
	}
	if len(d.Principals) > 0 {
		p.MostOpens = max(p.MostOpens, d.Principals[0].Opens)
	}
	step, err := time.ParseDuration(d.Step)
	if err != nil || step <= 0 {
		step = steps[0]
	}
	p.Chart = newChart(d.Timeline, step)
	p.choices()
	return p
}

// source is how a policy names a script or a style: https://www.w3.org/TR/CSP3/#grammardef-hash-source.
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// choices are the operations and outcomes that accesses can be filtered by.
func (p *page) choices() {
	for _, a := range p.Accesses {
		if op := word(a.Op); !slices.Contains(p.Ops, op) {
			p.Ops = append(p.Ops, op)
		}
		if o := string(a.Outcome); !slices.Contains(p.Outcomes, o) {
			p.Outcomes = append(p.Outcomes, o)
		}
	}
	slices.Sort(p.Ops)
	slices.Sort(p.Outcomes)
}

// Percent is how much of the most a number is, for a bar beside it.
func (p *page) Percent(n, most int) string {
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(max(most, 1)))
}

// MostRecord is how often the first of the top records was opened.
func (p *page) MostRecord() int {
	if len(p.TopRecords) == 0 {
		return 1
	}
	return p.TopRecords[0].Count
}

// MostError is how often the first of the errors came.
func (p *page) MostError() int {
	if len(p.Errors) == 0 {
		return 1
	}
	return p.Errors[0].Count
}

// FewLogs tells that the logs can be listed without being asked for.
func (p *page) FewLogs() bool { return len(p.Logs) <= 8 }

// More is how many accesses the page does not have.
func (p *page) More() int { return len(p.Accesses) - len(p.Alive.Rows) }

// parts splits a name after what a line may end with.
func parts(name string) []string {
	var list []string
	for {
		at := strings.IndexAny(name, ":/=") + 1
		if at == 0 {
			return append(list, name)
		}
		list, name = append(list, name[:at]), name[at:]
	}
}

// shortList is a list of which the first are shown, the next on demand, and the others not: they are in the JSON.
type shortList[T any] struct {
	First, Next []T
	Left        int
}

func shorten[T any](list []T, all, first int) shortList[T] {
	const most = 1_000
	list = list[:min(len(list), most)]
	first = min(len(list), first)
	return shortList[T]{list[:first], list[first:], all - len(list)}
}

// aliveRows are accesses as page.js reads them. A text is an index into Texts, for there are many rows and few principals.
type aliveRows struct {
	Texts []string  `json:"texts"`
	Rows  [][11]int `json:"rows"` // principal, record, key, operation, outcome, error, count, over, first, last (seconds since 1970), address
}

func newAliveRows(accesses []Access) aliveRows {
	index := map[string]int{}
	alive := aliveRows{Texts: []string{}, Rows: make([][11]int, len(accesses))}
	at := func(text string) int {
		i, ok := index[text]
		if !ok {
			i = len(alive.Texts)
			index[text] = i
			alive.Texts = append(alive.Texts, text)
		}
		return i
	}
	for i, a := range accesses {
		alive.Rows[i] = [11]int{at(cmp.Or(a.Principal, nobody)), at(cmp.Or(a.Record, unnamed)), at(a.KeyID), at(word(a.Op)), at(string(a.Outcome)),
			at(a.Error), a.Count, a.Over, int(a.First.Unix()), int(a.Last.Unix()), at(a.Address)}
	}
	return alive
}

// Long tells that a bar stands for a day or more.
func (c *chart) Long() bool { return c.Step == "day" || c.Step == "week" || c.Step == "52 weeks" }

// From is when a period began, as long as its step needs.
func (c *chart) From(t time.Time) string {
	if c.Long() {
		return t.UTC().Format(time.DateOnly)
	}
	return minute(t)
}
