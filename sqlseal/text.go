package sqlseal

import (
	"context"
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// checkTexts refuses rows with a text in a column of the encryption context that the database would give back as another one:
// "001" of an integer, a UUID in capital letters, a char that is filled up with blanks. Their data keys would be wrapped for a
// row that nobody ever finds again. It asks the catalogue once, and only where such a column's Go type is text.
func (w *Writer) checkTexts(ctx context.Context, db *DB, rows []any) error {
	for _, name := range w.rows.ContextColumns() {
		for _, row := range rows {
			v, err := w.rows.Value(row, name)
			if err != nil {
				return err
			}
			text, isText := textOf(v)
			if !isText || text == "" {
				continue
			}
			columns, err := w.tableColumns(ctx, db)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(columns, func(c rowseal.TableColumn) bool {
				return c.Name == name || c.AnyCase && strings.EqualFold(c.Name, name)
			})
			if i >= 0 && !keeps(db.Dialect, columns[i], text) {
				return fmt.Errorf("sqlseal: column %s of %s is of type %s, which would give back another text than the row has, and the encryption "+
					"context uses it; write it as the database does, or give the field a type of its own (an integer, a [16]byte): %w",
					name, w.schema.Table, columns[i].Type, kms.ErrInvalidRequest)
			}
		}
	}
	return nil
}

// textOf is the text that a driver would be given; isText is false for integers and UUIDs, which are the same everywhere.
func textOf(v any) (text string, isText bool) {
	if valuer, ok := v.(driver.Valuer); ok {
		if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
			return "", false
		}
		inner, err := valuer.Value()
		text, isText = inner.(string)
		return text, isText && err == nil
	}
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer {
		r = r.Elem()
	}
	if r.Kind() != reflect.String {
		return "", false
	}
	return r.String(), true
}

// keeps tells whether a column gives a text back as it was written.
func keeps(d Dialect, c rowseal.TableColumn, text string) bool {
	length := utf8.RuneCountInString(text)
	switch {
	case c.Kind == rowseal.AnyColumn:
		return true
	case c.Kind == rowseal.BytesColumn:
		return d == SQLite
	case c.Kind != rowseal.TextColumn:
		return isCanonicalInteger(text) || isCanonicalUUID(text)
	case c.Fixed:
		return length == c.Size && !strings.HasSuffix(text, " ") // which it may be filled up with
	case d == MySQL && strings.HasPrefix(strings.ToLower(c.Type), "char") && strings.HasSuffix(text, " "):
		return false // the blanks are taken off
	}
	return c.Size == 0 || length <= c.Size // MySQL may cut what is longer
}

func isCanonicalInteger(text string) bool {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10) == text
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return err == nil && strconv.FormatUint(n, 10) == text
}

// isCanonicalUUID knows the form of RFC 9562 §4, which databases give back.
func isCanonicalUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i, r := range text {
		hyphen := i == 8 || i == 13 || i == 18 || i == 23
		if hyphen != (r == '-') || !hyphen && !strings.ContainsRune("0123456789abcdef", r) {
			return false
		}
	}
	return true
}

// tableColumns asks the catalogue once.
func (w *Writer) tableColumns(ctx context.Context, db *DB) ([]rowseal.TableColumn, error) {
	if known := w.columns.Load(); known != nil {
		return *known, nil
	}
	columns, err := db.TableColumns(ctx, w.schema.Table)
	if err == nil && len(columns) > 0 {
		w.columns.Store(&columns)
	}
	return columns, err
}
