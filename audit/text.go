package audit

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rowseal/rowseal/kms"
)

// textWidth is how many columns a line of WriteText has at most.
const textWidth = 100

// WriteText writes what matters of the document for a terminal, in lines of 100 columns at most: the totals, opens that nothing
// explains, and the first of principals, records, failures and changes. Long names lose their middle. Control characters and the like
// are written as Go escapes them, "\x1b".
func (d *Document) WriteText(w io.Writer) error {
	out := bufio.NewWriter(w)
	t := text{out, d.copy(visible)}
	t.head()
	t.warning()
	t.totals()
	if d.Compared {
		t.unexplained()
		t.unlogged()
	}
	t.principals()
	t.records()
	t.failures()
	t.changes()
	t.logs()
	return out.Flush() // remembers the first error
}

type text struct {
	out *bufio.Writer
	*Document
}

func (t text) line(format string, args ...any) {
	fmt.Fprintln(t.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

func (t text) section(title string) { t.line("\n%s", title) }

// say writes a sentence in as many lines as it needs.
func (t text) say(indent string, words string) {
	line := indent
	for word := range strings.FieldsSeq(words) {
		if line != indent && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > textWidth {
			t.line("%s", line)
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += elide(word, textWidth-len(indent))
	}
	t.line("%s", line)
}

func (t text) head() {
	title := elide(cmp.Or(t.Title, untitled), textWidth)
	t.line("%s\n%s", title, strings.Repeat("=", utf8.RuneCountInString(title)))
	t.line("Period   %s (all times are UTC)", t.period())
	t.line("Made     %s", moment(t.Made))
	for i, f := range t.Filters {
		label := ""
		if i == 0 {
			label = "Only"
		}
		t.line("%-8s %s", label, elide(f, textWidth-9))
	}
	t.line("Logs     %s: %s", many(len(t.Logs), "log"), t.read())
}

// period is from the first event to the last.
func (d *Document) period() string {
	if d.First.IsZero() {
		return "no event"
	}
	return moment(d.First) + " to " + moment(d.Last)
}

// logs names logs if they are few, and each that could not be read whole.
func (t text) logs() {
	t.section("Logs")
	few := len(t.Logs) <= 10
	rows := [][]string{}
	for _, l := range t.Logs {
		if few || l.Malformed > 0 && len(rows) < 10 {
			of := "the KMS"
			if l.Ledger {
				of = "an application"
			}
			rows = append(rows, []string{l.Name, of, number(l.Entries), number(l.Events), number(l.Malformed)})
		}
	}
	t.table(table{{"Log", 20}, {"Of", 0}, {"Entries", right}, {"Events", right}, {"Not readable", right}}, rows, len(t.Logs))
}

// warning says what is missing.
func (t text) warning() {
	malformed := t.malformed()
	if len(malformed) == 0 {
		return
	}
	t.section("WARNING: " + warning(malformed))
	const most = 10
	for i, l := range malformed {
		if i == most {
			t.line("  and %s more", many(len(malformed)-most, "log"))
			break
		}
		t.line("  %s: %s", elide(l.Name, 60), many(l.Malformed, "entry"))
		for _, e := range l.Examples {
			t.line("    %s", elide(e, textWidth-4))
		}
	}
}

// read says how much was read.
func (d *Document) read() string {
	entries, events := 0, 0
	for _, l := range d.Logs {
		entries, events = entries+l.Entries, events+l.Events
	}
	return fmt.Sprintf("%s, %s", many(entries, "entry"), many(events, "event"))
}

// malformed returns the logs that were not read whole.
func (d *Document) malformed() []LogRead {
	return slices.DeleteFunc(slices.Clone(d.Logs), func(l LogRead) bool { return l.Malformed == 0 })
}

// warning says what it means that some logs were not read whole.
func warning(malformed []LogRead) string {
	n := 0
	for _, l := range malformed {
		n += l.Malformed
	}
	each := "each may be an event"
	if n == 1 {
		each = "it may be an event"
	}
	return fmt.Sprintf("%s of %s could not be read; %s that is missing here", many(n, "entry"), many(len(malformed), "log"), each)
}

// approximate says what a document lacks whose log has too many different accesses.
const approximate = "There are more different accesses than a report tells apart. The totals are right; the rarest accesses are missing in the " +
	"lists, numbers of records are too low, and a count that is a range lies within it."

func (t text) totals() {
	c := t.Totals
	t.section("Totals")
	t.say("  ", fmt.Sprintf("%s of %s by %s; %s, %s, %s; %s of keys, rights and logs", many(c.Opens, "open"), many(t.Records, "record"),
		many(t.openers(), "principal"), many(c.Seals, "seal"), many(c.Rewraps, "rewrap"), many(c.Failures, "failure"), many(c.Changes, "change")))
	if t.Approximate {
		t.say("  ", approximate)
	}
}

// openers is how many principals opened something.
func (d *Document) openers() int {
	n := 0
	for _, p := range d.Principals {
		if p.Opens > 0 {
			n++
		}
	}
	return n
}

func (t text) unexplained() {
	if t.Unexplained.Count == 0 {
		t.section("Every open in the KMS's log is explained by an event of an application.")
		return
	}
	t.section(many(t.Unexplained.Count, "open") + " that no application event explains")
	t.lines(t.Unexplained, 25)
}

func (t text) unlogged() {
	if t.Unlogged.Count == 0 {
		t.section("The KMS's log has every open of the applications.")
		return
	}
	t.section(many(t.Unlogged.Count, "open") + " of the application that the KMS's log lacks")
	t.lines(t.Unlogged, 10)
}

func (t text) lines(lines Lines, most int) {
	table := table{{"Time", 0}, {"Principal", 12}, {"Record", 12}, {"Key", 12}, {"Address", 12}}
	rows := [][]string{}
	for _, l := range lines.First[:min(len(lines.First), most)] {
		rows = append(rows, []string{moment(l.Time), cmp.Or(l.Principal, nobody), cmp.Or(l.Record, unnamed), l.KeyID, l.Address})
	}
	t.table(table, rows, lines.Count)
}

func (t text) principals() {
	t.section("Principals")
	table := table{{"Principal", 20}, {"Opens", right}, {"Records", right}, {"Failures", right}, {"First", 0}, {"Last", 0}}
	rows := [][]string{}
	for _, p := range t.Principals[:min(len(t.Principals), 10)] {
		rows = append(rows, []string{cmp.Or(p.Name, nobody), number(p.Opens), number(p.Records), number(p.Failures), minute(p.First), minute(p.Last)})
	}
	t.table(table, rows, len(t.Principals))
}

func (t text) records() {
	t.section("Records opened most often")
	table := table{{"Record", 20}, {"Opens", right}, {"Key", 20}, {"First", 0}, {"Last", 0}}
	rows := [][]string{}
	for _, r := range t.TopRecords[:min(len(t.TopRecords), 10)] {
		rows = append(rows, []string{cmp.Or(r.Record, unnamed), counted(r), r.KeyID, minute(r.First), minute(r.Last)})
	}
	t.table(table, rows, t.Records)
}

func (t text) failures() {
	t.section("Failures")
	rows := [][]string{}
	for _, e := range t.Errors[:min(len(t.Errors), 10)] {
		rows = append(rows, []string{cmp.Or(e.Name, "(without an error)"), number(e.Count)})
	}
	t.table(table{{"Error", 20}, {"Count", right}}, rows, len(t.Errors))
}

func (t text) changes() {
	t.section("Changes of keys, rights and logs")
	table := table{{"Time", 0}, {"Principal", 12}, {"Action", 12}, {"Key", 12}, {"Outcome", 12}}
	rows := [][]string{}
	for _, l := range t.Changes[:min(len(t.Changes), 20)] {
		rows = append(rows, []string{moment(l.Time), cmp.Or(l.Principal, nobody), l.Action, l.KeyID, ended(l.Outcome, l.Error)})
	}
	t.table(table, rows, t.Totals.Changes)
}

// What stands where a log has no name.
const (
	untitled = "Who opened what"
	nobody   = "(not said)"
	unnamed  = "(not named)"
)

// ended says how it ended.
func ended(o Outcome, err string) string {
	if err == "" || o != Failed {
		return string(o)
	}
	return string(o) + ": " + err
}

// word is an operation as a report calls it.
func word(op kms.Op) string {
	switch op {
	case kms.OpDecrypt:
		return "open"
	case kms.OpEncrypt:
		return "seal"
	case OpManage:
		return "change"
	}
	return string(op)
}

func minute(t time.Time) string { return strings.TrimSuffix(moment(t), t.UTC().Format(":05")) }

// table has a head for each column, and to how few runes the column may shrink: 0 for as wide as it is.
type table []struct {
	name  string
	least int
}

// right is for numbers, which do not shrink and stand at the right.
const right = -1

// table writes rows, of which there are more elsewhere if all is greater.
func (t text) table(columns table, rows [][]string, all int) {
	if len(rows) == 0 {
		t.line("  none")
		return
	}
	widths := columns.fit(rows, textWidth-2)
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	for _, row := range append([][]string{names}, rows...) {
		cells := make([]string, len(row))
		for i, text := range row {
			text = elide(text, widths[i])
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if cells[i] = text + pad; columns[i].least == right {
				cells[i] = pad + text
			}
		}
		t.line("  %s", strings.Join(cells, "  "))
	}
	if more := all - len(rows); more > 0 {
		t.line("  and %s more", number(more))
	}
}

// fit returns how wide columns are that do not exceed width together, two spaces between each two: the widest lose first.
func (c table) fit(rows [][]string, width int) []int {
	widths := make([]int, len(c))
	total := 2 * (len(c) - 1)
	for i := range c {
		widths[i] = utf8.RuneCountInString(c[i].name)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i]
	}
	for ; total > width; total-- {
		widest := -1
		for i := range c {
			if c[i].least > 0 && widths[i] > c[i].least && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	return widths
}

// elide takes the middle out of a text that is too long: both ends of an ARN or a path tell more than it does.
func elide(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width {
		return text
	}
	tail := (width - 1) / 2
	return string(runes[:width-1-tail]) + "…" + string(runes[len(runes)-tail:])
}
