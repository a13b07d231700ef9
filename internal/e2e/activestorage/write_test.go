package activestorage

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/store"
)

func user(id any) activestorage.Record { return activestorage.Record{Type: "User", ID: id} }

func textFile(filename, content string) activestorage.File {
	return activestorage.File{Reader: strings.NewReader(content), Filename: filename, ContentType: "text/plain"}
}

func (a *app) attach(
	t testing.TB, id any, name string, f activestorage.File, box activestorage.Box,
) (got activestorage.Attachment) {
	t.Helper()
	must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) (err error) {
		got, err = change.Attach(t.Context(), user(id), name, f, box)
		return err
	}))
	return got
}

func TestWrittenRowsAndObjectsAreLikeThoseOfRails(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		content := strings.Repeat("page ", 100)
		returned := a.attach(t, 2, "documents", activestorage.File{
			Reader: strings.NewReader(content), Filename: "licence é0.bin",
		}, a.rowBox(t, 2))

		rails := a.raw(t, "documents", 4)
		ours := a.raw(t, "documents", 15)
		if len(rails) != 15 {
			t.Fatalf("Rails' row has %d columns: %v", len(rails), rails)
		}
		for column, value := range rails {
			if kind(value) != kind(ours[column]) {
				t.Errorf("%s is %T %v, and Rails wrote %T %v", column, ours[column], ours[column], value, value)
			}
		}
		key := ours["key"].(string)
		object, err := os.ReadFile(filepath.Join(a.folder, "storage", key[:2], key[2:4], key))
		must(t, err)
		for column, want := range map[string]any{
			"name": "documents", "record_type": "User", "record_id": int64(2), "blob_id": int64(15),
			"filename": "licence é0.bin", "content_type": "application/octet-stream", "service_name": "local",
			"metadata":  `{"analyzed":true,"encrypted":true,"identified":true}`,
			"byte_size": int64(len(content) + 28), "checksum": returned.Blob.Checksum,
			"blob_created_at": "2026-12-24 17:30:05.123456", "created_at": "2026-12-24 17:30:05.123456",
		} {
			if ours[column] != want {
				t.Errorf("%s is %v, want %v", column, ours[column], want)
			}
		}
		for _, column := range []string{"content_type", "metadata", "service_name", "record_type"} {
			if license := a.raw(t, "license", 3); ours[column] != license[column] {
				t.Errorf("%s is %v, and Rails wrote %v", column, ours[column], license[column])
			}
		}
		if int64(len(object)) != ours["byte_size"] || bytes.Contains(object, []byte("page")) {
			t.Errorf("the object has %d bytes: %q", len(object), object)
		}
		found := a.load(t, 2)
		if loaded := found.Of(2, "documents"); len(loaded) != 2 || loaded[1] != returned {
			t.Errorf("%+v was returned and %+v is loaded", returned, loaded)
		}
		if files := a.readAll(t); len(files) != 15 || files["2/documents/licence é0.bin"] != content {
			t.Errorf("the second reader sees %d files", len(files))
		}
	})
}

// raw returns the columns of an attachment and its blob as the database has them, times as text.
func (a *app) raw(t testing.TB, name string, blobID int) map[string]any {
	t.Helper()
	text := map[activestorage.Dialect]string{activestorage.MySQL: "CHAR"}[a.dialect]
	text = cmp.Or(text, "TEXT")
	rows, err := a.db.QueryContext(t.Context(), spell(a.dialect, `SELECT a.id, a.name, a.record_type, a.record_id, a.blob_id,
		CAST(a.created_at AS `+text+`) AS created_at, b.id AS id_of_blob, b.key, b.filename, b.content_type, b.metadata,
		b.service_name, b.byte_size, b.checksum, CAST(b.created_at AS `+text+`) AS blob_created_at
		FROM active_storage_attachments a JOIN active_storage_blobs b ON b.id = a.blob_id
		WHERE a.name = ? AND b.id = ?`), name, blobID)
	must(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	row := map[string]any{}
	for rows.Next() {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		must(t, rows.Scan(into...))
		for i, column := range columns {
			row[column] = values[i]
			if text, ok := values[i].([]byte); ok { // as go-sql-driver returns it
				row[column] = string(text)
			}
		}
	}
	must(t, rows.Err())
	return row
}

var kinds = []*regexp.Regexp{
	regexp.MustCompile(`^string [0-9a-z]{28}$`),                                          // a key
	regexp.MustCompile(`^string \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$`),                 // a time
	regexp.MustCompile(`^string [0-9A-Za-z+/]{22}==$`),                                   // a checksum
	regexp.MustCompile(`^string \{"analyzed":true,"encrypted":true,"identified":true}$`), // metadata
	regexp.MustCompile(`^string `),
	regexp.MustCompile(`^int64 `),
}

func kind(value any) int {
	return slices.IndexFunc(kinds, func(k *regexp.Regexp) bool { return k.MatchString(fmt.Sprintf("%T %v", value, value)) })
}

func TestReplaceLeavesOneFileAndNoTraceOfTheOld(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		old, _ := a.load(t, 1).One(1, "license")
		for n, content := range []string{"first", "second", ""} {
			must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
				_, err := change.Replace(t.Context(), user("1"), "license", textFile("l.txt", content), a.rowBox(t, 1))
				return err
			}))
			files := a.readAll(t)
			if got, ok := files["1/license/l.txt"]; got != content || !ok || len(files) != 14 {
				t.Errorf("after %d: %q, %d files", n, got, len(files))
			}
		}
		must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error { // of a record that had none
			_, err := change.Replace(t.Context(), user(4), "photo", textFile("p.txt", "photo"), a.rowBox(t, 4))
			return err
		}))
		if n := a.count(t, "active_storage_blobs WHERE id = ?", old.Blob.ID); n != 0 {
			t.Error("the old blob is still there")
		}
		if objects := a.objects(t); slices.Contains(objects, old.Blob.Key) || len(objects) != 15 || len(a.strays(t)) != 0 {
			t.Errorf("objects: %v, without a row: %v", objects, a.strays(t))
		}
	})
}

func TestPurgeRemovesAttachmentBlobAndObject(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		documents := a.load(t, 3).Of(3, "documents")
		purge := func(_ *sql.Tx, change *activestorage.Change) error { return change.Purge(t.Context(), documents...) }
		must(t, a.inTx(t, purge))
		if files := a.readAll(t); len(files) != 12 || len(a.objects(t)) != 12 || a.count(t, "active_storage_blobs") != 12 {
			t.Errorf("%d files, %d objects, %d blobs", len(files), len(a.objects(t)), a.count(t, "active_storage_blobs"))
		}
		if err := a.inTx(t, purge); !errors.Is(err, activestorage.ErrConflict) {
			t.Errorf("purged again: %v", err)
		}
	})
}

func TestABlobThatIsAttachedElsewhereStays(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		avatar, _ := a.load(t, 1).One(1, "avatar") // under a derived key, so another user's row can have it
		a.exec(t, `INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at)
			VALUES ('avatar', 'User', 7, ?, '2026-11-23 12:00:00')`, avatar.Blob.ID)
		other, _ := a.load(t, 7).One(7, "avatar")

		reseal := func(attachments ...activestorage.Attachment) error {
			return a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
				return change.Reseal(t.Context(), avatarBox, avatarBox, attachments...)
			})
		}
		if err := reseal(avatar); err == nil || !strings.Contains(err.Error(), "attachment "+other.ID) {
			t.Errorf("resealed for one of its records: %v", err)
		}
		if err := reseal(avatar, other); err != nil {
			t.Errorf("resealed for both of its records: %v", err)
		}
		avatar, _ = a.load(t, 1).One(1, "avatar")
		other, _ = a.load(t, 7).One(7, "avatar")
		if avatar.Blob != other.Blob {
			t.Errorf("%+v and %+v were one", avatar.Blob, other.Blob)
		}

		must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
			_, err := change.Replace(t.Context(), user(1), "avatar", textFile("a.txt", "new"), avatarBox)
			return err
		}))
		if _, err := a.files.Open(t.Context(), other, avatarBox); err != nil {
			t.Errorf("the other record's file: %v", err)
		}
		must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error { return change.Purge(t.Context(), other) }))
		if len(a.readAll(t)) != 14 || len(a.objects(t)) != 14 {
			t.Errorf("%d objects", len(a.objects(t)))
		}
	})
}

func TestWhatCannotBeAttachedLeavesNothing(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{Limit: 64})
		box := a.rowBox(t, 1)
		broken := errors.New("the connection broke")
		file := func(r io.Reader) activestorage.File {
			return activestorage.File{Reader: r, Filename: "secret name.txt"}
		}
		type attempt struct {
			record activestorage.Record
			name   string
			file   activestorage.File
			box    activestorage.Box
			want   error // nil: any
		}
		attempts := func() map[string]attempt { // with fresh readers
			return map[string]attempt{
				"no box":                              {user(1), "documents", textFile("f", "x"), nil, nil},
				"no reader":                           {user(1), "documents", file(nil), box, nil},
				"no filename":                         {user(1), "documents", textFile("", "x"), box, nil},
				"a filename in Latin 1":               {user(1), "documents", textFile("\xe9", "x"), box, nil},
				"a NUL in the filename":               {user(1), "documents", textFile("a\x00b", "x"), box, nil},
				"no name":                             {user(1), "", textFile("f", "x"), box, nil},
				"no record type":                      {activestorage.Record{ID: 1}, "documents", textFile("f", "x"), box, nil},
				"no record id":                        {user(""), "documents", textFile("f", "x"), box, nil},
				"a record id of no use":               {user(1.5), "documents", textFile("f", "x"), box, nil},
				"a reader that fails":                 {user(1), "documents", file(iotest.ErrReader(broken)), box, broken},
				"a box that fails":                    {user(1), "documents", textFile("f", "x"), brokenBox{broken}, broken},
				"a file above the limit":              {user(1), "documents", file(xs(65)), box, store.ErrTooLarge},
				"an endless file":                     {user(1), "documents", file(endless{}), box, store.ErrTooLarge},
				"a box that forgets a reader's error": {user(1), "documents", file(endless{}), carelessBox{box}, store.ErrTooLarge},
				"an object above the limit":           {user(1), "documents", file(xs(37)), box, store.ErrTooLarge},
			}
		}
		for op, do := range map[string]func(*activestorage.Change, attempt) (activestorage.Attachment, error){
			"attach": func(change *activestorage.Change, c attempt) (activestorage.Attachment, error) {
				return change.Attach(t.Context(), c.record, c.name, c.file, c.box)
			},
			"replace": func(change *activestorage.Change, c attempt) (activestorage.Attachment, error) {
				return change.Replace(t.Context(), c.record, c.name, c.file, c.box)
			},
		} {
			for what, c := range attempts() {
				err := a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
					_, err := do(change, c)
					return err
				})
				if err == nil || c.want != nil && !errors.Is(err, c.want) {
					t.Errorf("%s: %s: %v, want %v", op, what, err, c.want)
				} else if !strings.HasPrefix(err.Error(), "activestorage: "+op) || strings.Contains(err.Error(), "secret") {
					t.Errorf("%s: %s: %v", op, what, err)
				}
			}
		}
		if len(a.objects(t)) != 14 || a.count(t, "active_storage_blobs") != 14 || a.count(t, "active_storage_attachments") != 14 {
			t.Errorf("%d objects, %d blobs", len(a.objects(t)), a.count(t, "active_storage_blobs"))
		}
		a.attach(t, 1, "documents", file(xs(36)), box) // 64 when it is sealed
		if content := a.readAll(t)["1/documents/secret name.txt"]; len(content) != 36 {
			t.Errorf("at the limit: %q", content)
		}
	})
}

func TestIDsThatTheAppMakes(t *testing.T) {
	madeByDatabase := map[dbtest.Database]string{
		dbtest.SQLite:     "DEFAULT (lower(hex(randomblob(16))))",
		dbtest.PostgreSQL: "DEFAULT gen_random_uuid()::text",
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		a.exec(t, `DROP TABLE active_storage_variant_records`)
		a.exec(t, `DROP TABLE active_storage_attachments`)
		a.exec(t, `DROP TABLE active_storage_blobs`)
		at := map[bool]string{true: "timestamp(6)", false: "datetime(6)"}[d == dbtest.PostgreSQL]
		id := `id varchar(36) PRIMARY KEY NOT NULL ` + madeByDatabase[d]
		a.exec(t, `CREATE TABLE active_storage_blobs (`+id+`, "key" varchar(255) NOT NULL, filename varchar(255) NOT NULL,
			content_type varchar(255), metadata text, service_name varchar(255) NOT NULL, byte_size bigint NOT NULL,
			checksum varchar(255), created_at `+at+` NOT NULL)`)
		a.exec(t, `CREATE TABLE active_storage_attachments (`+id+`, name varchar(255) NOT NULL, record_type varchar(255) NOT NULL,
			record_id varchar(36) NOT NULL, blob_id varchar(36) NOT NULL REFERENCES active_storage_blobs (id),
			created_at `+at+` NOT NULL)`)

		ids := 0
		fromApp := activestorage.Options{NewID: func() string { ids++; return fmt.Sprint("id-", ids) }}
		must(t, a.use(fromApp))
		documents := a.attach(t, "0b0e-1", "documents", textFile("b", "y"), avatarBox)
		if documents.Blob.ID != "id-1" || documents.ID != "id-2" {
			t.Errorf("%+v", documents)
		}
		if madeByDatabase[d] != "" {
			must(t, a.use(activestorage.Options{}))
		}
		license := a.attach(t, "0b0e-1", "license", textFile("a", "x"), avatarBox)
		isUUID := regexp.MustCompile(`^[0-9a-f-]{32,36}$`).MatchString
		if madeByDatabase[d] != "" && (!isUUID(license.ID) || !isUUID(license.Blob.ID)) {
			t.Errorf("%+v", license)
		}

		found, err := a.files.Load(t.Context(), a.db, "User", "0b0e-1", "0b0e-2")
		must(t, err)
		if loaded, _ := found.One("0b0e-1", "license"); len(found) != 2 || loaded != license {
			t.Errorf("%+v", found)
		}
		must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
			return errors.Join(change.Reseal(t.Context(), avatarBox, avatarBox, documents), change.Purge(t.Context(), license))
		}))
		if n := a.count(t, "active_storage_blobs"); n != 1 {
			t.Errorf("%d blobs", n)
		}
	})
}

func TestAChangeThatHasEndedTakesNoMore(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		license, _ := a.load(t, 1).One(1, "license")
		box := a.rowBox(t, 1)
		type ending = func(*activestorage.Change, context.Context) error
		for _, end := range []ending{(*activestorage.Change).Commit, (*activestorage.Change).Rollback} {
			tx, err := a.db.BeginTx(t.Context(), nil)
			must(t, err)
			change := a.files.Begin(tx)
			must(t, end(change, t.Context()))
			_, attachErr := change.Attach(t.Context(), user(1), "documents", textFile("f", "x"), box)
			_, replaceErr := change.Replace(t.Context(), user(1), "license", textFile("f", "x"), box)
			purgeErr, resealErr := change.Purge(t.Context(), license), change.Reseal(t.Context(), box, box, license)
			for _, err := range []error{attachErr, replaceErr, purgeErr, resealErr} {
				if err == nil || !strings.Contains(err.Error(), "begin another") {
					t.Errorf("%v", err)
				}
			}
			must(t, tx.Commit())
		}
		if len(a.readAll(t)) != 14 || len(a.objects(t)) != 14 {
			t.Errorf("%d objects", len(a.objects(t)))
		}
	})
}

func xs(n int) io.Reader { return strings.NewReader(strings.Repeat("x", n)) }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type brokenBox struct{ err error }

func (b brokenBox) Seal(io.Reader) ([]byte, error) { return nil, b.err }
func (b brokenBox) Open([]byte) ([]byte, error)    { return nil, b.err }

// carelessBox seals what it could read.
type carelessBox struct{ activestorage.Box }

func (b carelessBox) Seal(r io.Reader) ([]byte, error) {
	some, _ := io.ReadAll(r)
	return b.Box.Seal(bytes.NewReader(some))
}
