package rowseal

import (
	"database/sql/driver"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"

	"github.com/rowseal/rowseal/lockbox"
)

// Sealed is the type of a sealed column (email_ciphertext): a value of type T that the database sees only as a
// ciphertext in Lockbox's format (https://github.com/ankane/lockbox). It is a sql.Scanner and a driver.Valuer, and
// opens nothing by itself.
//
// A Sealed is NULL (also the zero value: one that a SELECT left out is NULL when it is saved), sealed (loaded), opened
// (by Model.Open), or set (by Set, until Model.Seal). T is a string, []byte, bool, an integer, a float, a time.Time, a
// netip.Prefix or Addr, a type made of one of them or with MarshalText and UnmarshalText, any type that encoding/json takes
// (`rowseal:"type=json"`), or a lockbox.Value; package lockbox says which types there are.
//
// Nothing prints the plaintext but Get and Ptr: fmt, log/slog, encoding/json, errors and test diffs see the state, and
// writing a value that is set and not sealed is refused with ErrUnsealed. Reading a Sealed from several goroutines is
// safe; Set, Scan and the Model's methods change it and need the care of any struct field. Copies are independent.
type Sealed[T any] struct {
	c *cell[T] // never changed, only replaced; nil: NULL
}

// cell is the content of a Sealed: a ciphertext, a plaintext, or both.
type cell[T any] struct {
	ciphertext column            // not loaded while set
	plain      func() (T, error) // nil: not opened. A closure, because printers and test diffs follow fields.
	set        bool              // plain is not in ciphertext yet
	made       bool              // ciphertext was made here, and is certainly under that key
	under      *fingerprint      // of the data key by which ciphertext was sealed or is to be opened; nil: not known
	*history                     // nil: as it was loaded
}

// history is what a column that this package writes remembers beside its content.
type history struct {
	stored column // what the database holds, as far as the row knows
	sent   bool   // the content was written, in a transaction whose end is not known
	// earlier is what else the database may hold again, after a rollback: what it held before, and what was sent.
	earlier []column
	nulled  bool // NULL was set, and is to be written whatever the database holds
	remade  bool // its indexes were made anew
}

// isKept tells whether a column with this content is not to be written.
func (h history) isKept(current column) bool {
	return !h.nulled && (current.kind == notLoaded || current.isSame(h.stored))
}

// mayBe tells whether the database may hold this by what the row has done itself.
func (h history) mayBe(now column) bool {
	return now.isSame(h.stored) || slices.ContainsFunc(h.earlier, now.isSame)
}

func (s Sealed[T]) past() history {
	switch {
	case s.c == nil:
		return history{}
	case s.c.history == nil:
		return history{stored: s.c.ciphertext}
	}
	return *s.c.history
}

// since is the history of another content.
func (s Sealed[T]) since() *history {
	past := s.past()
	return &history{stored: past.stored, earlier: past.earlier}
}

// keepPast changes the history.
func (s *Sealed[T]) keepPast(h history) {
	c := cell[T]{}
	if s.c != nil {
		c = *s.c
	}
	c.history = &h
	s.c = &c
}

// setAgain makes a value that was set and sealed one that is to be sealed again. It is false where the value is not known
// any more.
func (s *Sealed[T]) setAgain() bool {
	if s.c == nil || s.c.plain == nil {
		return false
	}
	s.c = &cell[T]{set: true, plain: s.c.plain, history: s.since()}
	return true
}

// Set sets a value to be sealed. A nil []byte is NULL, as database/sql has it; other slices are copied.
func (s *Sealed[T]) Set(v T) {
	if reflect.TypeFor[T]().Kind() == reflect.Slice {
		slice := reflect.ValueOf(v)
		if slice.IsNil() {
			s.SetNull()
			return
		}
		v = reflect.AppendSlice(reflect.MakeSlice(slice.Type(), 0, slice.Len()), slice).Interface().(T)
	}
	s.c = &cell[T]{set: true, plain: func() (T, error) { return v, nil }, history: s.since()}
}

// SetNull sets NULL, which needs no sealing.
func (s *Sealed[T]) SetNull() {
	s.c = &cell[T]{ciphertext: column{kind: isNull}, history: s.since()}
	s.c.nulled = true
}

// IsNull tells whether there is no value.
func (s Sealed[T]) IsNull() bool {
	return !s.isSet() && s.sealed().isNone()
}

// Get returns the value. NULL is T's zero value and no error; a sealed value that no Model.Open has opened is
// ErrNotOpened; one that does not open is ErrDecryptionFailed in an *Error that tells the place. A slice belongs to the
// Sealed: do not change it.
func (s Sealed[T]) Get() (T, error) {
	var zero T
	switch {
	case s.IsNull():
		return zero, nil
	case s.c.plain == nil:
		return zero, fmt.Errorf("rowseal: the value is sealed; call Model.Open first: %w", ErrNotOpened)
	default:
		return s.c.plain()
	}
}

// Ptr is Get with nil for NULL.
func (s Sealed[T]) Ptr() (*T, error) {
	v, err := s.Get()
	if err != nil || s.IsNull() {
		return nil, err
	}
	return &v, nil
}

// Ciphertext returns what the column holds: base64, or raw bytes where the column is declared raw; "" for NULL and for
// a value that is not sealed yet.
func (s Sealed[T]) Ciphertext() string { return s.sealed().text }

// Scan implements sql.Scanner for NULL, text and bytes. It opens nothing.
func (s *Sealed[T]) Scan(src any) error {
	c, err := scanColumn(src)
	if err != nil {
		return err
	}
	s.c = &cell[T]{ciphertext: c}
	return nil
}

// Value implements driver.Valuer: the ciphertext (text, or bytes where the column is declared raw or was loaded as
// such), NULL, or ErrUnsealed for a value that is set and not sealed.
func (s Sealed[T]) Value() (driver.Value, error) {
	if s.isSet() {
		return unsealed, fmt.Errorf("rowseal: the value is not sealed; seal it before it is saved, and look for it by its blind index: %w", ErrUnsealed)
	}
	return s.sealed().value(), nil
}

func (s Sealed[T]) sealed() column {
	if s.c == nil {
		return column{}
	}
	return s.c.ciphertext
}

// GormDataType tells GORM the column's type; a raw column needs its own (`gorm:"type:bytea"`).
func (Sealed[T]) GormDataType() string { return "text" }

func (s Sealed[T]) redacted() redacted {
	switch {
	case s.IsNull():
		return "[null]"
	case s.c.set:
		return unsealed
	case s.c.plain != nil:
		return "[opened]"
	default:
		return "[sealed]"
	}
}

// Format implements fmt.Formatter: every verb prints the state, never the content.
func (s Sealed[T]) Format(f fmt.State, _ rune) { s.redacted().format(f) }

// LogValue implements slog.LogValuer with the state.
func (s Sealed[T]) LogValue() slog.Value { return s.redacted().logValue() }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too, with the state.
func (s Sealed[T]) MarshalText() ([]byte, error) { return s.redacted().text() }

// UnmarshalText refuses: use Set.
func (s *Sealed[T]) UnmarshalText([]byte) error { return errNotFromText("Sealed value; use Set") }

// sealedColumn is a *Sealed[T] to a Model, which does not know T. codec is what newCodec returned.
type sealedColumn interface {
	newCodec(lockbox.Type) (t lockbox.Type, codec any, err error)
	isSet() bool
	sealed() column
	plaintext(codec any) ([]byte, error)
	decodes(codec any, plaintext []byte) error
	take(from sealedColumn) error
	adopt(ciphertext column, under *fingerprint)
	attach(codec any, under *fingerprint, open opener)
	sealedUnder() (key *fingerprint, made bool)
	forget()
	SetNull()
	Scan(src any) error
	past() history
	keepPast(history)
	setAgain() bool
}

// newCodec returns the codec of a type, and the type that "" means.
func (s *Sealed[T]) newCodec(t lockbox.Type) (lockbox.Type, any, error) {
	t, err := lockbox.TypeOf[T](t)
	if err != nil {
		return t, nil, err
	}
	codec, err := lockbox.CodecOf[T](t)
	return t, codec, err
}

func (s Sealed[T]) isSet() bool { return s.c != nil && s.c.set }

// plaintext returns the bytes to seal of a value that is set.
func (s *Sealed[T]) plaintext(codec any) ([]byte, error) {
	v, err := s.c.plain()
	if err != nil {
		return nil, err
	}
	return codec.(lockbox.Codec[T]).Append(nil, v)
}

// decodes tells whether a plaintext is a value of the field's type.
func (s *Sealed[T]) decodes(codec any, plaintext []byte) error {
	_, err := codec.(lockbox.Codec[T]).Decode(plaintext)
	return err
}

// take sets the value that another row has in the column.
func (s *Sealed[T]) take(from sealedColumn) error {
	v, err := from.(*Sealed[T]).Get()
	if err == nil {
		s.Set(v)
	}
	return err
}

// adopt files the ciphertext of a value that was set; the value stays opened.
func (s *Sealed[T]) adopt(ciphertext column, under *fingerprint) {
	s.c = &cell[T]{ciphertext: ciphertext, plain: s.c.plain, made: true, under: under, history: s.since()}
}

// attach lets Get open the ciphertext, once, when it is first asked.
func (s *Sealed[T]) attach(codec any, under *fingerprint, open opener) {
	s.c = &cell[T]{history: s.c.history, ciphertext: s.c.ciphertext, made: s.c.made, under: under, plain: sync.OnceValues(func() (v T, err error) {
		err = open(func(plaintext []byte) error {
			v, err = codec.(lockbox.Codec[T]).Decode(plaintext)
			return err
		})
		return v, err
	})}
}

// opener opens one ciphertext, hands the plaintext to decode, and puts the place into whichever error comes up.
type opener func(decode func(plaintext []byte) error) error

// forget closes what was opened. A value that is set and not sealed has no other place, and stays.
func (s *Sealed[T]) forget() {
	if s.c != nil && !s.c.set {
		s.c = &cell[T]{ciphertext: s.c.ciphertext, made: s.c.made, under: s.c.under, history: s.c.history}
	}
}

func (s Sealed[T]) sealedUnder() (key *fingerprint, made bool) {
	if s.c == nil {
		return nil, false
	}
	return s.c.under, s.c.made
}
