package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/lockbox"
)

// shownRow is a row as it is printed.
type shownRow struct {
	Table       string            `json:"table"`
	ID          any               `json:"id"`
	Columns     shownColumns      `json:"columns"`
	Attachments []shownAttachment `json:"attachments,omitempty"`
}

type shownColumns []shownColumn

// shownColumn is a column as it is printed: its value or, where there is none to see, why.
type shownColumn struct {
	Name  string
	typ   lockbox.Type // "" for columns that are not sealed
	value any
	state string
}

type shownAttachment struct {
	Name        string `json:"name"`
	Filename    string `json:"filename"`
	ContentType string `json:"content_type"`
	SealedSize  int64  `json:"sealed_size"` // in bytes, of the object in the store
}

// MarshalJSON is an object in the order of the table, of the columns whose value is seen.
func (cs shownColumns) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for _, c := range cs {
		if c.state != "" {
			continue
		}
		value, err := json.Marshal(c.plain())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		name, err := json.Marshal(c.Name)
		if err != nil {
			return nil, err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// plain is the value as JSON has it: what JSON has no form for is text, and text that is not UTF-8 is {"base64": …}.
func (c shownColumn) plain() any {
	if v, ok := c.value.(time.Time); ok {
		return timeText(c.typ, v)
	}
	return inJSON(c.value)
}

func inJSON(v any) any {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return map[string][]byte{"base64": []byte(v)}
		}
	case netip.Prefix:
		return prefixText(v)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, one := range v {
			all[name] = inJSON(one)
		}
		return all
	case []any:
		all := make([]any, len(v))
		for i, one := range v {
			all[i] = inJSON(one)
		}
		return all
	}
	return v
}

func timeText(t lockbox.Type, v time.Time) string {
	switch t {
	case lockbox.Date:
		return v.Format(time.DateOnly)
	case lockbox.Time:
		return v.Format("15:04:05.999999999")
	}
	return v.Format(time.RFC3339Nano)
}

// prefixText leaves the length out where it is the whole address, as Ruby does.
func prefixText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// text is the value in one line. What could be taken for something else, or does more to a terminal than to show, is
// quoted as in Go.
func (c shownColumn) text() string {
	if c.state != "" {
		return c.state
	}
	if v, ok := c.value.(string); ok && !utf8.ValidString(v) {
		return strconv.Quote(v)
	}
	switch v := c.plain().(type) {
	case nil:
		return "NULL"
	case string:
		if plainText(v) {
			return v
		}
		return strconv.Quote(v)
	case []byte:
		return fmt.Sprintf("[%s]", count(len(v), "byte"))
	case bool, int64, float64:
		return fmt.Sprint(v)
	case rowseal.FileInfo:
		return fmt.Sprintf("[file %s, %s, %s]", strconv.Quote(v.Name), strconv.Quote(v.ContentType), count(int(v.Size), "byte"))
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprintf("[a %T]", v)
		}
		return string(b)
	}
}

func plainText(s string) bool {
	return s != "" && s != "NULL" && s == strings.TrimSpace(s) && !strings.ContainsAny(s[:1], `["`) && !strings.ContainsAny(s, "\n\r\t") && printable([]byte(s))
}

func printRows(w io.Writer, rows []shownRow) error {
	for i, r := range rows {
		if i > 0 {
			fmt.Fprintln(w)
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, c := range r.Columns {
			fmt.Fprintf(t, "%s\t%s\n", c.Name, c.text())
		}
		for i, a := range r.Attachments {
			name := a.Name
			if i > 0 && r.Attachments[i-1].Name == name || i+1 < len(r.Attachments) && r.Attachments[i+1].Name == name {
				name = fmt.Sprintf("%s/%d", name, nth(r.Attachments, i))
			}
			fmt.Fprintf(t, "%s\t[attachment %s, %s, %s sealed]\n", name, strconv.Quote(a.Filename), strconv.Quote(a.ContentType), count(int(a.SealedSize), "byte"))
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// nth counts the attachments of one name, from 1.
func nth(all []shownAttachment, i int) int {
	n := 1
	for i > 0 && all[i-1].Name == all[i].Name {
		n, i = n+1, i-1
	}
	return n
}
