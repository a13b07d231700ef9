// Package activestorage tests rowseal's package of that name with a copy of the database and disk that Rails wrote
// (vectors/activestorage), in each database, and reads what it writes with a reader that shares no code with it.
package activestorage

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/vectors"
)

// now is the clock of all apps.
var now = time.Date(2026, time.December, 24, 18, 30, 5, 123_456_789, time.FixedZone("", 3600))

// site is where a Rails app has its data: a database, and a folder with its disk.
type site struct {
	folder   string
	database dbtest.Database
	dsn      string
}

// app is what a Rails app left.
type app struct {
	site
	db      *sql.DB
	store   store.Store
	files   *activestorage.Storage
	dialect activestorage.Dialect
}

// newApp copies what Rails wrote.
func newApp(t testing.TB, d dbtest.Database, opts activestorage.Options) *app {
	t.Helper()
	if d == dbtest.SQLite {
		return newAppIn(t, d, "", opts)
	}
	return newAppIn(t, d, d.New(t), opts)
}

// newAppIn copies what Rails wrote into a server's database, in place of what another app left there. SQLite has a file.
func newAppIn(t testing.TB, d dbtest.Database, dsn string, opts activestorage.Options) *app {
	t.Helper()
	at := site{folder: t.TempDir(), database: d, dsn: dsn}
	rails, err := fs.Sub(vectors.FS, "activestorage")
	must(t, err)
	must(t, os.CopyFS(at.folder, rails))
	must(t, os.Chmod(at.sqliteFile(), 0o600)) // an embedded file is read-only
	if d == dbtest.SQLite {
		at.dsn = "file:" + at.sqliteFile() + "?_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)&_pragma=synchronous(0)"
	}
	a, err := at.open(opts)
	must(t, err)
	t.Cleanup(func() { must(t, a.db.Close()) })
	if d != dbtest.SQLite {
		a.migrate(t)
	}
	return a
}

func (at site) sqliteFile() string { return filepath.Join(at.folder, "app.sqlite3") }

func (at site) open(opts activestorage.Options) (*app, error) {
	db, err := sql.Open(at.database.Driver, at.dsn)
	if err != nil {
		return nil, err
	}
	a := &app{site: at, db: db, store: store.Dir{Path: filepath.Join(at.folder, "storage")}, dialect: dialects[at.database]}
	opts.Now = func() time.Time { return now }
	return a, a.use(opts)
}

// use gives the app a Storage with other options.
func (a *app) use(opts activestorage.Options) (err error) {
	a.files, err = activestorage.New("local", a.store, a.dialect, &opts)
	return err
}

// inTx runs do in a transaction, and ends both as they should.
func (a *app) inTx(t testing.TB, do func(tx *sql.Tx, change *activestorage.Change) error) error {
	t.Helper()
	tx, err := a.db.BeginTx(t.Context(), nil)
	must(t, err)
	change := a.files.Begin(tx)
	if err := do(tx, change); err != nil {
		must(t, tx.Rollback())
		must(t, change.Rollback(t.Context()))
		return err
	}
	must(t, tx.Commit())
	must(t, change.Commit(t.Context()))
	return nil
}

// load returns all attachments of a user.
func (a *app) load(t testing.TB, userID int) activestorage.Attachments {
	t.Helper()
	found, err := a.files.Load(t.Context(), a.db, "User", userID)
	must(t, err)
	return found
}

// objects returns the keys of all objects on the disk.
func (a *app) objects(t testing.TB) (keys []string) {
	t.Helper()
	must(t, filepath.WalkDir(filepath.Join(a.folder, "storage"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			keys = append(keys, d.Name())
		}
		return err
	}))
	return keys
}

// strays returns the objects that no blob names.
func (a *app) strays(t testing.TB) []string {
	t.Helper()
	keys, err := a.files.Unreferenced(t.Context(), a.db, a.objects(t)...)
	must(t, err)
	return keys
}

func (a *app) queryRow(t testing.TB, query string, args ...any) *sql.Row {
	t.Helper()
	return a.db.QueryRowContext(t.Context(), spell(a.dialect, query), args...)
}

func (a *app) count(t testing.TB, from string, args ...any) (n int) {
	t.Helper()
	must(t, a.queryRow(t, "SELECT COUNT(*) FROM "+from, args...).Scan(&n))
	return n
}

// exec runs what a Rails app might.
func (a *app) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := a.db.ExecContext(t.Context(), spell(a.dialect, statement), args...)
	must(t, err)
}

// User is a row of the app: has_kms_key, encrypts_attached :license, :documents, key: :kms_key, and :avatar under
// Lockbox.master_key.
type User struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey `rowseal:"attachments=license+documents+photo"`
}

var options = func() *rowseal.Options {
	master, err := rowseal.ParseMasterKey(expected.LockboxMasterKey)
	if err != nil {
		panic(err)
	}
	return &rowseal.Options{
		Binding:     rowseal.BindNone,
		MasterKeys:  map[string]*rowseal.MasterKey{"lockbox": master},
		Attachments: []rowseal.Attachment{{Name: "avatar", Key: "lockbox"}},
	}
}()

var ring = func() *rowseal.Keyring {
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(testkms.New(false), nil)})
	if err != nil {
		panic(err)
	}
	return ring
}()

var users = func() *rowseal.Model[User] {
	users, err := rowseal.NewModel[User]("users", ring, options)
	if err != nil {
		panic(err)
	}
	return users
}()

func (a *app) loadUser(ctx context.Context, id int64) (*User, error) {
	u := &User{}
	query := spell(a.dialect, "SELECT id, encrypted_kms_key FROM users WHERE id = ?")
	err := a.db.QueryRowContext(ctx, query, id).Scan(&u.ID, &u.EncryptedKMSKey)
	return u, err
}

// saveKey writes a user's key column if it is as it was loaded.
func (a *app) saveKey(ctx context.Context, tx activestorage.Tx, u *User) error {
	loaded, _ := u.EncryptedKMSKey.Stored()
	statement := "UPDATE users SET encrypted_kms_key = ? WHERE id = ? AND encrypted_kms_key " + same[a.dialect] + " ?"
	result, err := tx.ExecContext(ctx, spell(a.dialect, statement), u.EncryptedKMSKey, u.ID, loaded)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("%d rows have the key that was loaded: %w", n, err)
	}
	return nil
}

func (a *app) user(t testing.TB, id int64) *User {
	t.Helper()
	u, err := a.loadUser(t.Context(), id)
	must(t, err)
	return u
}

// box returns the box that the Model has for a user's attachment.
func (a *app) box(t testing.TB, userID int64, name string) *rowseal.FileBox {
	t.Helper()
	box, err := users.Box(t.Context(), a.user(t, userID), name)
	must(t, err)
	return box
}

// rowBox returns the one of all that is under the user's data key.
func (a *app) rowBox(t testing.TB, userID int64) *rowseal.FileBox {
	t.Helper()
	return a.box(t, userID, "license")
}

// avatarBox is the box of all avatars.
var avatarBox = func() *rowseal.FileBox {
	box, err := users.Box(context.Background(), &User{ID: 1}, "avatar")
	if err != nil {
		panic(err)
	}
	return box
}()

// expected is vectors/activestorage/expected.json.
var expected = func() (e struct {
	LockboxMasterKey string `json:"lockbox_master_key"`
	Rows             []struct {
		ID          int
		Attachments []struct {
			Name, Key, Filename, Checksum string
			ContentType                   string `json:"content_type"`
			ByteSize                      int64  `json:"byte_size"`
			Metadata                      map[string]any
			PlaintextSHA256               string `json:"plaintext_sha256"`
		}
	}
}) {
	text, err := vectors.FS.ReadFile("activestorage/expected.json")
	if err == nil {
		err = json.Unmarshal(text, &e)
	}
	if err != nil {
		panic(err)
	}
	return e
}()

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
