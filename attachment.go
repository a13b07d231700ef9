package rowseal

import (
	"context"
	"fmt"
	"io"
	"slices"

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

// String says that this is a FileBox, and no more.
func (*FileBox) String() string { return "rowseal.FileBox" }

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
	one.runJobs(ctx, work)
	k := work[0]
	if k.err == nil && k.job != nil {
		k.commitSeal()
	}
	if err := e.batchError(work, 1); err != nil {
		return nil, err
	}
	return k.fileBox(i, k.opened)
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
		return k.checkContext()
	case k.dk.current().kind == notLoaded:
		return fmt.Errorf("the key column was not loaded; load it or, of a new row, call Seal first: %w", ErrNoKey)
	}
	return k.needKey()
}

func (k *rowKey) fileBox(i int, key *openedKey) (*FileBox, error) {
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
	return b, nil
}

// moveAttachments calls move for every attachment under the key of a rekey.
func (k *rowKey) moveAttachments(move func(name string, from, to *FileBox) error) error {
	for i, a := range k.schema.Attachments {
		if a.Key != k.keys[k.key].name || k.hadNoKey { // then nothing was sealed under it
			continue
		}
		from, err := k.fileBox(i, k.before)
		if err != nil {
			return err
		}
		to, err := k.fileBox(i, k.opened)
		if err != nil {
			return err
		}
		if err := move(a.Name, from, to); err != nil {
			return k.at(a.Name, err)
		}
	}
	return nil
}
