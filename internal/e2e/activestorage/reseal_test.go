package activestorage

import (
	"crypto/md5"
	"database/sql"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/store"
)

// rekey gives the user a new data key, under which Reseal seals attachments that were loaded before.
func (a *app) rekey(t testing.TB, u *User, attachments ...activestorage.Attachment) error {
	t.Helper()
	err := a.inTx(t, func(tx *sql.Tx, change *activestorage.Change) error {
		err := users.RekeyWith(t.Context(), u, func(name string, from, to *rowseal.FileBox) error {
			return change.Reseal(t.Context(), from, to, activestorage.Attachments(attachments).Of(u.ID, name)...)
		})
		if err != nil {
			return err
		}
		return a.saveKey(t.Context(), tx, u)
	})
	if err == nil {
		must(t, users.Committed(t.Context(), u))
	}
	return err
}

func (a *app) underRowKey(t testing.TB) []activestorage.Attachment {
	t.Helper()
	found := a.load(t, 3)
	return append(found.Of(3, "license"), found.Of(3, "documents")...)
}

func TestResealGivesFilesTheirNewKeyAndKeepsTheRest(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		before, from, old := a.readAll(t), a.rowBox(t, 3), a.underRowKey(t)
		must(t, a.rekey(t, a.user(t, 3), old...))
		if after := a.readAll(t); !maps.Equal(before, after) {
			t.Error("the files are others")
		}
		for i, is := range a.underRowKey(t) {
			was := old[i]
			if is.Blob.Key == was.Blob.Key || is.Blob.Checksum == was.Blob.Checksum || slices.Contains(a.objects(t), was.Blob.Key) {
				t.Errorf("%+v is still %+v", is.Blob, was.Blob)
			}
			is.Blob.Key, is.Blob.Checksum = was.Blob.Key, was.Blob.Checksum
			if is != was {
				t.Errorf("%+v becomes %+v", was, is)
			}
			if _, err := a.files.Open(t.Context(), a.underRowKey(t)[i], from); !errors.Is(err, activestorage.ErrDecryptionFailed) {
				t.Errorf("under the old key: %v", err)
			}
			if _, err := a.files.Open(t.Context(), was, from); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("as it was loaded before: %v", err)
			}
		}
		if len(a.objects(t)) != 14 {
			t.Errorf("%d objects", len(a.objects(t)))
		}
	})
}

func TestResealThatSomeoneElseWasFasterThanLosesNothing(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		type other = func(t *testing.T, a *app, license activestorage.Attachment)
		for what, c := range map[string]struct {
			other other
			want  error
		}{
			"replaced": {func(t *testing.T, a *app, _ activestorage.Attachment) {
				must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
					_, err := change.Replace(t.Context(), user(3), "license", textFile("l.txt", "other"), a.rowBox(t, 3))
					return err
				}))
			}, activestorage.ErrConflict},
			"purged": {func(t *testing.T, a *app, license activestorage.Attachment) {
				must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error { return change.Purge(t.Context(), license) }))
			}, store.ErrNotFound}, // that its object is gone already shows at reading
			"resealed": {func(t *testing.T, a *app, license activestorage.Attachment) {
				must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
					return change.Reseal(t.Context(), a.rowBox(t, 3), a.rowBox(t, 3), license)
				}))
			}, store.ErrNotFound},
		} {
			t.Run(what, func(t *testing.T) {
				a := newApp(t, d, activestorage.Options{})
				u, loaded := a.user(t, 3), a.underRowKey(t)
				c.other(t, a, loaded[0])
				before := a.readAll(t)
				if err := a.rekey(t, u, loaded...); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if after := a.readAll(t); !maps.Equal(before, after) || len(a.strays(t)) != 0 {
					t.Errorf("it leaves %v", a.strays(t))
				}
				must(t, a.rekey(t, u, a.underRowKey(t)...)) // loaded again
				if after := a.readAll(t); !maps.Equal(before, after) || len(a.strays(t)) != 0 {
					t.Errorf("tried again, it leaves %v", a.strays(t))
				}
			})
		}
	})
}

// The other writer comes between reading the object and changing the row.
func TestEachUpdateComparesWhatItRewrites(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for what, column := range map[string]string{
			"another object":   `"key" = 'otherotherotherotherotherot'`,
			"another service":  `service_name = 'amazon'`,
			"another metadata": `metadata = '{"analyzed":true,"encrypted":true,"identified":true,"custom":{}}'`,
			"no metadata":      `metadata = NULL`,
		} {
			t.Run(what, func(t *testing.T) {
				a := newApp(t, d, activestorage.Options{})
				loaded, before := a.underRowKey(t), a.objects(t)
				err := a.inTx(t, func(tx *sql.Tx, change *activestorage.Change) error {
					return users.RekeyWith(t.Context(), a.user(t, 3), func(_ string, from, to *rowseal.FileBox) error {
						return change.Reseal(t.Context(), meddling{from, func() {
							_, err := tx.ExecContext(t.Context(),
								spell(a.dialect, "UPDATE active_storage_blobs SET "+column+" WHERE id = ?"), loaded[2].Blob.ID)
							must(t, err)
						}}, to, loaded...)
					})
				})
				if !errors.Is(err, activestorage.ErrConflict) || !strings.Contains(err.Error(), "documents of User 3 (blob 8)") {
					t.Errorf("%v, want %v", err, activestorage.ErrConflict)
				}
				if a.readAll(t); !slices.Equal(a.objects(t), before) {
					t.Error("objects have changed")
				}
			})
		}
	})
}

// meddling lets someone else write whenever a file has been opened.
type meddling struct {
	*rowseal.FileBox
	write func()
}

func (m meddling) Open(ciphertext []byte) ([]byte, error) {
	m.write()
	return m.FileBox.Open(ciphertext)
}

func TestPurgeComparesTheBlob(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for _, column := range []string{`"key" = 'otherotherotherotherotherot'`, `service_name = 'amazon'`} {
			a := newApp(t, d, activestorage.Options{})
			loaded := a.underRowKey(t)
			a.exec(t, "UPDATE active_storage_blobs SET "+column+" WHERE id = ?", loaded[0].Blob.ID)
			err := a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error { return change.Purge(t.Context(), loaded[0]) })
			if !errors.Is(err, activestorage.ErrConflict) || a.count(t, "active_storage_attachments") != 14 || len(a.objects(t)) != 14 {
				t.Errorf("%s: %v", column, err)
			}
		}
	})
}

func TestResealOfADamagedFileChangesNothing(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		loaded := a.underRowKey(t)
		file := filepath.Join(a.folder, "storage", loaded[1].Blob.Key[:2], loaded[1].Blob.Key[2:4], loaded[1].Blob.Key)
		object, err := os.ReadFile(file)
		must(t, err)
		object[20] ^= 1
		must(t, os.WriteFile(file, object, 0o600))
		before := a.objects(t)
		if err := a.rekey(t, a.user(t, 3), loaded...); !errors.Is(err, activestorage.ErrDecryptionFailed) {
			t.Errorf("%v", err)
		}
		if !slices.Equal(a.objects(t), before) || !slices.Equal(a.underRowKey(t), loaded) {
			t.Error("something has changed")
		}
	})
}

func TestResealMovesFilesFromOtherServices(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		before := a.readAll(t)
		a.exec(t, "UPDATE active_storage_blobs SET service_name = 'old'")
		u, loaded := a.user(t, 3), a.underRowKey(t)
		err := a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error { return change.Purge(t.Context(), loaded...) })
		if err == nil || !strings.Contains(err.Error(), `"old"`) || a.count(t, "active_storage_attachments") != 14 {
			t.Errorf("purged from a service that is not known: %v", err)
		}

		old, fresh := filepath.Join(a.folder, "storage"), filepath.Join(a.folder, "fresh")
		must(t, os.Mkdir(fresh, 0o700))
		a.store = store.Dir{Path: fresh}
		must(t, a.use(activestorage.Options{Others: map[string]store.Store{"old": store.Dir{Path: old}}}))
		must(t, a.rekey(t, u, loaded...))
		if n := len(a.objects(t)); n != 11 { // of the old service
			t.Errorf("the old service has %d objects", n)
		}
		for _, moved := range a.underRowKey(t) {
			if _, err := a.files.Open(t.Context(), moved, a.rowBox(t, 3)); err != nil || moved.Blob.ServiceName != "local" {
				t.Errorf("%s: %v", moved.Blob.ServiceName, err)
			}
		}
		must(t, os.CopyFS(old, os.DirFS(fresh)))
		a.exec(t, "UPDATE active_storage_blobs SET service_name = 'local'")
		if !maps.Equal(a.readAll(t), before) {
			t.Error("the files are others")
		}
	})
}

// storePlain does what Rails does with an image before the app encrypts: a file as it is, with its size, a variant and
// a preview.
func (a *app) storePlain(t *testing.T, userID int, content string) {
	t.Helper()
	blob := func(content, metadata string) (id int64) {
		key := store.NewKey()
		must(t, a.store.Put(t.Context(), key, []byte(content)))
		sum := md5.Sum([]byte(content))
		must(t, a.queryRow(t, `INSERT INTO active_storage_blobs
			("key", filename, content_type, metadata, service_name, byte_size, checksum, created_at)
			VALUES (?, 'p.png', 'image/png', ?, 'local', ?, ?, '2026-11-23 12:00:00') RETURNING id`,
			key, metadata, len(content), base64.StdEncoding.EncodeToString(sum[:])).Scan(&id))
		return id
	}
	attach := func(name, recordType string, recordID, blobID int64) {
		a.exec(t, `INSERT INTO active_storage_attachments (name, record_type, record_id, blob_id, created_at)
			VALUES (?, ?, ?, ?, '2026-11-23 12:00:00')`, name, recordType, recordID, blobID)
	}
	photo := blob(content, `{"identified":true,"custom":{"by":"me"},"width":100,"height":50,"analyzed":true}`)
	attach("photo", "User", int64(userID), photo)
	attach("preview_image", "ActiveStorage::Blob", photo, blob("preview of "+content, `{"identified":true}`))
	var variant int64
	must(t, a.queryRow(t, `INSERT INTO active_storage_variant_records (blob_id, variation_digest)
		VALUES (?, 'digest') RETURNING id`, photo).Scan(&variant))
	attach("image", "ActiveStorage::VariantRecord", variant, blob("variant of "+content, `{"identified":true}`))
}

func TestPlainFilesMoveToEncryptionWithAllThatRailsMadeOfThem(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		a.storePlain(t, 1, "a photo")
		box := a.rowBox(t, 1)
		photo, _ := a.load(t, 1).One(1, "photo")
		seal := func(_ *sql.Tx, change *activestorage.Change) error {
			return change.Reseal(t.Context(), box, box, photo)
		}
		if err := a.inTx(t, seal); !errors.Is(err, activestorage.ErrNotEncrypted) {
			t.Errorf("without Migrating: %v", err)
		}

		must(t, a.use(activestorage.Options{Migrating: true}))
		r, err := a.files.Open(t.Context(), photo, box)
		must(t, err)
		if content, err := io.ReadAll(r); err != nil || string(content) != "a photo" {
			t.Errorf("plain, it reads %q, %v", content, err)
		}
		must(t, a.inTx(t, seal))
		if got := a.readAll(t)["1/photo/p.png"]; got != "a photo" {
			t.Errorf("the second reader sees %q", got)
		}
		photo, _ = a.load(t, 1).One(1, "photo")
		want := `{"custom":{"by":"me"},"analyzed":true,"encrypted":true,"identified":true}`
		if string(photo.Blob.Metadata) != want {
			t.Errorf("its metadata is %s", photo.Blob.Metadata)
		}
		a.nothingDerived(t)
		if len(a.objects(t)) != 15 {
			t.Errorf("%d objects", len(a.objects(t)))
		}
	})
}

func TestAPlainFileIsPurgedWithAllThatRailsMadeOfIt(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		before := a.objects(t)
		a.storePlain(t, 1, "a photo")
		photo, _ := a.load(t, 1).One(1, "photo")
		must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error { return change.Purge(t.Context(), photo) }))
		a.nothingDerived(t)
		if a.readAll(t); !slices.Equal(a.objects(t), before) {
			t.Errorf("%d objects", len(a.objects(t)))
		}
	})
}

func (a *app) nothingDerived(t *testing.T) {
	t.Helper()
	if n := a.count(t, "active_storage_attachments WHERE record_type <> 'User'"); n != 0 {
		t.Errorf("%d images that Rails made are still attached", n)
	}
	if n := a.count(t, "active_storage_variant_records"); n != 0 {
		t.Errorf("%d variants are still there", n)
	}
	if n := a.count(t, "active_storage_blobs WHERE id NOT IN (SELECT blob_id FROM active_storage_attachments)"); n != 0 {
		t.Errorf("%d blobs without an attachment", n)
	}
}
