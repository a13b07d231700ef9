package dbtest

import (
	"database/sql"
	"os"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestEachDatabaseAnswers(t *testing.T) {
	Run(t, func(t *testing.T, d Database) {
		var one int
		if err := d.Open(t).QueryRowContext(t.Context(), "SELECT 1").Scan(&one); err != nil || one != 1 {
			t.Errorf("%s says %d, %v", d.Name, one, err)
		}
	})
}

func TestEachOpenIsAnEmptyDatabaseOfItsOwn(t *testing.T) {
	Run(t, func(t *testing.T, d Database) {
		for range 4 {
			t.Run("parallel", func(t *testing.T) {
				t.Parallel()
				for range 2 {
					db := d.Open(t)
					if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (id INTEGER PRIMARY KEY)"); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	})
}

func TestADatabaseIsDroppedWhenItsTestEnds(t *testing.T) {
	Run(t, func(t *testing.T, d Database) {
		var dsn string
		t.Run("test", func(t *testing.T) {
			dsn = d.New(t)
			must(t, ping(t, d, dsn))
			_, err := d.Open(t).ExecContext(t.Context(), "CREATE TABLE t (id INTEGER PRIMARY KEY)")
			must(t, err)
		})
		if err := ping(t, d, dsn); err == nil {
			t.Errorf("there is still a database at %s", dsn)
		}
	})
}

func ping(t *testing.T, d Database, dsn string) error {
	t.Helper()
	db, err := sql.Open(d.Driver, dsn)
	must(t, err)
	defer db.Close()
	return db.PingContext(t.Context())
}

func TestTextIsUnicodeAndOnlyMariaDBHoldsAForItsLowerCase(t *testing.T) {
	Run(t, func(t *testing.T, d Database) {
		db := d.Open(t)
		for _, statement := range []string{"CREATE TABLE t (v VARCHAR(20))", "INSERT INTO t VALUES ('é 𝄞')"} {
			_, err := db.ExecContext(t.Context(), statement)
			must(t, err)
		}
		var text string
		must(t, db.QueryRowContext(t.Context(), "SELECT v FROM t").Scan(&text))
		var n int
		must(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM t WHERE v = 'É 𝄞'").Scan(&n))
		if text != "é 𝄞" || (n == 1) != (d == MariaDB) {
			t.Errorf("%q, found %d times in upper case", text, n)
		}
	})
}
