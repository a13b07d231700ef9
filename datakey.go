package rowseal

import (
	"database/sql/driver"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/rowseal/rowseal/kms"
)

// DataKey is the type of a key column (encrypted_kms_key): the row's data key, wrapped by the KMS as "v1:" and base64,
// and, once a Model has opened or sealed the row, also unwrapped. It is a sql.Scanner and a driver.Valuer, and never
// calls a KMS by itself.
//
// The zero DataKey was never loaded. That is not NULL: writing it is refused with ErrUnsealed until Model.Seal has seen
// the row, because a NULL over the wrapped key of a row loses the row.
//
// Copies share the unwrapped key, so that Wipe reaches them all; Scan and the methods that change the wrapped key make
// a DataKey independent again. Reading a DataKey from several goroutines is safe; Scan and the Model's methods change
// it and need the care of any struct field.
type DataKey struct {
	h *handle
}

// handle is a data key of one row. Only what mu guards changes after it is made.
type handle struct {
	current column  // what would be written now
	before  *handle // of a rewrapped key: the handle by which fields that were opened before the rewrap still open

	mu     sync.RWMutex
	stored column // what the database holds, as far as the row knows
	sent   column // what was written since, in a transaction whose end is not known; not loaded: nothing
	// replaced tells that current is no wrapping of the data key in stored, so that what is sealed under that is lost.
	replaced bool
	inserted bool  // stored was inserted, in a transaction whose end is not known
	rows     *Rows // that the row was bound to
	opened   *openedKey
	// secret is the data key of a row that is inserted before the KMS can be told its id: the key column is NULL until Seal
	// has wrapped it. nil: there is none. A closure, because printers follow fields.
	secret func() []byte
	print  *fingerprint // of the data key, once it was opened; it outlives Wipe
	purged bool         // the attachments under the stored key are gone
	// movedFrom is the key under which the attachments are in the database, while a RekeyWith is not committed.
	movedFrom *handle
}

// identity is what binds a data key, and the fields under it, to its row.
type identity struct {
	ec   kms.Context // by the KMS
	id   string      // by BindRow, else ""
	ring string      // the columns that chose the keyring, quoted
	// primary is the primary key, "" if the row had none yet. It binds nothing by itself, and tells copies of a struct apart.
	primary string
}

func (i identity) equal(j identity) bool {
	return i.id == j.id && i.ring == j.ring && maps.Equal(i.ec, j.ec)
}

func (h *handle) unwrapped() *openedKey {
	if h == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.opened
}

func (h *handle) keep(k *openedKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened, h.print = k, k.fingerprint()
}

// fingerprint is that of the data key, nil if it was never opened.
func (h *handle) fingerprint() *fingerprint {
	if h == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.print
}

func (h *handle) inDatabase() column {
	if h == nil {
		return column{}
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.stored
}

// committed tells that the database holds what would be written.
func (h *handle) committed() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored, h.sent, h.replaced, h.inserted, h.purged, h.movedFrom = h.current, column{}, false, false, false, nil
}

// wrote tells that the key was in a statement, and that nobody knows yet whether its transaction is committed.
func (h *handle) wrote() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.current != h.stored {
		h.sent = h.current
	}
}

// written is what wrote was told of.
func (h *handle) written() column {
	if h == nil {
		return column{}
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.sent
}

// insert tells that the row was inserted as it is, with this primary key.
func (h *handle) insert(primary string) {
	h.committed()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inserted = true
	if h.opened != nil && h.opened.row.primary != primary {
		row := h.opened.row
		row.primary = primary
		h.opened = h.opened.in(row)
	}
}

// wasInserted tells whether the row is in the database only if a transaction was committed whose end is not known.
func (h *handle) wasInserted() bool {
	if h == nil {
		return false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.inserted
}

// loses tells whether the data key of the stored column is given up.
func (h *handle) loses() bool {
	if h == nil {
		return false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.replaced
}

// forgetsAttachments tells whether a new key would lose attachments under the one that the database has.
func (h *handle) forgetsAttachments() bool {
	if h == nil {
		return false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.stored.filled() && !h.purged
}

func (h *handle) moving() *handle {
	if h == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.movedFrom
}

func (h *handle) boundTo() *Rows {
	if h == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rows
}

func (h *handle) bind(r *Rows) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows = r
}

func (h *handle) forget() {
	for ; h != nil; h = h.before {
		h.moving().forget()
		h.mu.Lock()
		if h.secret != nil {
			clear(h.secret())
		}
		h.opened, h.secret = nil, nil
		h.mu.Unlock()
	}
}

// spend gives up a pending data key that a KMS has wrapped: a copy of the struct must not have it wrapped for another row.
func (h *handle) spend() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.secret != nil {
		clear(h.secret())
		h.opened, h.secret = nil, nil
	}
}

func (h *handle) isPending() bool {
	if h == nil {
		return false
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.secret != nil
}

// pending is a copy of the data key that is not wrapped yet, nil if there is none.
func (h *handle) pending() []byte {
	if h == nil {
		return nil
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.secret == nil {
		return nil
	}
	return slices.Clone(h.secret())
}

// Scan implements sql.Scanner for NULL, text and bytes.
func (k *DataKey) Scan(src any) error {
	c, err := scanColumn(src)
	if err != nil {
		return err
	}
	if len(c.text) > maxWrapped {
		return fmt.Errorf("rowseal: a key column of %d bytes is too long for a wrapped key (at most %d): %w",
			len(c.text), maxWrapped, kms.ErrInvalidRequest)
	}
	k.h = &handle{stored: c, current: c}
	return nil
}

// Value implements driver.Valuer: the wrapped key as text, or as bytes where the column is declared so or
// was loaded as such; NULL; or ErrUnsealed for a key that was neither loaded nor sealed.
func (k DataKey) Value() (driver.Value, error) {
	if k.h == nil {
		return unsealed, fmt.Errorf("rowseal: the data key was neither loaded nor sealed; call Model.Seal before saving: %w", ErrUnsealed)
	}
	return k.h.current.value(), nil
}

// unsealed is the value that goes with ErrUnsealed. It is not nil, because GORM takes (nil, error) for NULL.
const unsealed = "[unsealed]"

// IsNull tells whether there is no wrapped key: NULL, or never loaded.
func (k DataKey) IsNull() bool { return !k.current().filled() }

// Wrapped returns the wrapped key as the key column holds it, "" if there is none. It is no secret without the KMS.
func (k DataKey) Wrapped() string { return k.current().text }

// Stored returns what the database holds: the wrapped key that was loaded, or that Model.Committed was told of, as the
// driver gave it, a string or []byte, or nil for NULL; and whether the column was loaded at all. Seal, Rewrap and Clear
// leave it as it is. An UPDATE that replaces the key compares the column with it, so that it overwrites nobody else's key,
// and is wrong where nothing was loaded.
func (k DataKey) Stored() (value driver.Value, loaded bool) {
	stored := k.h.inDatabase()
	return stored.value(), stored.kind != notLoaded
}

// Wipe forgets the unwrapped key, in all copies. Its bytes were overwritten when it was expanded for AES; the expanded
// key, which Go's AES does not let us overwrite, is freed. Fields that Get has opened keep their plaintext: Model.Wipe
// forgets that too.
func (k DataKey) Wipe() {
	k.h.forget()
}

func (k DataKey) current() column {
	if k.h == nil {
		return column{}
	}
	return k.h.current
}

// replace returns another key, which remembers what the database holds.
func (k DataKey) replace(current column, opened *openedKey) DataKey {
	h := &handle{stored: k.h.inDatabase(), sent: k.h.written(), replaced: true, current: current, opened: opened, movedFrom: k.h.moving(),
		print: opened.fingerprint()}
	h.rows, h.inserted = k.h.boundTo(), k.h.wasInserted()
	h.purged = h.stored.filled() && !k.h.forgetsAttachments()
	return DataKey{h}
}

// cell is a wrapped key in the type of the column: the one declared, or the one that it had.
func (k DataKey) cell(wrapped string, bytes bool) column {
	if bytes || k.h.inDatabase().kind == isBytes {
		return column{kind: isBytes, text: wrapped}
	}
	return column{kind: isText, text: wrapped}
}

// GormDataType tells GORM the column's type.
func (DataKey) GormDataType() string { return "text" }

func (k DataKey) redacted() redacted {
	switch {
	case k.h.unwrapped() != nil:
		return "[data key: opened]"
	case k.current().filled():
		return "[data key: wrapped]"
	case k.h == nil:
		return "[data key: not loaded]"
	default:
		return "[data key: null]"
	}
}

// Format implements fmt.Formatter: every verb prints the state, never the content.
func (k DataKey) Format(f fmt.State, _ rune) { k.redacted().format(f) }

// LogValue implements slog.LogValuer with the state.
func (k DataKey) LogValue() slog.Value { return k.redacted().logValue() }

// MarshalText implements encoding.TextMarshaler, which encoding/json uses too, with the state.
func (k DataKey) MarshalText() ([]byte, error) { return k.redacted().text() }

// UnmarshalText refuses: a DataKey comes from a database.
func (k *DataKey) UnmarshalText([]byte) error { return errNotFromText("DataKey") }
