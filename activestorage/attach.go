package activestorage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rowseal/rowseal/store"
)

// File is what is attached.
type File struct {
	Reader   io.Reader // read to its end
	Filename string    // UTF-8, not empty; stored as it is, in clear

	// ContentType is stored as it is, in clear; "" is application/octet-stream. Rails looks at the file instead of
	// trusting its sender: net/http.DetectContentType does so too.
	ContentType string
}

const unknownContentType = "application/octet-stream"

// Attach adds a file to a record's has_many_attached name. The record's own updated_at, which Rails touches, is the
// caller's.
//
// Before anything is stored, the row of the box must have its data key, and is locked: the file of a key that was
// replaced in the meantime, or never saved, would be lost. It is ErrConflict where it has not. So save a row that is
// new, or whose first key Model.Box has made, in the same transaction before; otherwise load the row again and take its
// box anew. A key that is derived from a master key is in no row, and nothing is compared, as for a [Box] without
// KeyColumn.
func (c *Change) Attach(ctx context.Context, r Record, name string, f File, box Box) (Attachment, error) {
	a, err := c.newAttachment(r, name, f)
	if err != nil {
		return Attachment{}, fmt.Errorf("activestorage: attach: %w", err)
	}
	if err = c.holdKey(ctx, box); err == nil {
		err = c.attach(ctx, &a, f.Reader, box)
	}
	if err != nil {
		return Attachment{}, fmt.Errorf("activestorage: attach %s: %w", place(a.Name, a.RecordType, a.RecordID), err)
	}
	return a, nil
}

// Replace gives a record's has_one_attached name a file, and purges what it had. It compares the row's data key as
// Attach does. Where there is none, two transactions that do so at the same time for a record that had no file leave it
// with both, because no index of Active Storage's prevents it: lock the record's row first, or update it in the same
// transaction.
func (c *Change) Replace(ctx context.Context, r Record, name string, f File, box Box) (Attachment, error) {
	a, err := c.newAttachment(r, name, f)
	if err != nil {
		return Attachment{}, fmt.Errorf("activestorage: replace: %w", err)
	}
	if err := c.replace(ctx, &a, f.Reader, box); err != nil {
		return Attachment{}, fmt.Errorf("activestorage: replace %s: %w", place(a.Name, a.RecordType, a.RecordID), err)
	}
	return a, nil
}

func (c *Change) replace(ctx context.Context, a *Attachment, r io.Reader, box Box) error {
	if err := c.holdKey(ctx, box); err != nil {
		return err
	}
	old, err := c.storage.load(ctx, c.tx, c.storage.dialect.forUpdate(), `a.record_type = ? AND a.record_id = ? AND a.name = ?`,
		a.RecordType, a.RecordID, a.Name)
	if err != nil {
		return err
	}
	if err := c.attach(ctx, a, r, box); err != nil {
		return err
	}
	for _, a := range old {
		if err := c.purge(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (c *Change) newAttachment(r Record, name string, f File) (Attachment, error) {
	recordID, err := idText(r.ID)
	if err != nil {
		return Attachment{}, err
	}
	switch {
	case c.end != running:
		return Attachment{}, errEnded
	case r.Type == "" || recordID == "" || name == "":
		return Attachment{}, errors.New("an attachment needs a record's type and id, and a name")
	case f.Reader == nil:
		return Attachment{}, errors.New("File.Reader is nil")
	case f.Filename == "" || !utf8.ValidString(f.Filename) || strings.Contains(f.Filename, "\x00"):
		return Attachment{}, errors.New("File.Filename must be a text of at least one character, in UTF-8 and without NUL")
	}
	now := c.storage.opts.Now().UTC().Truncate(time.Microsecond)
	return Attachment{
		Name: name, RecordType: r.Type, RecordID: recordID, CreatedAt: now,
		Blob: Blob{
			Filename: f.Filename, ContentType: cmp.Or(f.ContentType, unknownContentType),
			Metadata: sealedMetadata, CreatedAt: now,
		},
	}, nil
}

// attach completes a.
func (c *Change) attach(ctx context.Context, a *Attachment, r io.Reader, box Box) (err error) {
	b := &a.Blob
	if err := c.put(ctx, b, r, box); err != nil {
		return err
	}
	created := c.storage.dialect.time(a.CreatedAt)
	b.ID, err = c.insert(ctx, "active_storage_blobs",
		`"key", filename, content_type, metadata, service_name, byte_size, checksum, created_at`,
		b.Key, b.Filename, b.ContentType, string(b.Metadata), b.ServiceName, b.ByteSize, b.Checksum, created)
	if err != nil {
		return err
	}
	a.ID, err = c.insert(ctx, "active_storage_attachments",
		`name, record_type, record_id, blob_id, created_at`, a.Name, a.RecordType, a.RecordID, b.ID, created)
	return err
}

// put writes a new object, and what it is into b.
func (c *Change) put(ctx context.Context, b *Blob, r io.Reader, box Box) error {
	if box == nil {
		return errNoBox
	}
	limit := c.storage.opts.Limit
	lr := newLimited(r, limit)
	sealed, err := box.Seal(lr)
	if tooLarge := lr.err(); tooLarge != nil {
		return tooLarge
	}
	if err != nil {
		return err
	}
	if size := int64(len(sealed)); size > limit {
		return &store.TooLargeError{Size: size, Limit: limit}
	}
	b.ServiceName, b.Key = c.storage.service, store.NewKey()
	b.ByteSize, b.Checksum = int64(len(sealed)), checksum(sealed)
	err = c.storage.stores[b.ServiceName].Put(ctx, b.Key, sealed)
	if !errors.Is(err, store.ErrExists) { // then it is someone else's
		c.created = append(c.created, object{b.ServiceName, b.Key}) // after other errors it may be there
	}
	return err
}

// insert returns the new row's id.
func (c *Change) insert(ctx context.Context, table, columns string, values ...any) (string, error) {
	d, newID := c.storage.dialect, c.storage.opts.NewID
	if newID != nil {
		id := newID()
		values = append([]any{id}, values...)
		_, err := c.exec(ctx, insertInto(table, "id, "+columns, len(values)), values...)
		return id, err
	}
	statement := insertInto(table, columns, len(values))
	if !d.returnsID() {
		result, err := c.tx.ExecContext(ctx, d.sql(statement), values...)
		if err != nil {
			return "", err
		}
		id, err := result.LastInsertId()
		return strconv.FormatInt(id, 10), err
	}
	ids, err := query(ctx, c.storage, c.tx, scanText, statement+` RETURNING id`, values...)
	if err != nil {
		return "", err
	}
	if len(ids) != 1 {
		return "", fmt.Errorf("%s told %d ids of one new row", table, len(ids))
	}
	return ids[0], nil
}

func insertInto(table, columns string, values int) string {
	return `INSERT INTO ` + table + ` (` + columns + `) VALUES (` + parameters(values) + `)`
}

// exec returns how many rows the statement changed.
func (c *Change) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := c.tx.ExecContext(ctx, c.storage.dialect.sql(statement), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}
