package rowseal

import (
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"

	"github.com/rowseal/rowseal/kms"
)

// column is what a text or bytes column of the database holds. The zero value was never loaded, which is not NULL.
type column struct {
	kind columnKind
	text string
}

type columnKind uint8

const (
	notLoaded columnKind = iota
	isNull
	isText
	isBytes
)

// scanColumn copies what a driver hands to a Scanner; drivers reuse their buffers.
func scanColumn(src any) (column, error) {
	switch v := src.(type) {
	case nil:
		return column{kind: isNull}, nil
	case string:
		return column{kind: isText, text: v}, nil
	case []byte:
		return column{kind: isBytes, text: string(v)}, nil
	default:
		return column{}, fmt.Errorf("rowseal: a sealed column must be text or bytes, and the driver gave a %T: %w", src, kms.ErrInvalidRequest)
	}
}

// isNone tells that there is no content, not even an empty one.
func (c column) isNone() bool { return c.kind == notLoaded || c.kind == isNull }

// filled tells whether there is anything to open.
func (c column) filled() bool { return c.text != "" }

func (c column) value() driver.Value {
	switch c.kind {
	case isText:
		return c.text
	case isBytes:
		return []byte(c.text)
	default:
		return nil
	}
}

// redacted prints a state in place of a content, for every way in which Go prints things. It is embedded by no type,
// because embedding would export it; DataKey and Sealed call it.
type redacted string

func (r redacted) format(f fmt.State) { io.WriteString(f, string(r)) }

func (r redacted) logValue() slog.Value { return slog.StringValue(string(r)) }

func (r redacted) text() ([]byte, error) { return []byte(r), nil }

// errNotFromText refuses to read a value back from its redacted form, which would put "[sealed]" into the database.
func errNotFromText(name string) error {
	return fmt.Errorf("rowseal: a %s is not read from JSON or text: %w", name, kms.ErrInvalidRequest)
}
