package sqlguide

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jmoiron/sqlx"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func TestTheGuideShowsThisCode(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/sql.md")
	must(t, err)
	var code strings.Builder
	for _, pattern := range []string{"*.go", "*.sql", "../sqlc/sqlc.yaml", "../sqlc/*.sql", "../sqlc/*.go", "../sqlc/*/types.go"} {
		files, err := filepath.Glob(pattern)
		must(t, err)
		for _, name := range files {
			content, err := os.ReadFile(name)
			must(t, err)
			code.Write(content)
		}
	}
	blocks := regexp.MustCompile("(?s)```[a-z]+\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(blocks) < 12 {
		t.Errorf("docs/sql.md has %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(code.String(), block[1]) {
			t.Errorf("docs/sql.md shows code that is not here:\n%s", block[1])
		}
	}
}

func TestAUserIsSavedFoundAndChanged(t *testing.T) {
	a := newApp(t)
	ada, err := signUp(t.Context(), a.pool, a.table, "Ada", "ada@example.org")
	must(t, err)
	must(t, changeEmail(t.Context(), a.db, a.table, ada, "countess@example.org"))
	a.wantEmail(t, ada.ID, "countess@example.org")

	found, err := userByEmail(t.Context(), sqlx.NewDb(a.db, "pgx"), a.users, "Countess@Example.ORG")
	must(t, err)
	if found.ID != ada.ID || found.Name != "Ada" {
		t.Errorf("found %d, %s", found.ID, found.Name)
	}
	if _, err := userByEmail(t.Context(), sqlx.NewDb(a.db, "pgx"), a.users, "ada@example.org"); !errors.Is(err, sql.ErrNoRows) {
		t.Errorf("the address that she had: %v", err)
	}
	must(t, changeEmail(t.Context(), a.db, a.table, found, "lovelace@example.org"))

	must(t, importUser(t.Context(), a.db, a.table, ada.ID, "Ada K.", "imported@example.org"))
	must(t, importUser(t.Context(), a.db, a.table, 77, "Ada K.", "new@example.org"))
	all, err := usersByName(t.Context(), a.pool, a.users, "Ada K.")
	must(t, err)
	if len(all) != 2 || all[0].ID != ada.ID {
		t.Fatalf("found %d users", len(all))
	}
	a.wantEmail(t, ada.ID, "imported@example.org")
	a.wantEmail(t, 77, "new@example.org")
}

func TestAnUpdateOfARowThatWasRewrappedMeanwhile(t *testing.T) {
	a := newApp(t)
	ada, err := signUp(t.Context(), a.pool, a.table, "Ada", "ada@example.org")
	must(t, err)
	own := a.load(t, ada.ID)
	a.rewrap(t, ada.ID)
	must(t, changeEmail(t.Context(), a.db, a.table, ada, "countess@example.org"))
	a.wantEmail(t, ada.ID, "countess@example.org")

	own.Email.Set("late@example.org")
	if err := updateUser(t.Context(), a.db, a.users, own); !errors.Is(err, rowseal.ErrConflict) {
		t.Errorf("a statement of one's own: %v", err)
	}
	a.wantEmail(t, ada.ID, "countess@example.org")
}

func TestAColumnThatWasNotLoadedStays(t *testing.T) {
	a := newApp(t)
	u := &User{Name: "Ada"}
	u.Email.Set("ada@example.org")
	u.Photo.Set([]byte("portrait"))
	must(t, a.table.Insert(t.Context(), sqlseal.Pgx(a.pool), u))
	part := &User{ID: u.ID, Name: u.Name}
	must(t, a.db.QueryRow(`SELECT encrypted_kms_key FROM users WHERE id = $1`, u.ID).Scan(&part.EncryptedKMSKey))
	must(t, changeEmail(t.Context(), a.db, a.table, part, "countess@example.org"))
	if photo, err := a.load(t, u.ID).Photo.Get(); string(photo) != "portrait" || err != nil {
		t.Errorf("the photo is %q, %v", photo, err)
	}
	a.wantEmail(t, u.ID, "countess@example.org")

	keyless := &User{ID: u.ID, Name: u.Name}
	if err := changeEmail(t.Context(), a.db, a.table, keyless, "late@example.org"); err == nil {
		t.Error("a row whose key was not loaded is updated")
	}
	a.wantEmail(t, u.ID, "countess@example.org")
}

func TestAfterARollbackTheRowsAreSavedAgain(t *testing.T) {
	a := newApp(t)
	var all []*User
	for _, name := range []string{"ada", "bob"} {
		u, err := signUp(t.Context(), a.pool, a.table, name, name+"@example.org")
		must(t, err)
		u.Email.Set(name + "@example.com")
		all = append(all, u)
	}
	if err := saveAll(t.Context(), a.pool, a.users, a.table, all...); err == nil { // there is no table of changes yet
		t.Fatal("saved without its record")
	}
	a.wantEmail(t, all[0].ID, "ada@example.org")
	a.exec(t, `CREATE TABLE changes (users int)`)
	must(t, saveAll(t.Context(), a.pool, a.users, a.table, all...))
	a.wantEmail(t, all[0].ID, "ada@example.com")
	a.wantEmail(t, all[1].ID, "bob@example.com")
}

func TestStatementsOfOnesOwn(t *testing.T) {
	a := newApp(t)
	ada := &User{ID: 1, Name: "Ada"}
	ada.Email.Set("ada@example.org")
	must(t, insertUser(t.Context(), a.db, a.users, ada))
	for _, email := range []string{"countess@example.org", "lovelace@example.org"} {
		ada.Email.Set(email)
		must(t, updateUser(t.Context(), a.db, a.users, ada))
		a.wantEmail(t, 1, email)
	}
	must(t, updateUser(t.Context(), a.db, a.users, ada)) // nothing has changed

	a.exec(t, `INSERT INTO users (id, name) VALUES (2, 'Bob')`)
	first, second := a.load(t, 2), a.load(t, 2)
	first.Email.Set("bob@example.org")
	second.Photo.Set([]byte("portrait"))
	must(t, updateUser(t.Context(), a.db, a.users, first))
	if err := updateUser(t.Context(), a.db, a.users, second); !errors.Is(err, rowseal.ErrConflict) {
		t.Errorf("the second to give the row a data key: %v", err)
	}
	a.wantEmail(t, 2, "bob@example.org")

	cleared := a.load(t, 1)
	a.users.Clear(cleared)
	cleared.Email.Set("x@example.org")
	if err := updateUser(t.Context(), a.db, a.users, cleared); err == nil {
		t.Error("a new data key was written without a look at the other columns")
	}
}

func TestCopyTakesManyAndNothingThatIsNotTheirs(t *testing.T) {
	a := newApp(t)
	var all []*User
	for id := range int64(90) {
		u := &User{ID: id + 1, Name: "many"}
		if id%2 == 0 { // the others' e-mail is NULL
			u.Email.Set(strings.Repeat("a", int(id)+1) + "@example.org")
		}
		all = append(all, u)
	}
	a.kms.Reset()
	must(t, copyUsers(t.Context(), a.pool, a.users, all))
	if n := a.kms.Requests(kms.OpEncrypt); n != 3 { // of 20 each: 45 rows have something to seal
		t.Errorf("%d requests", n)
	}
	a.wantEmail(t, 3, "aaa@example.org")

	other := a.load(t, 3)
	a.users.Wipe(other)
	other.ID = 1000
	if err := copyUsers(t.Context(), a.pool, a.users, []*User{other}); err == nil {
		t.Error("a row was copied with the data key of another")
	}
}

func TestTheTablesOfEachDatabase(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		dialect := map[string]sqlseal.Dialect{"pgx": sqlseal.PostgreSQL, "mysql": sqlseal.MySQL, "sqlite": sqlseal.SQLite}[d.Driver]
		file := map[string]string{"pgx": "postgresql.sql", "mysql": "mysql.sql", "sqlite": "sqlite.sql"}[d.Driver]
		schema, err := os.ReadFile(file)
		must(t, err)
		db := d.Open(t)
		_, err = db.Exec(string(schema))
		must(t, err)
		users, _ := newModel(t)
		must(t, users.Check(t.Context(), sqlseal.SQL(dialect, db), nil))
		table := newUserTable(users)
		photo := make([]byte, 100_000) // more than 64 KiB
		u := &User{Name: "Ada"}
		u.Email.Set("ada@example.org")
		u.Photo.Set(photo)
		must(t, table.Insert(t.Context(), sqlseal.SQL(dialect, db), u))
		u.Email.Set("countess@example.org")
		must(t, table.Update(t.Context(), sqlseal.SQL(dialect, sqlx.NewDb(db, d.Driver)), u))

		got := &User{}
		must(t, sqlx.NewDb(db, d.Driver).Get(got, `SELECT * FROM users`))
		must(t, users.Open(t.Context(), got))
		email, err1 := got.Email.Get()
		content, err2 := got.Photo.Get()
		if email != "countess@example.org" || len(content) != len(photo) || err1 != nil || err2 != nil {
			t.Errorf("%q, %d bytes, %v, %v", email, len(content), err1, err2)
		}

		second := &User{Name: "Countess"}
		second.Email.Set("COUNTESS@example.org")
		if err := table.Insert(t.Context(), sqlseal.SQL(dialect, db), second); err == nil {
			t.Error("two users have one address")
		}
	})
}

// app is the guide's application.
type app struct {
	db    *sql.DB
	pool  *pgxpool.Pool
	users *rowseal.Model[User]
	table *sqlseal.Table[User]
	kms   *kmstest.Fake
}

func newApp(t *testing.T) *app {
	t.Helper()
	dsn := dbtest.PostgreSQL.New(t)
	db, err := sql.Open("pgx", dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	pool, err := pgxpool.New(t.Context(), dsn)
	must(t, err)
	t.Cleanup(pool.Close)
	a := &app{db: db, pool: pool}
	schema, err := os.ReadFile("postgresql.sql")
	must(t, err)
	a.exec(t, string(schema))
	a.users, a.kms = newModel(t)
	a.table = newUserTable(a.users)
	return a
}

func newModel(t *testing.T) (*rowseal.Model[User], *kmstest.Fake) {
	t.Helper()
	fake := &kmstest.Fake{BatchSize: 20}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil)})
	must(t, err)
	secret := sha256.Sum256([]byte("the index key"))
	indexKey, err := rowseal.NewMasterKey(secret[:])
	must(t, err)
	users, err := newUsers(ring, indexKey)
	must(t, err)
	return users, fake
}

func (a *app) load(t *testing.T, id int64) *User {
	t.Helper()
	u, err := userByID(t.Context(), a.db, a.users, id)
	must(t, err)
	return u
}

func (a *app) wantEmail(t *testing.T, id int64, want string) {
	t.Helper()
	if email, err := a.load(t, id).Email.Get(); email != want || err != nil {
		t.Errorf("user %d has %q, %v, want %q", id, email, err, want)
	}
}

// rewrap is a rotation of the KMS key in another process.
func (a *app) rewrap(t *testing.T, id int64) {
	t.Helper()
	u := a.load(t, id)
	stored, _ := u.EncryptedKMSKey.Stored()
	must(t, a.users.Rewrap(t.Context(), u))
	a.exec(t, `UPDATE users SET encrypted_kms_key = $1 WHERE id = $2 AND encrypted_kms_key = $3`, u.EncryptedKMSKey, id, stored)
}

func (a *app) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := a.db.ExecContext(t.Context(), statement, args...)
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
