package rowseal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rowseal/rowseal/kms"
)

// The errors of this package. Match them with errors.Is. Those of the KMS (kms.ErrAccessDenied and its siblings) and of
// ctx pass through.
var (
	// ErrDecryptionFailed: a wrong context, key, row, column or byte. Which of them is not told. It is
	// kms.ErrDecryptionFailed.
	ErrDecryptionFailed = kms.ErrDecryptionFailed
	// ErrVersionNotActive: a key column names a version that its Keyring does not have.
	ErrVersionNotActive = errors.New("version not active")
	// ErrNotReady: the encryption context needs a column that the row does not have yet, as a rule the id that the
	// database makes.
	ErrNotReady = errors.New("not ready")
	// ErrNotOpened: a value was asked for that is still sealed.
	ErrNotOpened = errors.New("not opened")
	// ErrUnsealed: a value was about to be written that has not been sealed.
	ErrUnsealed = errors.New("unsealed")
	// ErrContextChanged: a column that the encryption context uses has another value than when the data key was wrapped.
	ErrContextChanged = errors.New("context changed")
	// ErrConflict: someone else has changed the row since it was loaded, in a way that the change at hand cannot be made on
	// top of. Load the row again.
	ErrConflict = errors.New("conflict")
	// ErrNoKey: a ciphertext stands beside a key column that is NULL, empty or not loaded, so nothing can open it.
	ErrNoKey = errors.New("no data key")
)

// Error says where in the database something failed. It never holds a value.
type Error struct {
	Table   string
	ID      string // the primary key, "" if the row has none yet
	Column  string // "" for the row as a whole
	Version int    // of the keyring; 0 if none was chosen
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("rowseal: " + e.Table)
	if e.ID != "" {
		fmt.Fprintf(&b, " %q", e.ID)
	}
	if e.Column != "" {
		b.WriteString(" " + e.Column)
	}
	if e.Version != 0 {
		fmt.Fprintf(&b, " (version %d)", e.Version)
	}
	return b.String() + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// at is the same row with a column and what went wrong there.
func (e *Error) at(column string, err error) *Error {
	there := *e
	there.Column, there.Err = column, err
	return &there
}

// BatchError holds the errors of a call over several rows. Rows that are not in it succeeded.
type BatchError struct {
	Rows []RowError // in the order of the rows; a row can be in it more than once, for several keys
	Of   int        // how many rows the call had
}

// RowError is what went wrong with the row at Index of the call's rows.
type RowError struct {
	Index int
	Err   error
}

// Error tells the first error and how many there are.
func (e *BatchError) Error() string {
	switch len(e.Rows) {
	case 0:
		return "rowseal: no errors"
	case 1:
		return e.Rows[0].Err.Error()
	default:
		return fmt.Sprintf("%v (and %d more errors in a call over %d rows)", e.Rows[0].Err, len(e.Rows)-1, e.Of)
	}
}

// Unwrap returns the errors of all rows, for errors.Is and errors.As.
func (e *BatchError) Unwrap() []error {
	errs := make([]error, len(e.Rows))
	for i, r := range e.Rows {
		errs[i] = r.Err
	}
	return errs
}
