package sweep

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/sqlseal"
)

// timeForms are the texts of times that databases give and Rails writes into SQLite, without a zone in UTC, as Rails has it.
var timeForms = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999"}

// valueOf is a value of a column that is not sealed, as the driver gave it, in the Go type that a Record takes for the field's type.
func (m move) valueOf(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	text, isText := v.(string)
	if b, ok := v.([]byte); ok && m.typ != lockbox.Binary {
		if !utf8.Valid(b) {
			return nil, fmt.Errorf("it is no text, which the type %s needs: %w", m.typ, kms.ErrInvalidRequest)
		}
		text, isText = string(b), true
	}
	var err error
	switch m.typ {
	case lockbox.String, "":
		if isText && utf8.ValidString(text) {
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
		if isText {
			if v, err = strconv.ParseInt(text, 10, 64); err == nil {
				return v, nil
			}
		}
	case lockbox.Float:
		if f, ok := v.(float64); ok {
			return f, nil
		}
		if isText {
			if v, err = strconv.ParseFloat(text, 64); err == nil {
				return v, nil
			}
		}
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
			return t, nil
		}
		if isText {
			return m.time(text)
		}
	case lockbox.JSON:
		if isText && json.Valid([]byte(text)) {
			return json.RawMessage(text), nil
		}
	case lockbox.Inet:
		if p, err := netip.ParsePrefix(text); err == nil {
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

func (m move) time(text string) (any, error) {
	forms := map[lockbox.Type][]string{
		lockbox.Date: {time.DateOnly}, lockbox.Time: append([]string{"15:04:05.999999999"}, timeForms...), lockbox.Datetime: timeForms,
	}[m.typ]
	for _, form := range forms {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return nil, m.misfit()
}

// plainOf is a value of the field as the column that is not sealed takes it.
func (m move) plainOf(d sqlseal.Dialect, v any) (any, error) {
	switch v := v.(type) {
	case time.Time:
		return m.plainTime(d, v.UTC()), nil
	case fmt.Stringer: // netip
		return v.String(), nil
	case []byte:
		if m.column.Kind == rowseal.TextColumn && !utf8.Valid(v) {
			return nil, m.misfit()
		}
		return v, nil
	case nil, string, bool, int64, float64:
		return v, nil
	}
	return nil, m.misfit()
}

func (m move) plainTime(d sqlseal.Dialect, t time.Time) any {
	switch {
	case m.typ == lockbox.Date:
		return t.Format(time.DateOnly)
	case m.typ == lockbox.Time:
		return t.Format("15:04:05.999999999")
	case d == sqlseal.PostgreSQL: // with a zone, or without, as the column has it
		return t
	}
	return t.Format("2006-01-02 15:04:05.999999") // what DATETIME(6) holds, and Rails writes
}
