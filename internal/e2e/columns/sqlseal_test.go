package columns

import (
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jmoiron/sqlx"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/sqlseal"
)

// A Table writes what these ways write, through every kind of connection, and finds its way around other writers there.
func TestATableWritesThroughEveryConnection(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		dsn := d.New(t)
		look := openSQL(t, d.Driver, dsn)
		for name, db := range connections(t, d, dsn) {
			_, err := look.Exec("DROP TABLE IF EXISTS samples")
			must(t, err)
			_, err = look.Exec(createTable(dialect(d)))
			must(t, err)
			t.Run(name, func(t *testing.T) {
				m := newModel(t)
				table := sqlseal.New(m, nil)
				written := []*sample{{ID: 1}, {ID: 2}, {ID: 3}}
				written[0].set(someValues(1))
				written[2].set(someValues(3))
				must(t, table.Insert(t.Context(), db, written...))
				wantStored(t, look, written)

				rows := loadAll(t, look)
				must(t, m.Open(t.Context(), rows...))
				changed := []values{someValues(4), someValues(5), someValues(6)}
				changed[1].file = "" // stored before the UPDATE, a file would stay under the data key that lost
				for i, row := range rows {
					row.set(changed[i])
				}
				rewrap(t, m, look, dialect(d), 1)
				giveKeys(t, m, look, dialect(d), 2)
				must(t, table.Update(t.Context(), db, rows...))
				wantStored(t, look, rows)

				must(t, m.Rekey(t.Context(), rows[2]))
				must(t, table.Update(t.Context(), db, rows[2]))
				must(t, m.Rewrap(t.Context(), rows...))
				must(t, table.Update(t.Context(), db, rows...))
				for i, row := range loadAll(t, look) {
					must(t, m.Open(t.Context(), row))
					if got := row.get(t); got != changed[i] {
						t.Errorf("row %d opens to %+v, want %+v", row.ID, got, changed[i])
					}
				}
			})
		}
	})
}

func connections(t *testing.T, d dbtest.Database, dsn string) map[string]*sqlseal.DB {
	t.Helper()
	o := newOverhearer(t, "INSERT INTO ", "v1:")
	db := o.openSQL(t, d.Driver, dsn)
	all := map[string]*sqlseal.DB{
		"database/sql": sqlseal.SQL(dialect(d), db),
		"sqlx":         sqlseal.SQL(dialect(d), sqlx.NewDb(db, d.Driver)),
	}
	switch d.Driver {
	case "mysql":
		all["found rows"] = sqlseal.SQL(dialect(d), o.openSQL(t, d.Driver, dsn+"&clientFoundRows=true"))
		all["arguments in the text"] = sqlseal.SQL(dialect(d), o.openSQL(t, d.Driver, dsn+"&interpolateParams=true"))
	case "pgx":
		for _, mode := range modes {
			all["pgx, "+mode.String()] = sqlseal.Pgx(o.openPgx(t, dsn, mode))
		}
		pool := o.openPgx(t, dsn, pgx.QueryExecModeCacheStatement)
		conn, err := pool.Acquire(t.Context())
		must(t, err)
		t.Cleanup(conn.Release)
		all["pgx, a connection of a pool"] = sqlseal.Pgx(conn)
		all["pgx, a connection"] = sqlseal.Pgx(conn.Conn())
		all["database/sql, exec"] = sqlseal.SQL(dialect(d), o.openSQL(t, d.Driver, dsn+"&default_query_exec_mode=exec"))
		all["database/sql, simple protocol"] = sqlseal.SQL(dialect(d), o.openSQL(t, d.Driver, dsn+"&default_query_exec_mode=simple_protocol"))
	}
	return all
}

func loadAll(t *testing.T, db *sql.DB) []*sample {
	t.Helper()
	all, err := loadSQL(db.QueryContext(t.Context(), selectAll))
	must(t, err)
	return all
}

// rewrap is a rotation in another process.
func rewrap(t *testing.T, m *rowseal.Model[sample], db *sql.DB, d sqlseal.Dialect, id int64) {
	t.Helper()
	for _, row := range loadAll(t, db) {
		if row.ID == id {
			must(t, m.Rewrap(t.Context(), row))
			must(t, sqlseal.New(m, nil).Update(t.Context(), sqlseal.SQL(d, db), row))
		}
	}
}

// giveKeys is another writer, who seals a row for the first time.
func giveKeys(t *testing.T, m *rowseal.Model[sample], db *sql.DB, d sqlseal.Dialect, id int64) {
	t.Helper()
	for _, row := range loadAll(t, db) {
		if row.ID == id {
			row.Text.Set("sesame first")
			row.Bytes.Set([]byte("sesame first"))
			must(t, sqlseal.New(m, nil).Update(t.Context(), sqlseal.SQL(d, db), row))
		}
	}
}
