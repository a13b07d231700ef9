package columns

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

// letter is a row whose id the database makes.
type letter struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Text            rowseal.Sealed[string]
}

func newLetter(id int64, text string) *letter {
	l := &letter{ID: id}
	l.Text.Set(text)
	return l
}

// letters is an empty table of them, whose ids come with the INSERT.
func letters(t *testing.T, d dbtest.Database, dsn string) (*rowseal.Model[letter], *kmstest.Fake, *sql.DB) {
	t.Helper()
	fake := &kmstest.Fake{BatchSize: 100}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil)})
	must(t, err)
	m, err := rowseal.NewModel[letter]("letters", ring, nil)
	must(t, err)
	db := openSQL(t, d.Driver, dsn)
	id := map[string]string{"PostgreSQL": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "MariaDB": "bigint AUTO_INCREMENT PRIMARY KEY", "SQLite": "integer PRIMARY KEY"}[d.Name]
	_, err = db.Exec("CREATE TABLE letters (id " + id + ", encrypted_kms_key text, text_ciphertext text)")
	must(t, err)
	return m, fake, db
}

func wantText(t *testing.T, m *rowseal.Model[letter], db *sql.DB, what string, id int64, want string) {
	t.Helper()
	l := &letter{ID: id}
	must(t, db.QueryRow("SELECT encrypted_kms_key, text_ciphertext FROM letters WHERE id = "+itoa(id)).Scan(&l.EncryptedKMSKey, &l.Text))
	must(t, m.Open(t.Context(), l))
	if got, err := l.Text.Get(); got != want || err != nil {
		t.Errorf("%s: the row has %q, %v; want %q", what, got, err, want)
	}
}

// hidden is a transaction that looks like none.
type hidden struct{ tx *sql.Tx }

func (h hidden) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return h.tx.ExecContext(ctx, query, args...)
}

func (h hidden) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return h.tx.QueryContext(ctx, query, args...)
}

func TestWhatMayBeRolledBackUnseenIsNotTakenForCertain(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		dsn := d.New(t)
		m, _, db := letters(t, d, dsn)
		table := sqlseal.New(m, nil)
		begin := func() (*sql.Tx, func()) {
			tx, err := db.Begin()
			must(t, err)
			return tx, func() { must(t, tx.Rollback()) }
		}
		ways := map[string]func() (*sqlseal.DB, func()){
			"a wrapped transaction": func() (*sqlseal.DB, func()) {
				tx, undo := begin()
				return sqlseal.SQL(dialect(d), hidden{tx}), undo
			},
			"a connection": func() (*sqlseal.DB, func()) {
				conn, err := db.Conn(t.Context())
				must(t, err)
				_, err = conn.ExecContext(t.Context(), "BEGIN")
				must(t, err)
				return sqlseal.SQL(dialect(d), conn), func() {
					_, err = conn.ExecContext(t.Context(), "ROLLBACK")
					must(t, err)
					must(t, conn.Close())
				}
			},
		}
		if d.Driver == "pgx" {
			ways["a connection of pgx"] = func() (*sqlseal.DB, func()) {
				conn, err := pgx.Connect(t.Context(), dsn)
				must(t, err)
				_, err = conn.Exec(t.Context(), "BEGIN")
				must(t, err)
				return sqlseal.Pgx(conn), func() {
					_, err = conn.Exec(t.Context(), "ROLLBACK")
					must(t, err)
					must(t, conn.Close(t.Context()))
				}
			}
		}
		for what, begin := range ways {
			l := newLetter(0, "old")
			must(t, table.Insert(t.Context(), sqlseal.SQL(dialect(d), db), l))
			l.Text.Set("new")
			tx, undo := begin()
			must(t, table.Update(t.Context(), tx, l))
			undo()
			wantText(t, m, db, what+", rolled back", l.ID, "old")
			must(t, table.Update(t.Context(), sqlseal.SQL(dialect(d), db), l))
			wantText(t, m, db, what+", again", l.ID, "new")
		}
	})
}

func TestRowsAreInsertedInTheirOrder(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		if d.Name == "PostgreSQL" {
			return // whose ids here take no value from outside
		}
		m, _, db := letters(t, d, d.New(t))
		first, second := newLetter(1, "first"), newLetter(0, "second")
		must(t, sqlseal.New(m, nil).Insert(t.Context(), sqlseal.SQL(dialect(d), db), first, second))
		if second.ID != 2 {
			t.Errorf("the second row has the id %d", second.ID)
		}
		wantText(t, m, db, "the first", 1, "first")
		wantText(t, m, db, "the second", 2, "second")
	})
}

func TestAnInsertThatIsUndoneTakesTheIDBack(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		m, fake, db := letters(t, d, d.New(t))
		table, own := sqlseal.New(m, nil), sqlseal.SQL(dialect(d), db)
		l := newLetter(0, "ada")
		fake.Deny(kms.OpEncrypt)
		if err := table.Insert(t.Context(), own, l); err == nil || l.ID != 0 {
			t.Errorf("%v, and the row has the id %d", err, l.ID)
		}
		fake.Allow(kms.OpEncrypt)
		must(t, table.Insert(t.Context(), own, newLetter(0, "another")))
		must(t, table.Insert(t.Context(), own, l))
		wantText(t, m, db, "again", l.ID, "ada")
	})
}

func TestARowThatATriggerLeavesOutIsNoSuccess(t *testing.T) {
	m, _, db := letters(t, dbtest.PostgreSQL, dbtest.PostgreSQL.New(t))
	_, err := db.Exec(`CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER nothing BEFORE INSERT ON letters FOR EACH ROW EXECUTE FUNCTION nothing()`)
	must(t, err)
	err = sqlseal.New(m, nil).Insert(t.Context(), sqlseal.SQL(sqlseal.PostgreSQL, db), newLetter(0, "ada"))
	wantErr(t, "without an id", err, rowseal.ErrConflict)
}

func TestOptionsNameWhatCanBeWritten(t *testing.T) {
	m, _, db := letters(t, dbtest.SQLite, dbtest.SQLite.New(t))
	for column, says := range map[string]string{
		"Name": "no field for it", "text_ciphertext": "is written with what is sealed", "id": "is in the primary key",
	} {
		table := sqlseal.New(m, &sqlseal.Options{Columns: []string{column}})
		l := newLetter(0, "ada")
		for what, err := range map[string]error{
			"Insert": table.Insert(t.Context(), sqlseal.SQL(sqlseal.SQLite, db), l),
			"Update": table.Update(t.Context(), sqlseal.SQL(sqlseal.SQLite, db), l),
			"Upsert": table.Upsert(t.Context(), sqlseal.SQL(sqlseal.SQLite, db), nil, l),
		} {
			wantErr(t, what, err, kms.ErrInvalidRequest)
			if err != nil && !strings.Contains(err.Error(), "sqlseal: Options.Columns of letters has "+column) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

func itoa(id int64) string { return strconv.FormatInt(id, 10) }

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func TestATransactionOfItsOwnIsNoTransactionOfTheCallers(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		m, _, db := letters(t, d, d.New(t))
		table, own := sqlseal.New(m, &sqlseal.Options{NoKMSInTransaction: true}), sqlseal.SQL(dialect(d), db)
		a, b := newLetter(0, "a"), newLetter(0, "b")
		must(t, sqlseal.New(m, nil).Insert(t.Context(), own, a, b))
		theirs := *b
		must(t, m.Rekey(t.Context(), &theirs))
		must(t, table.Update(t.Context(), own, &theirs))
		a.Text.Set("new a")
		b.Text.Set("new b")
		must(t, table.Update(t.Context(), own, a, b)) // which opens the key that b has now
		wantText(t, m, db, "the second", b.ID, "new b")
		theirs = *b
		must(t, m.Rekey(t.Context(), &theirs))
		must(t, table.Update(t.Context(), own, &theirs))
		b.Text.Set("newer b")
		tx, err := db.Begin()
		must(t, err)
		wantErr(t, "in a transaction of the caller's", table.Update(t.Context(), sqlseal.SQL(dialect(d), tx), b), kms.ErrBudget)
		must(t, tx.Rollback())
	})
}

func TestCopiesAreNotInserted(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		m, _, db := letters(t, d, d.New(t))
		table, own := sqlseal.New(m, nil), sqlseal.SQL(dialect(d), db)
		l := newLetter(7, "ada")
		must(t, m.Seal(t.Context(), l))
		copied := *l
		for what, insert := range map[string]func() error{
			"one struct":         func() error { return table.Insert(t.Context(), own, l, l) },
			"a copy":             func() error { return table.Insert(t.Context(), own, l, &copied) },
			"a copy to upsert":   func() error { return table.Upsert(t.Context(), own, nil, l, &copied) },
			"one struct, upsert": func() error { return table.Upsert(t.Context(), own, nil, l, l) },
		} {
			wantErr(t, what, insert(), kms.ErrInvalidRequest)
		}
		var n int
		must(t, db.QueryRow("SELECT count(*) FROM letters").Scan(&n))
		if n != 0 {
			t.Errorf("%d rows are there", n)
		}
	})
}
