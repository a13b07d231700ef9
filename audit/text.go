package audit

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// textRows is how many rows of a table WriteText shows.
const textRows = 20

// WriteText writes the document for a terminal: what WriteHTML shows, in short.
func (d *Document) WriteText(w io.Writer) error {
	t := &textPage{Document: d.visible()}
	t.head()
	if d.Compared {
		t.compared()
	}
	t.principals()
	t.records()
	t.failures()
	t.changes()
	_, err := t.out.WriteTo(w)
	return err
}

type textPage struct {
	*Document
	out bytes.Buffer
}

func (t *textPage) head() {
	fmt.Fprintf(&t.out, "%s\n", t.Title)
	if t.First.IsZero() {
		fmt.Fprintln(&t.out, "no events")
	} else {
		fmt.Fprintf(&t.out, "%s to %s (UTC)\n", clock(t.First), clock(t.Last))
	}
	if len(t.Filters) > 0 {
		fmt.Fprintf(&t.out, "only %s\n", strings.Join(t.Filters, "; "))
	}
	for _, l := range t.Logs {
		if l.Malformed > 0 {
			fmt.Fprintf(&t.out, "%s: %s could not be read, of %s: each may be an event that is missing here\n", l.Name, grouped(l.Malformed), grouped(l.Entries))
		}
	}
	least := ""
	if t.Approximate {
		least = "at least "
	}
	c := t.Totals
	fmt.Fprintf(&t.out, "\n%s of %s%s, %s, %s, %s, %s of keys, rights and logs\n", counted(c.Opens, "open"), least, counted(t.Records, "record"),
		counted(c.Failures, "failure"), counted(c.Seals, "seal"), counted(c.Rewraps, "rewrap"), counted(c.Changes, "change"))
}

func (t *textPage) compared() {
	if t.Unexplained.Count == 0 {
		fmt.Fprintln(&t.out, "\nEvery open in the log of the KMS is that of an application's event.")
	} else {
		t.lines(counted(t.Unexplained.Count, "open")+" that no application event explains", t.Unexplained)
	}
	if t.Unlogged.Count > 0 {
		t.lines(counted(t.Unlogged.Count, "open")+" of the applications that the log of the KMS lacks", t.Unlogged)
	}
}

func (t *textPage) lines(title string, l Lines) {
	rows := [][]string{{"WHEN", "RECORD", "WHO", "FROM", "KEY"}}
	for _, e := range l.First {
		record := e.Record
		if record == "" {
			record = "(the log does not name it)"
		}
		rows = append(rows, []string{clock(e.Time), record, e.Principal, e.Address, e.KeyID})
	}
	t.table(title, rows, l.Count)
}

func (t *textPage) principals() {
	rows := [][]string{{"WHO", "OPENS", "RECORDS", "FAILURES", "SEALS", "LAST"}}
	for _, p := range t.Principals {
		name := p.Name
		if name == "" {
			name = "(not named)"
		}
		rows = append(rows, []string{name, grouped(p.Opens), grouped(p.Records), grouped(p.Failures), grouped(p.Seals), clock(p.Last)})
	}
	t.table("Who", rows, len(t.Principals))
}

func (t *textPage) records() {
	rows := [][]string{{"RECORD", "OPENS", "FIRST", "LAST"}}
	for _, a := range t.TopRecords {
		most := ""
		if a.Over > 0 {
			most = "<= "
		}
		rows = append(rows, []string{a.Record, most + grouped(a.Count), clock(a.First), clock(a.Last)})
	}
	t.table("Records that were opened most", rows, len(t.TopRecords))
}

func (t *textPage) failures() {
	rows := [][]string{{"THE SERVICE SAID", "TIMES"}}
	for _, e := range t.Errors {
		rows = append(rows, []string{e.Name, grouped(e.Count)})
	}
	t.table("Why it failed", rows, len(t.Errors))
}

func (t *textPage) changes() {
	rows := [][]string{{"WHEN", "WHAT", "WHO", "FROM", "OUTCOME"}}
	for _, e := range t.Changes {
		rows = append(rows, []string{clock(e.Time), e.Action, e.Principal, e.Address, string(e.Outcome)})
	}
	t.table("Changes of keys, rights and logs", rows, t.Totals.Changes)
}

// table writes rows under their names, and nothing if there are none. Of more than textRows it tells how many there are.
func (t *textPage) table(title string, rows [][]string, of int) {
	if len(rows) == 1 {
		return
	}
	fmt.Fprintf(&t.out, "\n%s\n", title)
	tabs := tabwriter.NewWriter(&t.out, 0, 0, 2, ' ', 0)
	for _, row := range rows[:min(len(rows), textRows+1)] {
		fmt.Fprintf(tabs, "  %s\n", strings.Join(row, "\t"))
	}
	tabs.Flush() // into memory, which takes all
	if more := of - min(len(rows)-1, textRows); more > 0 {
		fmt.Fprintf(&t.out, "  and %s more\n", grouped(more))
	}
}

// counted is "1 open" or "1,234 opens".
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return grouped(n) + " " + thing
}
