package rowseal

import (
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// rowKey is the work on one key column, or master key, of one row.
type rowKey struct {
	*engine
	row int // its index in the call
	rec record
	key int      // its index in the engine
	dk  *DataKey // nil: a master key
	err error

	job      *job         // of the KMS; nil: none is needed
	fresh    bool         // the job wraps a new data key
	local    bool         // it does so later: the row has no id yet
	opened   *openedKey   // what opens and seals, once known
	rekeys   bool         // the fields that stay are sealed anew under a fresh key
	before   *openedKey   // of a rekey: what opens the old values
	hadNoKey bool         // of a rekey: the key column was NULL
	values   []*sealing   // fields on their way to their columns
	loads    []*fileWrite // files on their way to their stores
	nulled   []int        // fields that were set to NULL
	reindex  bool         // indexes are made anew whatever was set
	place    *Error       // where this is; see at
}

func (k *rowKey) isMaster() bool { return k.keys[k.key].master != nil }

func (k *rowKey) fields() []int { return k.keys[k.key].fields }

func (k *rowKey) files() []int { return k.keys[k.key].files }

// keyColumn names the key in messages.
func (k *rowKey) keyColumn() string {
	if k.isMaster() {
		return ""
	}
	return k.schema.Keys[k.key].Column
}

// unwrapped is the key as far as it is open without a KMS.
func (k *rowKey) unwrapped() *openedKey {
	if k.isMaster() {
		return k.keys[k.key].master
	}
	return k.dk.h.unwrapped()
}

func (k *rowKey) openedByJob() (*openedKey, error) {
	if k.job.err != nil {
		return nil, k.job.err
	}
	row, err := k.identity(k.job.ec)
	if err != nil {
		return nil, err
	}
	return newOpenedKey(k.job.plaintext, k.keys[k.key].schemes, row)
}

// identity is that of the row as it is now.
func (k *rowKey) identity(ec kms.Context) (i identity, err error) {
	i.ec, i.primary = ec, k.primary()
	if k.schema.Binding == BindRow {
		if i.id, err = k.id(); err != nil {
			return i, err
		}
	}
	row := k.rowView()
	row.allowed = k.keys[k.key].columns
	for _, c := range row.allowed {
		value, err := row.Column(c)
		if err != nil {
			return i, err
		}
		i.ring += strconv.Quote(value)
	}
	return i, nil
}

// checkContext refuses a row that is no longer the one that its opened key is bound to: saved so, it could not be
// opened again.
func (k *rowKey) checkContext() error {
	opened := k.dk.h.unwrapped()
	if opened == nil || k.dk.IsNull() { // of a key that is not wrapped yet no context is known
		return nil
	}
	version, err := k.version()
	if err != nil {
		return err
	}
	ec, err := k.context(version)
	if err != nil {
		return err
	}
	now, err := k.identity(ec)
	if err == nil && !now.equal(opened.row) {
		err = fmt.Errorf("a column that names the row has changed since its data key was opened: %w", ErrContextChanged)
	}
	return err
}

func (k *rowKey) version() (int, error) {
	ring, err := k.keyring()
	if err != nil {
		return 0, err
	}
	return ring.VersionOf(k.dk.Wrapped())
}

// orphan says that a column is sealed and nothing can open it.
func (k *rowKey) orphan(column string) error {
	why := "is NULL"
	switch stored := k.dk.current(); {
	case stored.kind == notLoaded:
		why = "was not loaded"
	case stored.kind != isNull:
		why = "is empty"
	}
	return k.at(column, fmt.Errorf("key column %s %s beside a ciphertext: %w", k.keyColumn(), why, ErrNoKey))
}

// newJob is the KMS's work for the key: to wrap a fresh one, or to unwrap or rewrap the one that the row has.
func (k *rowKey) newJob() (*job, error) {
	ring, err := k.keyring()
	if err != nil {
		return nil, err
	}
	j := &job{ring: ring, context: k.context}
	if !k.fresh {
		j.wrapped = k.dk.Wrapped()
		return j, nil
	}
	if j.plaintext = k.dk.h.pending(); j.plaintext != nil {
		return j, nil
	}
	j.plaintext = make([]byte, lockbox.KeySize)
	rand.Read(j.plaintext) // never fails: crypto/rand ends the program instead
	return j, nil
}

func (k *rowKey) keyring() (*Keyring, error) {
	c := k.keys[k.key]
	if c.choose == nil {
		return c.ring, nil
	}
	row := k.rowView()
	row.allowed, row.strict = c.columns, true // identity has these and no others
	ring, err := c.choose(row)
	switch {
	case err != nil:
		return nil, err
	case ring == nil:
		return nil, fmt.Errorf("KeyringFor chose none: %w", kms.ErrInvalidRequest)
	}
	return ring, k.schema.checkEnforced(k.schema.Keys[k.key], ring)
}

func (k *rowKey) context(version int) (kms.Context, error) {
	return k.keys[k.key].rule(version).context(k.rowView())
}

func (k *rowKey) rowView() Row { return Row{value: k.rec.value, primaryKey: k.schema.PrimaryKey} }

func (k *rowKey) id() (string, error) { return k.rowView().Column(k.schema.PrimaryKey) }

// primary is the primary key as text, "" for one that the row does not have, or that no context could have.
func (k *rowKey) primary() string {
	id, err := k.id()
	if err != nil {
		return ""
	}
	return id
}

// cells are what the columns of a field hold.
func (k *rowKey) cells(field int) cells {
	cell, _ := k.rec.field(field)
	c := cells{value: cell.sealed()}
	if iv := k.rec.iv(field); iv != nil {
		c.iv = iv.c
	}
	if salt := k.rec.salt(field); salt != nil {
		c.salt = salt.c
	}
	return c
}

// setParts sets the columns that go with a field.
func (k *rowKey) setParts(field int, c cells) {
	if iv := k.rec.iv(field); iv != nil {
		iv.c = c.iv
	}
	if salt := k.rec.salt(field); salt != nil {
		salt.c = c.salt
	}
}

// bound is the associated data of a field's column.
func (k *rowKey) bound(f *Field) ([]byte, error) {
	return k.schema.bound(f.Column, f.AssociatedData, k.id)
}

// at puts the place before an error.
func (k *rowKey) at(column string, err error) *Error { return k.where().at(column, err) }

// where is the place of this key, without a column.
func (k *rowKey) where() *Error {
	if k.place != nil {
		return k.place
	}
	k.place = &Error{Table: k.schema.Table}
	if k.rec != nil {
		k.place.ID, _ = k.id()
	}
	if k.rec != nil && k.dk != nil {
		k.place.Version = versionIn(k.dk.Wrapped())
	}
	if k.job != nil && k.job.version != 0 {
		k.place.Version = k.job.version
	}
	return k.place
}
