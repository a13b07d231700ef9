package rowseal

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// FileBox seals and opens whole files of an Attachment, in Lockbox's format without base64, as Lockbox seals the files of
// Active Storage, CarrierWave and Shrine. It holds a row's data key, and is safe for concurrent use.
type FileBox struct {
	box   *lockbox.Box
	name  string
	ad    []byte
	limit int64
	place *Error
	under keyPlace
}

// keyPlace is where the data key of a box is.
type keyPlace struct {
	table, primaryKey, column string
	id                        any
	wrapped                   driver.Value
}

// Seal reads r to its end and seals what it read. More than Options.FileLimit is lockbox.ErrTooLarge.
func (b *FileBox) Seal(r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, b.place.at(b.name, errNoReader)
	}
	sealed, err := b.box.EncryptFile(r, b.limit, b.ad)
	if err != nil {
		return nil, b.place.at(b.name, limited(err))
	}
	return sealed, nil
}

// Open opens what Seal, or Ruby, has sealed. One wrong byte anywhere is ErrDecryptionFailed, and nothing else is returned.
func (b *FileBox) Open(ciphertext []byte) ([]byte, error) {
	content, err := b.box.Decrypt(ciphertext, b.ad)
	if err != nil {
		return nil, b.place.at(b.name, err)
	}
	return content, nil
}

// OpenReader is Open for what r has.
func (b *FileBox) OpenReader(r io.Reader) ([]byte, error) {
	if r == nil {
		return nil, b.place.at(b.name, errNoReader)
	}
	content, err := b.box.DecryptFile(r, b.limit, b.ad)
	if err != nil {
		return nil, b.place.at(b.name, limited(err))
	}
	return content, nil
}

// KeyColumn tells where the data key of the box is: the row's table, primary key column and id, the key column, and the
// wrapped key, as the row has it. Whoever stores what the box has sealed compares it with what the database has, in the
// same transaction, because the key may have been replaced since. ok is false for a key that is derived from a master
// key.
func (b *FileBox) KeyColumn() (table, primaryKey string, id any, column string, wrapped driver.Value, ok bool) {
	u := b.under
	return u.table, u.primaryKey, u.id, u.column, u.wrapped, u.column != ""
}

// Format prints the type's name, whatever the verb.
func (*FileBox) Format(f fmt.State, _ rune) { io.WriteString(f, "rowseal.FileBox") }

// LogValue says the same to log/slog.
func (*FileBox) LogValue() slog.Value { return slog.StringValue("rowseal.FileBox") }

// box returns the box of an attachment of a row. A row that has no data key gets one.
func (e *engine) box(ctx context.Context, rec record, name string) (*FileBox, error) {
	if e.err != nil {
		return nil, e.err
	}
	i, err := e.attachment(name)
	if err != nil {
		return nil, err
	}
	one := *e
	one.selected = make([]bool, len(e.keys))
	key := slices.IndexFunc(e.keys, func(k engineKey) bool { return k.name == e.schema.Attachments[i].Key })
	if !e.sees(key) {
		return nil, e.schema.invalid("attachment %s is sealed under a key that Only has left out", name)
	}
	one.selected[key] = true
	work := one.each([]record{rec}, (*rowKey).planBox)
	runJobs(ctx, work)
	k := work[0]
	if k.err == nil && k.job != nil {
		k.commitSeal()
	}
	if err := batchError(work, 1); err != nil {
		return nil, err
	}
	return k.fileBox(i, k.opened, k.wrappedNow())
}

func (e *engine) attachment(name string) (int, error) {
	i := slices.IndexFunc(e.schema.Attachments, func(a Attachment) bool { return a.Name == name })
	if i < 0 {
		return 0, e.schema.invalid("there is no attachment %q; name it in the tag of its DataKey (rowseal:\"attachments=%[1]s\") "+
			"or in Options.Attachments", name)
	}
	return i, nil
}

// planBox asks for the row's key, whether or not anything is sealed under it yet.
func (k *rowKey) planBox() error {
	switch k.opened = k.unwrapped(); {
	case k.isMaster():
		return nil
	case k.opened != nil:
		return k.checkKey()
	case k.dk.current().kind == notLoaded:
		return fmt.Errorf("the key column was not loaded; load it or, of a new row, call Seal first: %w", ErrNoKey)
	}
	return k.needKey()
}

func (k *rowKey) fileBox(i int, key *openedKey, wrapped column) (*FileBox, error) {
	a := k.schema.Attachments[i]
	box, err := key.fileBox(k.boxOf.attachment[i])
	if err != nil {
		return nil, k.at(a.Name, err)
	}
	b := &FileBox{
		box: box.WithFormat(lockbox.Format{Raw: true, Padding: a.Padding}), name: a.Name, limit: k.limit, place: k.where(),
	}
	if b.ad, err = k.schema.bound(a.Name, a.AssociatedData, k.id); err != nil {
		return nil, k.at(a.Name, err)
	}
	if k.isMaster() {
		return b, nil
	}
	b.under = keyPlace{table: k.schema.Table, primaryKey: k.schema.PrimaryKey, column: k.keyColumn(), wrapped: wrapped.value()}
	if b.under.id, err = k.rec.value(k.schema.PrimaryKey); err != nil {
		return nil, k.at(a.Name, err)
	}
	return b, nil
}

// checkKey refuses to use a key under which the row's attachments will only be when a RekeyWith is committed: after a
// rollback they are under the one before.
func (k *rowKey) checkKey() error {
	if k.dk.h.moving() != nil {
		return fmt.Errorf("the row has a new data key by a RekeyWith that is not committed; call Committed, after a rollback RekeyWith again, "+
			"or load the row again: %w", kms.ErrInvalidRequest)
	}
	return k.checkContext()
}

// attachmentsUnder is the key under which the attachments of a row that gets a new one are in the database; nil if there
// are none.
func (k *rowKey) attachmentsUnder() *handle {
	switch moving := k.dk.h.moving(); {
	case !k.rekeys || !k.hasAttachments() || k.hadNoKey:
		return nil
	case moving != nil:
		return moving
	}
	k.dk.h.keep(k.before)
	return k.dk.h
}

// purged tells that the attachments under the rows' keys are gone.
func (e *engine) purged(records []record) {
	e.each(records, func(k *rowKey) error {
		if !k.isMaster() && k.dk.h != nil {
			k.dk.h.mu.Lock()
			defer k.dk.h.mu.Unlock()
			k.dk.h.purged = true
		}
		return nil
	})
}

// wrappedNow is what the key column would be written as.
func (k *rowKey) wrappedNow() column {
	if k.isMaster() {
		return column{}
	}
	return k.dk.current()
}

// wrappedAnew is what the key column is written as when its job is done.
func (k *rowKey) wrappedAnew() column {
	return k.dk.cell(k.job.wrapped, k.schema.Keys[k.key].Bytes)
}

// moveAttachments calls move for every attachment under the key of a rekey.
func (k *rowKey) moveAttachments(move func(name string, from, to *FileBox) error) error {
	for i, a := range k.schema.Attachments {
		if a.Key != k.keys[k.key].name || k.hadNoKey { // then nothing was sealed under it
			continue
		}
		under := k.before
		if moving := k.dk.h.moving(); moving != nil {
			under = moving.unwrapped()
		}
		from, err := k.fileBox(i, under, k.dk.h.inDatabase())
		if err != nil {
			return err
		}
		to, err := k.fileBox(i, k.opened, k.wrappedAnew())
		if err != nil {
			return err
		}
		if err := move(a.Name, from, to); err != nil {
			return k.at(a.Name, err)
		}
	}
	return nil
}
