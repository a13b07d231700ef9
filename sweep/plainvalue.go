package sweep

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/sqlseal"
)

// timeForms are the texts of times that databases give, and that Rails and drivers of Go write into SQLite (modernc.org/sqlite writes
// time.Time's String). Without a zone they are in UTC, as Rails has it.
var timeForms = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999 -0700 MST",
}

// isSingle tells whether the column has single precision, whose digits are fewer than those of the float64 that a driver makes of it.
func (m move) isSingle() bool {
	return !m.sealed && m.dialect == sqlseal.PostgreSQL && m.column.Type == "real"
}

// valueOf is a value of a column that is not sealed, as the driver gave it, in the Go type that a Record takes for the field's type. What
// would not come back as it was is refused.
func (m move) valueOf(p sqlseal.Plain) (any, error) {
	v := p.Value
	switch n := v.(type) {
	case uint64: // MySQL's driver gives it for BIGINT UNSIGNED, unless the statement has arguments
		if v = strconv.FormatUint(n, 10); n <= math.MaxInt64 {
			v = int64(n)
		}
	default:
		if v == nil || !driver.IsValue(v) { // pgx's own types without database/sql, and its nil for JSON's null
			v = p.Match.Value
		}
	}
	if v == nil {
		return nil, nil
	}
	text, isText := v.(string)
	if b, ok := v.([]byte); ok && m.typ != lockbox.Binary {
		text, isText = string(b), true
	}
	if !utf8.ValidString(text) && m.typ != lockbox.Binary {
		return nil, m.misfit()
	}
	switch m.typ {
	case lockbox.String:
		if isText {
			return text, nil
		}
	case lockbox.Binary:
		if b, ok := v.([]byte); ok {
			return b, nil
		}
		if isText {
			return []byte(text), nil
		}
	case lockbox.Boolean:
		return m.boolean(v, text)
	case lockbox.Integer:
		if n, ok := v.(int64); ok {
			return n, nil
		}
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
			return n, nil
		}
	case lockbox.Float:
		return m.float(v, text)
	case lockbox.Decimal:
		if isText {
			return text, nil
		}
		switch n := v.(type) { // SQLite's NUMERIC
		case int64:
			return strconv.FormatInt(n, 10), nil
		case float64:
			return strconv.FormatFloat(n, 'f', -1, 64), nil
		}
	case lockbox.Date, lockbox.Datetime, lockbox.Time:
		if t, ok := v.(time.Time); ok {
			return m.instant(t, p)
		}
		return m.time(text)
	case lockbox.JSON:
		if isText && json.Valid([]byte(text)) {
			return json.RawMessage(text), nil
		}
	case lockbox.Inet:
		if p, err := netip.ParsePrefix(text); err == nil && p == p.Masked() { // else the field would hold the network without the host
			return p, nil
		}
		if a, err := netip.ParseAddr(text); err == nil {
			return a, nil
		}
	}
	return nil, m.misfit()
}

func (m move) misfit() error {
	return fmt.Errorf("a value in it, of the column's type %s, is none of the field's type %s: %w", m.column.Type, m.typ, kms.ErrInvalidRequest)
}

// boolean reads also 1 and 0, and the t and f of older Rails in SQLite.
func (m move) boolean(v any, text string) (any, error) {
	switch {
	case v == true, v == int64(1), text == "t", text == "true", text == "1":
		return true, nil
	case v == false, v == int64(0), text == "f", text == "false", text == "0":
		return false, nil
	}
	return nil, m.misfit()
}

// float refuses a decimal with more digits than a float has.
func (m move) float(v any, text string) (any, error) {
	f, ok := v.(float64)
	switch {
	case ok && m.isSingle():
		return strconv.ParseFloat(strconv.FormatFloat(f, 'g', -1, 32), 64) // 0.1, as the database and Rails show it
	case ok:
		return f, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && (text == strconv.FormatFloat(f, 'g', -1, 64) || sameDecimal(text, strconv.FormatFloat(f, 'f', -1, 64))) {
		return f, nil
	}
	return nil, m.misfit()
}

func sameDecimal(a, b string) bool {
	codec, err := lockbox.CodecOf[string](lockbox.Decimal)
	if err != nil {
		return false
	}
	x, errX := codec.Append(nil, a)
	y, errY := codec.Append(nil, b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// instant is a time that the driver has read. Of a date that lacks its day, month or year (MySQL's 0000-00-00) it has made another one,
// which only the text shows.
func (m move) instant(t time.Time, p sqlseal.Plain) (any, error) {
	shown, _ := p.Match.Value.(string)
	hours, minutes, seconds := t.Clock()
	isDay := hours+minutes+seconds+t.Nanosecond() == 0 && !strings.HasSuffix(m.column.Type, "with time zone")
	switch {
	case strings.Contains(shown[:min(len(shown), len(time.DateOnly))], "-00"), m.typ == lockbox.Time, m.typ == lockbox.Date && !isDay:
		return nil, m.misfit()
	}
	return t, nil
}

func (m move) time(text string) (any, error) {
	forms := map[lockbox.Type][]string{
		lockbox.Date: {time.DateOnly}, lockbox.Time: append([]string{"15:04:05.999999999"}, timeForms...), lockbox.Datetime: timeForms,
	}[m.typ]
	text, _, _ = strings.Cut(text, " m=") // the monotonic clock in time.Time's String
	for _, form := range forms {
		t, err := time.Parse(form, text)
		switch {
		case err != nil:
			continue
		case m.typ == lockbox.Time && t.Year() != 0 && t.Format(time.DateOnly) != "2000-01-01": // the day that Rails gives a time
			return nil, m.misfit()
		}
		return t, nil
	}
	return nil, m.misfit()
}

// plainOf is a value of the field as the column that is not sealed takes it.
func (m move) plainOf(v any) (any, error) {
	switch v := v.(type) {
	case time.Time:
		return m.plainTime(v.UTC()), nil
	case netip.Prefix:
		if v.IsSingleIP() {
			return v.Addr().String(), nil
		}
		return v.String(), nil
	case json.RawMessage:
		return m.plainText(string(v), v)
	case string:
		return m.plainText(v, []byte(v))
	case []byte:
		if m.column.Kind == rowseal.AnyColumn && (!m.isText() || !utf8.Valid(v)) {
			return v, nil
		}
		return m.plainText(string(v), v)
	case int64:
		if m.isText() {
			return strconv.FormatInt(v, 10), nil
		}
		return v, nil
	case float64:
		if m.isText() {
			return strconv.FormatFloat(v, 'g', -1, 64), nil
		}
		return v, nil
	case bool:
		if m.isText() { // true, t, or 1?
			return nil, m.misfit()
		}
		return v, nil
	case nil:
		return nil, nil
	}
	return nil, m.misfit()
}

// isText tells whether the column is for text. SQLite's have the affinity TEXT (https://www.sqlite.org/datatype3.html §3.1).
func (m move) isText() bool {
	return m.column.Kind == rowseal.TextColumn || m.column.Kind == rowseal.AnyColumn && m.column.Type != "" && !m.isBytes()
}

func (m move) isBytes() bool {
	return m.column.Kind == rowseal.BytesColumn || m.column.Kind == rowseal.AnyColumn && strings.Contains(strings.ToUpper(m.column.Type), "BLOB")
}

// plainText is text for a column of bytes as bytes: PostgreSQL would read its backslashes as escapes.
func (m move) plainText(text string, raw []byte) (any, error) {
	switch {
	case m.isBytes():
		return raw, nil
	case !utf8.ValidString(text):
		return nil, m.misfit()
	}
	return text, nil
}

// plainTime leaves it to the drivers of servers to write a time with a zone, or without, as they read it (loc of MySQL's driver).
func (m move) plainTime(t time.Time) any {
	server := m.dialect != sqlseal.SQLite && m.column.Kind == rowseal.OtherColumn
	switch {
	case m.typ == lockbox.Date:
		return t.Format(time.DateOnly)
	case m.typ == lockbox.Time:
		return t.Format("15:04:05" + fraction(t))
	case server && m.dialect == sqlseal.MySQL && t.IsZero(): // of which its driver makes 0000-00-00
	case server:
		return t.Truncate(time.Microsecond)
	}
	return t.Format("2006-01-02 15:04:05" + fraction(t))
}

// fraction is the form of a second's decimals: six where there are any, as Rails writes them, because SQLite compares the text.
func fraction(t time.Time) string {
	switch {
	case t.Nanosecond() == 0:
		return ""
	case t.Nanosecond()%1000 == 0:
		return ".000000"
	}
	return ".000000000"
}
