package sqlc

import (
	"crypto/sha256"
	"database/sql"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/sqlc/userspgx"
	"github.com/rowseal/rowseal/internal/e2e/sqlc/userssql"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

var born = time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC)

func TestWhatSqlcGeneratesForPgxIsAModel(t *testing.T) {
	pool, _ := newDatabase(t)
	q, users := userspgx.New(pool), newModel[userspgx.User](t)
	u := &userspgx.User{Name: "Ada"}
	u.Email.Set("Ada@example.org")
	u.BornOn.Set(born)
	u.Photo.Set([]byte("portrait\x00"))
	must(t, signUp(t.Context(), q, users, u))
	found, err := userByEmail(t.Context(), q, users, "ada@example.org")
	must(t, err)
	bornOn, err1 := found.BornOn.Get()
	photo, err2 := found.Photo.Get()
	if found.ID != u.ID || !bornOn.Equal(born) || string(photo) != "portrait\x00" || err1 != nil || err2 != nil {
		t.Errorf("user %d, %v, %q, %v, %v", found.ID, bornOn, photo, err1, err2)
	}

	must(t, changeEmail(t.Context(), q, users, found, "countess@example.org"))
	must(t, changeEmail(t.Context(), q, users, found, "lovelace@example.org"))
	again, err := userByEmail(t.Context(), q, users, "lovelace@example.org")
	must(t, err)
	if again.ID != u.ID {
		t.Errorf("found user %d", again.ID)
	}
}

func TestAStatementOfSqlcComparesTheKey(t *testing.T) {
	pool, db := newDatabase(t)
	q, users := userspgx.New(pool), newModel[userspgx.User](t)
	u := &userspgx.User{Name: "Ada"}
	u.Email.Set("ada@example.org")
	must(t, signUp(t.Context(), q, users, u))
	late, err := q.UserByID(t.Context(), u.ID)
	must(t, err)
	must(t, users.Open(t.Context(), &late))

	rekeyed, err := q.UserByID(t.Context(), u.ID) // in another process
	must(t, err)
	must(t, users.Rekey(t.Context(), &rekeyed))
	must(t, sqlseal.New(users, nil).Update(t.Context(), sqlseal.SQL(sqlseal.PostgreSQL, db), &rekeyed))
	if err := changeEmail(t.Context(), q, users, &late, "late@example.org"); !errors.Is(err, rowseal.ErrConflict) {
		t.Errorf("under the data key that the row had: %v", err)
	}
	_, err = db.Exec(`UPDATE users SET encrypted_kms_key = NULL, email_ciphertext = NULL, email_bidx = NULL`)
	must(t, err)
	if err := changeEmail(t.Context(), q, users, u, "late@example.org"); !errors.Is(err, rowseal.ErrConflict) {
		t.Errorf("of a row that has none: %v", err)
	}
	now, err := q.UserByID(t.Context(), u.ID)
	must(t, err)
	if !now.Email.IsNull() {
		t.Error("a value was written without its data key")
	}
}

func TestWhatSqlcGeneratesForDatabaseSQLIsAModel(t *testing.T) {
	_, db := newDatabase(t)
	q, users := userssql.New(db), newModel[userssql.User](t)
	u := &userssql.User{ID: 7, Name: "Ada"}
	u.Email.Set("ada@example.org")
	u.BornOn.Set(born)
	u.Photo.Set([]byte("portrait\x00"))
	if err := q.InsertUser(t.Context(), userssql.InsertUserParams(*u)); !errors.Is(err, rowseal.ErrUnsealed) {
		t.Errorf("before it is sealed: %v", err)
	}
	must(t, users.Seal(t.Context(), u))
	must(t, q.InsertUser(t.Context(), userssql.InsertUserParams(*u)))
	users.Rows().Inserted(u)

	table := sqlseal.New(users, &sqlseal.Options{Columns: []string{"name"}})
	found, err := q.UserByID(t.Context(), 7)
	must(t, err)
	found.Name = "Ada K."
	found.Email.Set("countess@example.org")
	must(t, table.Update(t.Context(), sqlseal.SQL(sqlseal.PostgreSQL, db), &found))

	found, err = q.UserByID(t.Context(), 7)
	must(t, err)
	must(t, users.Open(t.Context(), &found))
	email, err1 := found.Email.Get()
	bornOn, err2 := found.BornOn.Get()
	photo, err3 := found.Photo.Get()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if email != "countess@example.org" || !bornOn.Equal(born) || string(photo) != "portrait\x00" || found.Name != "Ada K." {
		t.Errorf("%q, %v, %q, %q", email, bornOn, photo, found.Name)
	}
}

func newDatabase(t *testing.T) (*pgxpool.Pool, *sql.DB) {
	t.Helper()
	dsn := dbtest.PostgreSQL.New(t)
	pool, err := pgxpool.New(t.Context(), dsn)
	must(t, err)
	t.Cleanup(pool.Close)
	schema, err := os.ReadFile("schema.sql")
	must(t, err)
	_, err = pool.Exec(t.Context(), string(schema))
	must(t, err)
	db, err := sql.Open("pgx", dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return pool, db
}

func newModel[T any](t *testing.T) *rowseal.Model[T] {
	t.Helper()
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{BatchSize: 100}, nil)})
	must(t, err)
	secret := sha256.Sum256([]byte("the index key"))
	indexKey, err := rowseal.NewMasterKey(secret[:])
	must(t, err)
	users, err := rowseal.NewModel[T]("users", ring, &rowseal.Options{
		Model: "User", MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: indexKey},
	})
	must(t, err)
	return users
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
