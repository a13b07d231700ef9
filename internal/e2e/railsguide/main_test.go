package main

import (
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/vectors"
)

// Example is docs/rails.md's program, with the database that a Rails-style program wrote.
func Example() {
	dir, err := os.MkdirTemp("", "railsguide")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	copyDatabase(filepath.Join(dir, "production.sqlite3"))
	if err := os.Chdir(dir); err != nil {
		panic(err)
	}
	os.Setenv("KMS_KEY_ID", "insecure-test-key")
	os.Setenv("LOCKBOX_MASTER_KEY", strings.Repeat("0", 64))
	os.Args = []string{"railsguide", "USER1.369977@example.org"}
	main()
	// Output: 2 627-47-4074
}

func TestTheGuideShowsThisCode(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/rails.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_test.go") {
			code.Write(content)
		}
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 5 {
		t.Errorf("docs/rails.md has %d ```go blocks", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(code.String(), block[1]) {
			t.Errorf("docs/rails.md shows code that is not here:\n%s", block[1])
		}
	}
}

func TestAUserIsFoundAndOpens(t *testing.T) {
	db, users := newApp(t)
	u := mustFind(t, db, users, "User1.369977@Example.org")
	want := rowOf(t, u.ID)
	email, err1 := u.Email.Get()
	born, err2 := u.DateOfBirth.Get()
	notes, err3 := u.Notes.Get()
	ssn, err4 := u.SSN.Get()
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	got := []any{email, born.Format("2006-01-02"), notes, ssn}
	if fmt.Sprint(got) != fmt.Sprint([]any{want["email"], want["date_of_birth"], want["notes"], want["ssn"]}) {
		t.Errorf("row %d opens to %q", u.ID, got)
	}
}

func TestEveryKeyOfAPersonOpensUnderItsContext(t *testing.T) {
	db, _ := newApp(t)
	people, err := newPeople(kms.NewKey(testkms.New(false), nil))
	must(t, err)
	rows, err := db.QueryContext(t.Context(), `SELECT id, name, encrypted_kms_key, encrypted_kms_key_phone, encrypted_kms_key_street,
		email_ciphertext, phone_ciphertext, street_ciphertext FROM users`)
	must(t, err)
	defer rows.Close()
	versions := map[string]int{} // of the key street
	for rows.Next() {
		p := &Person{}
		must(t, rows.Scan(&p.ID, &p.Name, &p.EncryptedKMSKey, &p.PhoneKey, &p.StreetKey, &p.Email, &p.Phone, &p.Street))
		must(t, people.Open(t.Context(), p))
		version, _, _ := strings.Cut(p.StreetKey.Wrapped(), ":")
		versions[version]++
		for name, field := range map[string]rowseal.Sealed[string]{"email": p.Email, "phone": p.Phone, "street": p.Street} {
			got, err := field.Get()
			want, _ := rowOf(t, p.ID)[name].(string)
			if got != want || err != nil {
				t.Errorf("row %d: the %s opens to %q, %v, want %q", p.ID, name, got, err, want)
			}
		}
	}
	must(t, rows.Err())
	if versions["v1"] == 0 || versions["v2"] == 0 {
		t.Errorf("the rows have the versions %v, want both", versions)
	}
}

func TestAChangeIsFoundAndTheOtherColumnsStay(t *testing.T) {
	db, users := newApp(t)
	u := mustFind(t, db, users, "User1.369977@Example.org")
	before := columnsOf(t, db, u.ID)
	for _, email := range []string{"Ada@example.org", "Lovelace@example.org"} { // what was written counts as loaded
		if err := setEmail(t.Context(), db, users, u, email); err != nil {
			t.Fatal(err)
		}
	}
	again := mustFind(t, db, users, "lovelace@EXAMPLE.org")
	if email, err := again.Email.Get(); again.ID != u.ID || email != "Lovelace@example.org" || err != nil {
		t.Errorf("row %d has %q, %v", again.ID, email, err)
	}
	after := columnsOf(t, db, u.ID)
	for column := range after {
		switch changed := before[column] != after[column]; column {
		case "email_ciphertext", "email_bidx", "updated_at", "lock_version":
			if !changed {
				t.Errorf("%s has not changed", column)
			}
		default:
			if changed {
				t.Errorf("%s has changed", column)
			}
		}
	}
}

// What Active Record runs where the table has a lock_version.
const activeRecordSaves = `UPDATE users SET notes_ciphertext = NULL, updated_at = '2027-01-02 03:04:05.000000', lock_version = ? + 1
	WHERE id = ? AND lock_version = ?`

func TestOfTwoWritersTheSecondLoadsAgain(t *testing.T) {
	db, users := newApp(t)
	u := mustFind(t, db, users, "User1.369977@Example.org")
	loadedByRails := u.LockVersion
	if err := setEmail(t.Context(), db, users, u, "ada@example.org"); err != nil {
		t.Fatal(err)
	}
	result, err := db.ExecContext(t.Context(), activeRecordSaves, loadedByRails, u.ID, loadedByRails)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); n != 0 || err != nil {
		t.Errorf("Rails overwrote what Go had written: %d rows, %v", n, err)
	}

	late := mustFind(t, db, users, "ada@example.org")
	if _, err := db.ExecContext(t.Context(), activeRecordSaves, late.LockVersion, late.ID, late.LockVersion); err != nil {
		t.Fatal(err)
	}
	if err := setEmail(t.Context(), db, users, late, "late@example.org"); !errors.Is(err, errConflict) {
		t.Errorf("Go overwrote what Rails had written: %v", err)
	}
}

// A Rails program that has loaded a row writes under the data key that the row had.
func TestANewKeyBesideAWriterWhoComparesNothingLosesTheValue(t *testing.T) {
	db, users := newApp(t)
	goes, rails := mustFind(t, db, users, "User1.369977@Example.org"), mustFind(t, db, users, "User1.369977@Example.org")
	if err := users.Rekey(t.Context(), goes); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `UPDATE users SET encrypted_kms_key = ?, email_ciphertext = ?, date_of_birth_ciphertext = ?, notes_ciphertext = ?,
		encrypted_ssn = ?, encrypted_ssn_iv = ? WHERE id = ?`,
		goes.EncryptedKMSKey, goes.Email, goes.DateOfBirth, goes.Notes, goes.SSN, goes.SSNIV, goes.ID)
	rails.Notes.Set("late")
	if err := users.Seal(t.Context(), rails); err != nil {
		t.Fatal(err)
	}
	exec(t, db, `UPDATE users SET notes_ciphertext = ? WHERE id = ?`, rails.Notes, rails.ID) // as Active Record does

	u := mustFind(t, db, users, "User1.369977@Example.org")
	if _, err := u.Notes.Get(); !errors.Is(err, rowseal.ErrDecryptionFailed) {
		t.Errorf("docs/rails.md says that the value is lost, and it is %v", err)
	}
}

func TestARowOfAMasterKeyGetsADataKey(t *testing.T) {
	db := empty(t)
	exec(t, db, `CREATE TABLE members (id INTEGER PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT, email_bidx TEXT)`)
	master := make([]byte, 32)
	rand.Read(master)
	exec(t, db, `INSERT INTO members (id, email_ciphertext, email_bidx) VALUES (7, ?, ?)`,
		underMasterKey(t, master, "members", "email_ciphertext", "ada@example.org"), indexUnder(t, master, "members", "email_bidx", "ada@example.org"))

	ring := testRing(t)
	members, err := newMembers(ring, hex.EncodeToString(master))
	must(t, err)
	m := loadMember(t, db, members)
	if email, err := m.Email.Get(); email != "ada@example.org" || err != nil {
		t.Fatalf("before it has a data key, the row opens to %q, %v", email, err)
	}
	late := loadMember(t, db, members)
	must(t, giveKey(t.Context(), db, members, m))
	if err := giveKey(t.Context(), db, members, late); !errors.Is(err, errConflict) {
		t.Errorf("a second sweep: %v", err)
	}

	type Later struct { // once all rows have data keys: without the master key
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	later, err := rowseal.NewModel[Later]("members", ring, &rowseal.Options{Model: "Member", Binding: rowseal.BindNone})
	must(t, err)
	l := &Later{}
	must(t, db.QueryRow(`SELECT id, encrypted_kms_key, email_ciphertext FROM members`).Scan(&l.ID, &l.EncryptedKMSKey, &l.Email))
	must(t, later.Open(t.Context(), l))
	if email, err := l.Email.Get(); email != "ada@example.org" || err != nil {
		t.Errorf("under its data key, the row opens to %q, %v", email, err)
	}
}

func TestARowOfRailsGetsABinding(t *testing.T) {
	db := empty(t)
	exec(t, db, `CREATE TABLE members (id INTEGER PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT, email_bidx TEXT)`)
	exec(t, db, `INSERT INTO members (id) VALUES (7)`)
	ring := testRing(t)
	const lockboxMasterKey = "00000000000000000000000000000000000000000000000000000000000000ff"
	members, err := newMembers(ring, lockboxMasterKey)
	must(t, err)
	m := loadMember(t, db, members)
	m.Email.Set("ada@example.org")
	must(t, members.Seal(t.Context(), m)) // as Rails: bound to nothing
	save := func() {
		exec(t, db, `UPDATE members SET encrypted_kms_key = ?, email_ciphertext = ?, email_bidx = ?`, m.EncryptedKMSKey, m.Email, m.EmailIndex)
	}
	save()

	master, err := rowseal.ParseMasterKey(lockboxMasterKey)
	must(t, err)
	masterKeys := map[string]*rowseal.MasterKey{"lockbox": master, rowseal.DefaultIndexKey: master}
	both, err := rowseal.NewModel[Member]("members", ring, bound(masterKeys))
	must(t, err)
	m = loadMember(t, db, both)
	must(t, both.Rekey(t.Context(), m))
	save()

	only, err := rowseal.NewModel[Member]("members", ring, &rowseal.Options{MasterKeys: masterKeys})
	must(t, err)
	if email, err := loadMember(t, db, only).Email.Get(); email != "ada@example.org" || err != nil {
		t.Errorf("with the binding alone, the row opens to %q, %v", email, err)
	}
	if _, err := loadMember(t, db, members).Email.Get(); !errors.Is(err, rowseal.ErrDecryptionFailed) {
		t.Errorf("without the binding: %v", err)
	}
}

func TestAFileOfActiveStorageOpens(t *testing.T) {
	db := railsFiles(t)
	customers, err := rowseal.NewModel[Customer]("users", testRing(t), &rowseal.Options{Model: "User", Binding: rowseal.BindNone})
	must(t, err)
	files, err := newFiles()
	must(t, err)

	r, err := openLicense(t.Context(), db, customers, files, loadCustomer(t, db))
	must(t, err)
	content, err := io.ReadAll(r)
	must(t, err)
	sum := sha256.Sum256(content)
	if got := hex.EncodeToString(sum[:]); got != "3b4351ebcdc63617acb4f4202d3e255660deb6ec73312e49eac14557c29aee54" { // expected.json
		t.Errorf("the file opens to something else: %s", got)
	}
}

func TestAFileOfAMasterKeyMovesToTheDataKey(t *testing.T) {
	db := railsFiles(t)
	expected := struct {
		MasterKey string `json:"lockbox_master_key"`
	}{}
	content, err := vectors.FS.ReadFile("activestorage/expected.json")
	must(t, err)
	must(t, json.Unmarshal(content, &expected))
	master, err := rowseal.ParseMasterKey(expected.MasterKey)
	must(t, err)
	customers, err := rowseal.NewModel[Customer]("users", testRing(t), &rowseal.Options{
		Model: "User", Binding: rowseal.BindNone,
		MasterKeys:  map[string]*rowseal.MasterKey{"lockbox": master},
		Attachments: []rowseal.Attachment{{Name: "avatar"}, {Name: "old_avatar", Key: "lockbox", KeyAttribute: "avatar"}},
	})
	must(t, err)
	files, err := newFiles()
	must(t, err)
	c := loadCustomer(t, db)
	from, err := customers.Box(t.Context(), c, "old_avatar")
	must(t, err)
	to, err := customers.Box(t.Context(), c, "avatar")
	must(t, err)
	avatar := func() activestorage.Attachment {
		found, err := files.Load(t.Context(), db, "User", c.ID)
		must(t, err)
		a, _ := found.One(c.ID, "avatar")
		return a
	}
	must(t, files.Update(t.Context(), db, func(_ *sql.Tx, change *activestorage.Change) error {
		return change.Reseal(t.Context(), from, to, avatar())
	}))
	if _, err := files.Open(t.Context(), avatar(), to); err != nil {
		t.Error(err)
	}
}

func railsFiles(t *testing.T) *sql.DB {
	t.Helper()
	folder := t.TempDir()
	rails, err := fs.Sub(vectors.FS, "activestorage")
	must(t, err)
	must(t, os.CopyFS(folder, rails))
	must(t, os.Chmod(filepath.Join(folder, "app.sqlite3"), 0o600)) // an embedded file is read-only
	t.Chdir(folder)
	db, err := sql.Open("sqlite", "app.sqlite3")
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func loadCustomer(t *testing.T, db *sql.DB) *Customer {
	t.Helper()
	c := &Customer{}
	must(t, db.QueryRow(`SELECT id, encrypted_kms_key FROM users WHERE id = 1`).Scan(&c.ID, &c.EncryptedKMSKey))
	return c
}

func TestTheIndexKeyComesFromTheKMS(t *testing.T) {
	ring := testRing(t)
	key := make([]byte, 32)
	rand.Read(key)
	wrapped, err := ring.Encrypt(t.Context(), key, kms.Context{"purpose": "blind indexes"})
	must(t, err)
	t.Setenv("WRAPPED_INDEX_KEY", wrapped)
	opened, err := openIndexKey(t.Context(), ring)
	must(t, err)

	members, err := rowseal.NewModel[Member]("members", ring, &rowseal.Options{
		Binding:    rowseal.BindNone,
		MasterKeys: map[string]*rowseal.MasterKey{"lockbox": opened, rowseal.DefaultIndexKey: opened},
	})
	must(t, err)
	found, err := members.Lookup(t.Context(), "email_bidx", "ada@example.org")
	if want := indexUnder(t, key, "members", "email_bidx", "ada@example.org"); err != nil || found[0] != want {
		t.Errorf("the index is %v, %v, and the gem's %s", found, err, want)
	}
}

// newApp is the table of a Rails app that has got a lock_version.
func newApp(t *testing.T) (*sql.DB, *rowseal.Model[User]) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "production.sqlite3")
	copyDatabase(file)
	db, err := sql.Open("sqlite", file)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	t.Setenv("KMS_KEY_ID", "insecure-test-key")
	t.Setenv("LOCKBOX_MASTER_KEY", strings.Repeat("0", 64))
	users, err := newUsers(t.Context())
	must(t, err)
	return db, users
}

func copyDatabase(file string) {
	content, err := vectors.FS.ReadFile("rails/insecure.sqlite3")
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		panic(err)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		panic(err)
	}
	defer db.Close()
	if _, err := db.Exec(`ALTER TABLE users ADD COLUMN lock_version integer NOT NULL DEFAULT 0`); err != nil {
		panic(err)
	}
}

func empty(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "app.sqlite3"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func testRing(t *testing.T) *rowseal.Keyring {
	t.Helper()
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(testkms.New(false), nil)})
	must(t, err)
	return ring
}

func mustFind(t *testing.T, db *sql.DB, users *rowseal.Model[User], email string) *User {
	t.Helper()
	u, err := findUser(t.Context(), db, users, email)
	must(t, err)
	return u
}

func loadMember(t *testing.T, db *sql.DB, members *rowseal.Model[Member]) *Member {
	t.Helper()
	m := &Member{}
	must(t, db.QueryRow(`SELECT id, encrypted_kms_key, email_ciphertext, email_bidx FROM members`).
		Scan(&m.ID, &m.EncryptedKMSKey, &m.Email, &m.EmailIndex))
	must(t, members.Open(t.Context(), m))
	return m
}

// underMasterKey is what has_encrypted writes without a key option.
func underMasterKey(t *testing.T, master []byte, table, column, value string) string {
	t.Helper()
	key, err := lockbox.AttributeKey(master, table, column)
	must(t, err)
	box, err := lockbox.New(key, nil)
	must(t, err)
	sealed, err := box.Encrypt([]byte(value), nil)
	must(t, err)
	return string(sealed)
}

// indexUnder is what blind_index writes.
func indexUnder(t *testing.T, master []byte, table, column, value string) string {
	t.Helper()
	key, err := blindindex.KeyOf(master, table, column)
	must(t, err)
	indexer, err := blindindex.New(key, nil)
	must(t, err)
	index, err := indexer.Compute(value)
	must(t, err)
	return index
}

// rowOf is what the .json beside the database says of a row.
func rowOf(t *testing.T, id int64) map[string]any {
	t.Helper()
	content, err := vectors.FS.ReadFile("rails/insecure.json")
	must(t, err)
	var file struct{ Rows []map[string]any }
	must(t, json.Unmarshal(content, &file))
	return file.Rows[id-1]
}

func columnsOf(t *testing.T, db *sql.DB, id int64) map[string]string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT * FROM users WHERE id = ?`, id)
	must(t, err)
	defer rows.Close()
	names, err := rows.Columns()
	must(t, err)
	values, targets := make([]any, len(names)), make([]any, len(names))
	for i := range values {
		targets[i] = &values[i]
	}
	rows.Next()
	must(t, rows.Scan(targets...))
	columns := map[string]string{}
	for i, name := range names {
		columns[name] = fmt.Sprintf("%q", values[i])
	}
	return columns
}

func exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
