package vault_test

import (
	"database/sql"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

const keyName = "users"

// user is a row of the app's table.
type user struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	Notes           rowseal.Sealed[string]
}

// app is a database and a server with a key.
type app struct {
	server *vaulttest.Server
	db     *sql.DB
}

func newApp(t *testing.T, s *vaulttest.Server) app {
	t.Helper()
	s.Key(t, keyName, true)
	db, err := sql.Open("sqlite", t.TempDir()+"/users.sqlite3")
	must(t, err)
	t.Cleanup(func() { db.Close() })
	_, err = db.Exec(`CREATE TABLE users (id INTEGER PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT, notes_ciphertext TEXT)`)
	must(t, err)
	return app{server: s, db: db}
}

// with returns the model of a program whose token has one right.
func (a app) with(t *testing.T, right string) *rowseal.Model[user] {
	t.Helper()
	return a.withKey(t, keyName, policy(t, "vault/"+keyName, right))
}

func (a app) withKey(t *testing.T, name, policy string) *rowseal.Model[user] {
	t.Helper()
	client := a.server.Client(t, a.server.Token(t, policy))
	users, err := rowseal.NewModel[user]("users", ringOf(t, name, &vaultkms.Options{Client: client}), &rowseal.Options{Model: "User"})
	must(t, err)
	return users
}

func ringOf(t *testing.T, name string, opts *vaultkms.Options) *rowseal.Keyring {
	t.Helper()
	return newRing(t, rowseal.Version{Number: 1, Key: newKey(t, name, opts)})
}

func newKey(t *testing.T, name string, opts *vaultkms.Options) *kms.Key {
	t.Helper()
	service, err := vaultkms.New(name, opts)
	must(t, err)
	key := kms.NewKey(service, nil)
	t.Cleanup(func() { key.Close() })
	return key
}

func newRing(t *testing.T, versions ...rowseal.Version) *rowseal.Keyring {
	t.Helper()
	ring, err := rowseal.NewKeyring(versions...)
	must(t, err)
	return ring
}

// insertSealed inserts a row that has values.
func (a app) insertSealed(t *testing.T, id int64) {
	t.Helper()
	u := user{ID: id}
	u.Email.Set("ada@example.org")
	u.Notes.Set("notes on the engine")
	must(t, a.with(t, "seal").Seal(t.Context(), &u))
	a.insert(t, u)
}

func (a app) insert(t *testing.T, u user) {
	t.Helper()
	a.exec(t, `INSERT INTO users (id, encrypted_kms_key, email_ciphertext, notes_ciphertext) VALUES (?, ?, ?, ?)`,
		u.ID, u.EncryptedKMSKey, u.Email, u.Notes)
}

func (a app) update(t *testing.T, u user) {
	t.Helper()
	stored, _ := u.EncryptedKMSKey.Stored()
	a.exec(t, `UPDATE users SET encrypted_kms_key = ?, email_ciphertext = ?, notes_ciphertext = ? WHERE id = ? AND encrypted_kms_key IS ?`,
		u.EncryptedKMSKey, u.Email, u.Notes, u.ID, stored)
}

// exec runs a statement that writes one row.
func (a app) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	result, err := a.db.ExecContext(t.Context(), query, args...)
	must(t, err)
	if n, err := result.RowsAffected(); n != 1 || err != nil {
		t.Fatalf("%d rows were written, %v", n, err)
	}
}

func (a app) load(t *testing.T, id int64) (u user) {
	t.Helper()
	row := a.db.QueryRowContext(t.Context(), `SELECT id, encrypted_kms_key, email_ciphertext, notes_ciphertext FROM users WHERE id = ?`, id)
	must(t, row.Scan(&u.ID, &u.EncryptedKMSKey, &u.Email, &u.Notes))
	return u
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func wantValue[T comparable](t *testing.T, s rowseal.Sealed[T], want T) {
	t.Helper()
	if got, err := s.Get(); err != nil || got != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// wantVaultVersion tells with which version of Vault's key a data key is wrapped.
func wantVaultVersion(t *testing.T, k rowseal.DataKey, version string) {
	t.Helper()
	_, encoded, _ := strings.Cut(k.Wrapped(), ":")
	ciphertext, err := base64.StdEncoding.DecodeString(encoded)
	if want := "vault:" + version + ":"; err != nil || !strings.HasPrefix(string(ciphertext), want) {
		t.Errorf("the key column has %.20q, %v; want %q", ciphertext, err, want)
	}
}
