package activestorage

import (
	"context"
	"fmt"
)

// Purge removes attachments, their blobs and objects. A blob that is attached elsewhere too stays. An attachment that
// is gone, or whose blob has changed, is ErrConflict.
//
// Rails' detach, which keeps the blob, has no counterpart: nobody could tell the key of a sealed file that belongs to
// no row.
func (c *Change) Purge(ctx context.Context, attachments ...Attachment) error {
	for _, a := range attachments {
		if c.end != running {
			return fmt.Errorf("activestorage: purge %s: %w", a.place(), errEnded)
		}
		if err := c.purge(ctx, a); err != nil {
			return fmt.Errorf("activestorage: purge %s: %w", a.place(), err)
		}
	}
	return nil
}

func (c *Change) purge(ctx context.Context, a Attachment) error {
	if _, err := c.storage.storeOf(a.Blob); err != nil {
		return err // a row without its object can be found again, an object without its row cannot
	}
	n, err := c.exec(ctx, `DELETE FROM active_storage_attachments WHERE id = ? AND blob_id = ?`, a.ID, a.Blob.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrConflict
	}
	others, err := c.attachedTo(ctx, a.Blob)
	if err != nil || len(others) > 0 {
		return err
	}
	if err := c.purgeDerived(ctx, a.Blob); err != nil {
		return err
	}
	return c.purgeBlob(ctx, a.Blob)
}

// attachedTo returns the ids of all attachments of a blob.
func (c *Change) attachedTo(ctx context.Context, b Blob) ([]string, error) {
	return query(ctx, c.storage, c.tx, scanText, `SELECT id FROM active_storage_attachments WHERE blob_id = ?`, b.ID)
}

func (c *Change) purgeBlob(ctx context.Context, b Blob) error {
	n, err := c.exec(ctx, `DELETE FROM active_storage_blobs WHERE id = ? AND "key" = ? AND service_name = ?`,
		b.ID, b.Key, b.ServiceName)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrConflict
	}
	c.replaced = append(c.replaced, object{b.ServiceName, b.Key})
	return nil
}

// purgeDerived removes the variants and previews that Rails made of a plain file: images that show what is in it. There
// are none of a file that was encrypted from the start, because Rails cannot read it (lockbox lib/lockbox/
// active_storage_extensions.rb), and Reseal removes them when it encrypts a file.
func (c *Change) purgeDerived(ctx context.Context, b Blob) error {
	if marked, err := b.Metadata.Encrypted(); marked && err == nil {
		return nil
	}
	variants, err := query(ctx, c.storage, c.tx, scanText,
		`SELECT id FROM active_storage_variant_records WHERE blob_id = ?`, b.ID)
	if err != nil {
		return err
	}
	for _, id := range variants {
		if err := c.purgeAll(ctx, "ActiveStorage::VariantRecord", id); err != nil {
			return err
		}
	}
	if len(variants) > 0 {
		if _, err := c.exec(ctx, `DELETE FROM active_storage_variant_records WHERE blob_id = ?`, b.ID); err != nil {
			return err
		}
	}
	return c.purgeAll(ctx, "ActiveStorage::Blob", b.ID) // preview_image
}

func (c *Change) purgeAll(ctx context.Context, recordType, recordID string) error {
	all, err := c.storage.load(ctx, c.tx, "", `a.record_type = ? AND a.record_id = ?`, recordType, recordID)
	if err != nil {
		return err
	}
	for _, a := range all {
		if err := c.purge(ctx, a); err != nil {
			return err
		}
	}
	return nil
}
