// Package activestorage tests rowseal's package of that name with a copy of the database and disk that Rails wrote
// (vectors/activestorage), and reads what it writes with a reader that shares no code with it.
package activestorage

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/vectors"
)

// now is the clock of all apps.
var now = time.Date(2026, time.December, 24, 18, 30, 5, 123_456_789, time.FixedZone("", 3600))

// app is what a Rails app left: its database and its disk, in a folder.
type app struct {
	folder  string
	db      *sql.DB
	store   store.Store
	files   *activestorage.Storage
	dialect activestorage.Dialect
}

// newApp copies what Rails wrote.
func newApp(t testing.TB, opts activestorage.Options) *app {
	t.Helper()
	return newAppIn(t, activestorage.SQLite, opts)
}

func newAppIn(t testing.TB, dialect activestorage.Dialect, opts activestorage.Options) *app {
	t.Helper()
	folder := t.TempDir()
	rails, err := fs.Sub(vectors.FS, "activestorage")
	must(t, err)
	must(t, os.CopyFS(folder, rails))
	must(t, os.Chmod(filepath.Join(folder, "app.sqlite3"), 0o600)) // an embedded file is read-only
	a, err := openApp(folder, dialect, opts)
	must(t, err)
	t.Cleanup(func() { must(t, a.db.Close()) })
	return a
}

func openApp(folder string, dialect activestorage.Dialect, opts activestorage.Options) (*app, error) {
	const pragmas = "?_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)&_pragma=synchronous(0)"
	db, err := sql.Open("sqlite", "file:"+filepath.Join(folder, "app.sqlite3")+pragmas)
	if err != nil {
		return nil, err
	}
	a := &app{folder: folder, db: db, store: store.Dir{Path: filepath.Join(folder, "storage")}, dialect: dialect}
	opts.Now = func() time.Time { return now }
	return a, a.use(opts)
}

// use gives the app a Storage with other options.
func (a *app) use(opts activestorage.Options) (err error) {
	a.files, err = activestorage.New("local", a.store, a.dialect, &opts)
	return err
}

// inTx runs do in a transaction that speaks the app's dialect, and ends both as they should.
func (a *app) inTx(t testing.TB, do func(tx *sql.Tx, change *activestorage.Change) error) error {
	t.Helper()
	tx, err := a.db.BeginTx(t.Context(), nil)
	must(t, err)
	change := a.files.Begin(spokenTx{tx, a.dialect})
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
	found, err := a.files.Load(t.Context(), spokenDB{a.db, a.dialect}, "User", userID)
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
	keys, err := a.files.Unreferenced(t.Context(), spokenDB{a.db, a.dialect}, a.objects(t)...)
	must(t, err)
	return keys
}

func (a *app) count(t testing.TB, from string, args ...any) (n int) {
	t.Helper()
	must(t, a.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+from, args...).Scan(&n))
	return n
}

// exec runs what a Rails app might.
func (a *app) exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	_, err := a.db.ExecContext(t.Context(), statement, args...)
	must(t, err)
}

// spokenDB lets SQLite understand the other dialects. It knows their parameters, quotes and times, and panics where one
// speaks another's.
type spokenDB struct {
	activestorage.DB
	dialect activestorage.Dialect
}

func (db spokenDB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, args = heard(db.dialect, query, args)
	return db.DB.QueryContext(ctx, query, args...)
}

type spokenTx struct {
	activestorage.Tx
	dialect activestorage.Dialect
}

func (tx spokenTx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, args = heard(tx.dialect, query, args)
	return tx.Tx.QueryContext(ctx, query, args...)
}

func (tx spokenTx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args = heard(tx.dialect, query, args)
	return tx.Tx.ExecContext(ctx, query, args...)
}

var bareKey = regexp.MustCompile("[^.\"`a-z_]key[^\"`a-z_]") // MySQL and the SQL standard reserve the word

func heard(d activestorage.Dialect, query string, args []any) (string, []any) {
	wrong := bareKey.MatchString(query)
	query, locks := strings.CutSuffix(query, " FOR UPDATE")
	switch d {
	case activestorage.PostgreSQL:
		wrong = wrong || strings.ContainsAny(query, "?`") || strings.Count(query, "$") != len(args)
		query = strings.ReplaceAll(query, "$", "?")
		for i, arg := range args {
			if at, ok := arg.(time.Time); ok {
				args[i] = at.UTC().Format("2006-01-02 15:04:05.000000")
			}
		}
	case activestorage.MySQL:
		wrong = wrong || strings.ContainsAny(query, `$"`) || strings.Contains(query, "RETURNING")
	default:
		wrong = wrong || locks || strings.ContainsAny(query, "$`")
	}
	for _, arg := range args {
		if _, isTime := arg.(time.Time); isTime {
			wrong = true // each driver would write it in its own way
		}
	}
	if wrong {
		panic("not " + string(d) + ": " + query)
	}
	return query, args
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

func loadUser(ctx context.Context, db *sql.DB, id int64) (*User, error) {
	u := &User{}
	err := db.QueryRowContext(ctx, "SELECT id, encrypted_kms_key FROM users WHERE id = ?", id).Scan(&u.ID, &u.EncryptedKMSKey)
	return u, err
}

// saveKey writes a user's key column if it is as it was loaded.
func saveKey(ctx context.Context, tx activestorage.Tx, u *User) error {
	loaded, _ := u.EncryptedKMSKey.Stored()
	result, err := tx.ExecContext(ctx, "UPDATE users SET encrypted_kms_key = ? WHERE id = ? AND encrypted_kms_key IS ?",
		u.EncryptedKMSKey, u.ID, loaded)
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
	u, err := loadUser(t.Context(), a.db, id)
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
