package blindindex

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Index is the type of an index column (email_bidx): text, bytes where the index is raw, or NULL. It is a sql.Scanner and
// a driver.Valuer. The zero Index is NULL too, and was never loaded or set.
//
// An index is no secret to those who lack its key, but equal values have equal indexes; so fmt, log/slog and
// encoding/json see "[index]" or "[null]", and Text alone hands it out. Indexes compare with ==. Reading one from several
// goroutines is safe; Scan and the setters need the care of any struct field.
type Index struct {
	kind kind
	text string
}

type kind uint8

const (
	notLoaded kind = iota
	isNull
	isText
	isBytes
)

// Text returns the index as the column holds it: base64, or raw bytes; "" for NULL.
func (i Index) Text() string { return i.text }

// IsNull tells whether there is no index.
func (i Index) IsNull() bool { return i.kind == notLoaded || i.kind == isNull }

// IsLoaded tells whether the column was loaded or set, to NULL or to an index.
func (i Index) IsLoaded() bool { return i.kind != notLoaded }

// Set sets an index that the column holds as text. "", which no value has for an index, is NULL.
func (i *Index) Set(text string) { i.set(isText, text) }

// SetRaw sets an index that the column holds as bytes, as one is that was made with Options.Raw. "" is NULL.
func (i *Index) SetRaw(index string) { i.set(isBytes, index) }

// SetNull sets NULL.
func (i *Index) SetNull() { *i = Index{kind: isNull} }

func (i *Index) set(k kind, text string) {
	if text == "" {
		k = isNull
	}
	*i = Index{k, text}
}

// Scan implements sql.Scanner for NULL, text and bytes, which it copies. Whatever the length, it is kept as it is.
func (i *Index) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		i.SetNull()
	case string:
		*i = Index{isText, v}
	case []byte:
		*i = Index{isBytes, string(v)}
	default:
		return fmt.Errorf("blindindex: an index column must be text or bytes, and the driver gave a %T", src)
	}
	return nil
}

// Value implements driver.Valuer: a string; a []byte if it was set raw or loaded as bytes; or nil for NULL.
func (i Index) Value() (driver.Value, error) {
	switch i.kind {
	case isText:
		return i.text, nil
	case isBytes:
		return []byte(i.text), nil
	default:
		return nil, nil
	}
}

// GormDataType tells GORM the column's type. Where text takes no unique index (MySQL), declare the column yourself; the
// package's documentation says how.
func (Index) GormDataType() string { return "text" }

// String returns "[index]", or "[null]".
func (i Index) String() string {
	if i.IsNull() {
		return "[null]"
	}
	return "[index]"
}

// Format implements fmt.Formatter: every verb prints what String returns.
func (i Index) Format(f fmt.State, _ rune) { io.WriteString(f, i.String()) }

// LogValue implements slog.LogValuer in the same way.
func (i Index) LogValue() slog.Value { return slog.StringValue(i.String()) }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too, in the same way.
func (i Index) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText refuses, because it would put "[index]" into the database.
func (i *Index) UnmarshalText([]byte) error {
	return errors.New("blindindex: an Index is not read from JSON or text; use Set")
}
