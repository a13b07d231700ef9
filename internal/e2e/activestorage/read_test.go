package activestorage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"io"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

func modelBox(t testing.TB, a *app, userID int64, name string) activestorage.Box {
	return a.box(t, userID, name)
}

func TestEveryAttachmentOfRailsOpens(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		db := &counted{DB: a.db}
		found, err := a.files.Load(t.Context(), db, "User", 1, 2, 3, 4, 5, 3)
		must(t, err)
		if db.queries != 1 {
			t.Errorf("five records took %d queries", db.queries)
		}
		n := 0
		for _, row := range expected.Rows {
			for _, name := range []string{"license", "documents", "avatar"} {
				n += a.compare(t, modelBox, row.ID, name, found.Of(row.ID, name))
			}
		}
		if n != 14 || len(found) != n {
			t.Errorf("%d attachments were expected and %d found, of the 14", n, len(found))
		}
	})
}

type boxes = func(t testing.TB, a *app, userID int64, name string) activestorage.Box

// compare returns how many attachments expected.json has under the name.
func (a *app) compare(t *testing.T, box boxes, userID int, name string, got activestorage.Attachments) (n int) {
	t.Helper()
	for _, want := range expected.Rows[userID-1].Attachments {
		if want.Name != name {
			continue
		}
		if n++; n > len(got) {
			t.Errorf("user %d has no %s %d", userID, name, n)
			continue
		}
		g := got[n-1]
		b := g.Blob
		metadata, err := b.Metadata.Map()
		must(t, err)
		if g.RecordType != "User" || g.RecordID != strconv.Itoa(userID) || g.Name != name || b.Key != want.Key ||
			b.Filename != want.Filename || b.ContentType != want.ContentType || b.ByteSize != want.ByteSize ||
			b.Checksum != want.Checksum || b.ServiceName != "local" || !reflect.DeepEqual(metadata, want.Metadata) {
			t.Errorf("user %d: %+v, want %+v", userID, g, want)
		}
		r, err := a.files.Open(t.Context(), g, box(t, a, int64(userID), name))
		must(t, err)
		content, err := io.ReadAll(r)
		must(t, err)
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != want.PlaintextSHA256 {
			t.Errorf("user %d: %s opens to something else", userID, b.Filename)
		}
	}
	if n != len(got) {
		t.Errorf("user %d has %d of %s, want %d", userID, len(got), name, n)
	}
	return n
}

type counted struct {
	activestorage.DB
	queries int
}

func (c *counted) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	c.queries++
	return c.DB.QueryContext(ctx, query, args...)
}

func TestTimesAreThoseOfTheRow(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		license, ok := a.load(t, 1).One(1, "license")
		second := time.Date(2026, time.November, 23, 11, 34, 19, 0, time.UTC)
		if !ok || license.Blob.CreatedAt != second.Add(958_582*time.Microsecond) || license.CreatedAt != second.Add(959_903*time.Microsecond) {
			t.Errorf("%v and %v", license.Blob.CreatedAt, license.CreatedAt)
		}
	})
}

func TestAnyNumberOfRecordsIsLoaded(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		ids := []any{5}
		for id := range 2000 {
			ids = append(ids, id+2)
		}
		ids = append(ids, 5)
		db := &counted{DB: a.db}
		found, err := a.files.Load(t.Context(), db, "User", ids...)
		must(t, err)
		if len(found) != 12 || db.queries != 3 { // all but those of user 1
			t.Errorf("%d attachments in %d queries", len(found), db.queries)
		}
		if found, err := a.files.Load(t.Context(), db, "User"); found != nil || err != nil || db.queries != 3 {
			t.Errorf("of no records: %v, %v", found, err)
		}
		if found, err := a.files.Load(t.Context(), db, "Company", 1); len(found) != 0 || err != nil {
			t.Errorf("of another class: %v, %v", found, err)
		}
	})
}

func TestColumnsThatMayBeNULLAreRead(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		if d == dbtest.SQLite { // whose table is of an older Rails, where a checksum was NOT NULL
			a.exec(t, `CREATE TABLE old AS SELECT * FROM active_storage_blobs`)
			a.exec(t, `DROP TABLE active_storage_blobs`)
			a.exec(t, `ALTER TABLE old RENAME TO active_storage_blobs`)
		}
		a.exec(t, `UPDATE active_storage_blobs SET content_type = NULL, metadata = NULL, checksum = NULL WHERE id = 1`)
		license, _ := a.load(t, 1).One(1, "license")
		if b := license.Blob; b.ContentType != "" || b.Metadata != "" || b.Checksum != "" {
			t.Errorf("%+v", b)
		}
		if _, err := a.files.Open(t.Context(), license, a.rowBox(t, 1)); err != nil {
			t.Error(err)
		}
	})
}
