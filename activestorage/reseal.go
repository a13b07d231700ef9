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
// It belongs in the transaction that changes the key: where the key of to replaces that of from in its row, the caller
// writes it into the key column afterwards, in the same transaction, or the files are lost. Before anything is stored,
// the row must still have the key of from, and is locked, as Attach does it; so it must have the key of to, if that has
// another place than the one of from. Where not, it is ErrConflict.
//
// Give it all attachments that are sealed under that key, and see that none is added in between: [Change.ResealAll] does
// both. Where the records have more of the names that were given, it is ErrConflict too. A blob that is attached
// elsewhere too is refused, because those records would no longer open it, unless all of its attachments are given.
//
// Under Options.Migrating it encrypts what is still plain, for which from may be the same as to, removes the images
// that Rails made of it, and marks it.
func (c *Change) Reseal(ctx context.Context, from, to Box, attachments ...Attachment) error {
	if c.end != running {
		return fmt.Errorf("activestorage: reseal: %w", errEnded)
	}
	if err := c.holdKeys(ctx, from, to); err != nil {
		return fmt.Errorf("activestorage: reseal: %w", err)
	}
	given := make(map[string]bool, len(attachments))
	for _, a := range attachments {
		given[a.ID] = true
	}
	if replacesKey(from, to) {
		if err := c.refuseOthers(ctx, attachments, given); err != nil {
			return err
		}
	}
	// All objects are written before the first blob is changed, and so locked.
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

// ResealAll is Reseal for all that a record has under a name, which it loads once the row of the key is locked, so that
// nothing is missed that is attached at the same time. It is what rowseal's Model.RekeyWith calls for each name; the
// package comment has an example.
func (c *Change) ResealAll(ctx context.Context, r Record, name string, from, to Box) error {
	if c.end != running {
		return fmt.Errorf("activestorage: reseal: %w", errEnded)
	}
	id, err := idText(r.ID)
	if err != nil {
		return err
	}
	if err := c.holdKeys(ctx, from, to); err != nil {
		return fmt.Errorf("activestorage: reseal %s: %w", place(name, r.Type, id), err)
	}
	all, err := c.storage.load(ctx, c.tx, c.storage.dialect.forUpdate(),
		`a.record_type = ? AND a.record_id = ? AND a.name = ?`, r.Type, id, name)
	if err != nil {
		return fmt.Errorf("activestorage: reseal %s: %w", place(name, r.Type, id), err)
	}
	return c.Reseal(ctx, from, to, all...)
}

// refuseOthers finds attachments that nobody has given, under the names of those that were.
func (c *Change) refuseOthers(ctx context.Context, attachments []Attachment, given map[string]bool) error {
	seen := map[[3]string]bool{}
	for _, a := range attachments {
		of := [3]string{a.RecordType, a.RecordID, a.Name}
		if seen[of] {
			continue
		}
		seen[of] = true
		ids, err := query(ctx, c.storage, c.tx, scanText, `SELECT id FROM active_storage_attachments
			WHERE record_type = ? AND record_id = ? AND name = ?`+c.storage.dialect.forUpdate(), of[0], of[1], of[2])
		for _, id := range ids {
			if !given[id] {
				err = fmt.Errorf("attachment %s is there too and would be lost: load again: %w", id, ErrConflict)
			}
		}
		if err != nil {
			return fmt.Errorf("activestorage: reseal %s: %w", place(a.Name, a.RecordType, a.RecordID), err)
		}
	}
	return nil
}

// sealAnew returns what the blob is to be.
func (c *Change) sealAnew(ctx context.Context, from, to Box, a Attachment, given map[string]bool) (Blob, error) {
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
