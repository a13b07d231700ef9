package activestorage

import (
	"bytes"
	"context"
	"fmt"
)

// Reseal gives attachments another key: each object is opened with from and sealed with to, under a new name; then
// their blobs get that name, size and checksum if they still have the old name, else it is ErrConflict (or
// store.ErrNotFound, where the old object is gone already). Until the transaction is committed, readers open the files
// with from, and then with to. Ids, filenames and times stay.
//
// It belongs in the transaction that changes the key, which for a row's data key is the one that sets the key column.
// Give it all attachments that are sealed under that key. A blob that is attached elsewhere too is refused, because
// those records would no longer open it, unless all of its attachments are given.
//
// Under Options.Migrating it encrypts what is still plain, for which from may be the same as to, removes the images
// that Rails made of it, and marks it.
func (c *Change) Reseal(ctx context.Context, from, to Box, attachments ...Attachment) error {
	given := make(map[string]bool, len(attachments))
	for _, a := range attachments {
		given[a.ID] = true
	}
	// All objects are written before the first row is changed, and so locked.
	resealed := map[string]Blob{} // by id
	var order []Attachment
	for _, a := range attachments {
		if _, done := resealed[a.Blob.ID]; done {
			continue
		}
		blob, err := c.sealAnew(ctx, from, to, a, given)
		if err != nil {
			return fmt.Errorf("activestorage: reseal %s: %w", a.place(), err)
		}
		resealed[a.Blob.ID], order = blob, append(order, a)
	}
	for _, a := range order {
		if err := c.setObject(ctx, a.Blob, resealed[a.Blob.ID]); err != nil {
			return fmt.Errorf("activestorage: reseal %s: %w", a.place(), err)
		}
	}
	return nil
}

// sealAnew returns what the blob is to be.
func (c *Change) sealAnew(ctx context.Context, from, to Box, a Attachment, given map[string]bool) (Blob, error) {
	if c.end != running {
		return Blob{}, errEnded
	}
	attached, err := c.attachedTo(ctx, a.Blob)
	if err != nil {
		return Blob{}, err
	}
	for _, id := range attached {
		if !given[id] {
			return Blob{}, fmt.Errorf("its blob is also that of attachment %s, which would no longer open: give both", id)
		}
	}
	plaintext, err := c.storage.open(ctx, a, from)
	if err != nil {
		return Blob{}, err
	}
	blob := a.Blob
	if blob.Metadata, err = blob.Metadata.sealed(); err != nil {
		return Blob{}, err
	}
	err = c.put(ctx, &blob, bytes.NewReader(plaintext), to)
	return blob, err
}

// setObject compares every column that it rewrites, the size and checksum excepted, which belong to the key.
func (c *Change) setObject(ctx context.Context, old, blob Blob) error {
	n, err := c.exec(ctx, `UPDATE active_storage_blobs
		SET "key" = ?, metadata = ?, service_name = ?, byte_size = ?, checksum = ?
		WHERE id = ? AND "key" = ? AND COALESCE(metadata, '') = ? AND service_name = ?`,
		blob.Key, string(blob.Metadata), blob.ServiceName, blob.ByteSize, blob.Checksum,
		old.ID, old.Key, string(old.Metadata), old.ServiceName)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrConflict
	}
	c.replaced = append(c.replaced, object{old.ServiceName, old.Key})
	return c.purgeDerived(ctx, old)
}
