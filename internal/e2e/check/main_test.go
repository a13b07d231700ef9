package check

import (
	"context"
	"database/sql"
	"os"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/sqlseal"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

var dialects = map[string]sqlseal.Dialect{"PostgreSQL": sqlseal.PostgreSQL, "MariaDB": sqlseal.MySQL, "SQLite": sqlseal.SQLite}

// open returns an empty database. pgx remembers no statements, because the tests make the same table in many ways.
func open(t testing.TB, d dbtest.Database) (*sql.DB, *sqlseal.DB) {
	t.Helper()
	dsn := d.New(t)
	if d.Name == "PostgreSQL" {
		dsn += "&default_query_exec_mode=describe_exec"
	}
	return openAs(t, d, dsn)
}

func openAs(t testing.TB, d dbtest.Database, dsn string) (*sql.DB, *sqlseal.DB) {
	t.Helper()
	db, err := sql.Open(d.Driver, dsn)
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	return db, sqlseal.SQL(dialects[d.Name], db)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t testing.TB, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func columnsOf(t testing.TB, db *sqlseal.DB, table string) map[string]rowseal.TableColumn {
	t.Helper()
	list, err := db.TableColumns(context.WithoutCancel(t.Context()), table)
	must(t, err)
	all := map[string]rowseal.TableColumn{}
	for _, c := range list {
		all[c.Name] = c
	}
	if len(all) != len(list) {
		t.Errorf("%s has columns twice: %v", table, list)
	}
	return all
}
