package columns

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jmoiron/sqlx"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/sqlseal"
)

// way is a way to write and read rows.
type way struct {
	name   string
	insert func(ctx context.Context, rows ...*sample) error
	update func(ctx context.Context, row *sample) (int64, error) // with the key that was loaded; nil: this way only inserts
	load   func(ctx context.Context) ([]*sample, error)          // all rows, by id
	// vague: the error is one of the server's, which has heard our error's text alone.
	vague bool
}

// bind puts an argument into a statement and returns what stands for it there.
type bind func(column string, arg any) string

func insertOf(row *sample, value bind) string {
	var marks []string
	for i, arg := range row.args() {
		marks = append(marks, value(columns[i], arg))
	}
	return fmt.Sprintf("INSERT INTO samples (%s) VALUES (%s)", strings.Join(columns, ", "), strings.Join(marks, ", "))
}

// updateOf compares the key columns with what was loaded, as sqlseal does.
func updateOf(d sqlseal.Dialect, row *sample, value bind) string {
	var set []string
	for i, arg := range row.args()[1:] {
		set = append(set, columns[i+1]+" = "+value(columns[i+1], arg))
	}
	where := "id = " + value("id", row.ID)
	for column, key := range map[string]rowseal.DataKey{"encrypted_kms_key": row.Key, "encrypted_kms_key_bytes": row.BytesKey} {
		stored, _ := key.Stored()
		where += " AND " + d.Condition(rowseal.Match{Column: column, Value: stored}, func(arg any) string { return value("stored_"+column, arg) })
	}
	return "UPDATE samples SET " + strings.Join(set, ", ") + " WHERE " + where
}

var selectAll = "SELECT " + strings.Join(columns, ", ") + " FROM samples ORDER BY id"

// positional binds arguments by their positions.
func positional(d sqlseal.Dialect, args *[]any) bind {
	return func(_ string, arg any) string {
		*args = append(*args, arg)
		return d.Placeholder(len(*args))
	}
}

// named binds arguments by the names of their columns.
func named(prefix string, args map[string]any) bind {
	return func(column string, arg any) string {
		args[column] = arg
		return prefix + column
	}
}

func dialect(d dbtest.Database) sqlseal.Dialect {
	return map[string]sqlseal.Dialect{"pgx": sqlseal.PostgreSQL, "mysql": sqlseal.MySQL, "sqlite": sqlseal.SQLite}[d.Driver]
}

// eachWay runs a test with every way on every database, each with a table of its own, and holds it to printing nothing
// secret. look asks the database itself.
func eachWay(t *testing.T, test func(t *testing.T, w way, look *sql.DB)) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		dsn := d.New(t)
		db := openSQL(t, d.Driver, dsn)
		for _, w := range waysOf(t, d, dsn) {
			_, err := db.Exec("DROP TABLE IF EXISTS samples")
			must(t, err)
			_, err = db.Exec(createTable(dialect(d)))
			must(t, err)
			t.Run(w.name, func(t *testing.T) { test(t, w, db) })
		}
	})
}

func waysOf(t *testing.T, d dbtest.Database, dsn string) []way {
	o := newOverhearer(t, "INSERT INTO samples", "[data key: opened]", "[opened]")
	ways := sqlWays("database/sql", dialect(d), o.openSQL(t, d.Driver, dsn))
	switch d.Driver {
	case "mysql":
		ways = append(ways, sqlWays("database/sql, arguments in the text", dialect(d), o.openSQL(t, d.Driver, dsn+"&interpolateParams=true"))...)
	case "pgx":
		for _, mode := range modes {
			ways = append(ways, pgxWays(mode.String(), o.openPgx(t, dsn, mode))...)
		}
		for _, mode := range []string{"exec", "simple_protocol"} {
			ways = append(ways, sqlWays("database/sql, "+mode, dialect(d), o.openSQL(t, d.Driver, dsn+"&default_query_exec_mode="+url.QueryEscape(mode)))...)
		}
	}
	return ways
}

var modes = []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol}

// sqlWays are those of database/sql and what is made of it.
func sqlWays(name string, d sqlseal.Dialect, db *sql.DB) []way {
	x := sqlx.NewDb(db, map[sqlseal.Dialect]string{sqlseal.PostgreSQL: "pgx", sqlseal.MySQL: "mysql", sqlseal.SQLite: "sqlite3"}[d])
	load := func(ctx context.Context) ([]*sample, error) { return loadSQL(db.QueryContext(ctx, selectAll)) }
	return []way{
		{
			name: name, load: load,
			insert: func(ctx context.Context, rows ...*sample) error {
				return inTransaction(ctx, db, func(tx *sql.Tx) error {
					for _, row := range rows {
						var args []any
						if _, err := tx.ExecContext(ctx, insertOf(row, positional(d, &args)), args...); err != nil {
							return err
						}
					}
					return nil
				})
			},
			update: func(ctx context.Context, row *sample) (int64, error) {
				var args []any
				statement := updateOf(d, row, positional(d, &args))
				return affected(db.ExecContext(ctx, statement, args...))
			},
		},
		{
			name: name + ", prepared",
			insert: func(ctx context.Context, rows ...*sample) error {
				return inTransaction(ctx, db, func(tx *sql.Tx) error {
					var args []any
					prepared, err := tx.PrepareContext(ctx, insertOf(rows[0], positional(d, &args)))
					if err != nil {
						return err
					}
					defer prepared.Close()
					for _, row := range rows {
						if _, err := prepared.ExecContext(ctx, row.args()...); err != nil {
							return err
						}
					}
					return nil
				})
			},
			update: func(ctx context.Context, row *sample) (int64, error) {
				var args []any
				prepared, err := db.PrepareContext(ctx, updateOf(d, row, positional(d, &args)))
				if err != nil {
					return 0, err
				}
				defer prepared.Close()
				return affected(prepared.ExecContext(ctx, args...))
			},
			load: func(ctx context.Context) ([]*sample, error) {
				prepared, err := db.PrepareContext(ctx, selectAll)
				if err != nil {
					return nil, err
				}
				defer prepared.Close()
				return loadSQL(prepared.QueryContext(ctx))
			},
		},
		{
			name: name + ", sqlx",
			insert: func(ctx context.Context, rows ...*sample) error { // one INSERT of them all
				_, err := x.NamedExecContext(ctx, insertOf(rows[0], named(":", map[string]any{})), rows)
				return err
			},
			update: func(ctx context.Context, row *sample) (int64, error) {
				args := map[string]any{}
				statement := updateOf(d, row, named(":", args))
				return affected(x.NamedExecContext(ctx, statement, args))
			},
			load: func(ctx context.Context) (all []*sample, err error) {
				return all, x.SelectContext(ctx, &all, selectAll)
			},
		},
		{
			name: name + ", sqlx's StructScan", load: func(ctx context.Context) (all []*sample, err error) {
				rows, err := x.QueryxContext(ctx, "SELECT * FROM samples ORDER BY id")
				if err != nil {
					return nil, err
				}
				defer rows.Close()
				for rows.Next() {
					row := &sample{}
					if err := rows.StructScan(row); err != nil {
						return nil, err
					}
					all = append(all, row)
				}
				return all, rows.Err()
			},
			insert: func(ctx context.Context, rows ...*sample) error {
				tx, err := x.BeginTxx(ctx, nil)
				if err != nil {
					return err
				}
				defer tx.Rollback()
				prepared, err := tx.PrepareNamedContext(ctx, insertOf(rows[0], named(":", map[string]any{})))
				if err != nil {
					return err
				}
				defer prepared.Close()
				for _, row := range rows {
					if _, err := prepared.ExecContext(ctx, row); err != nil {
						return err
					}
				}
				return tx.Commit()
			},
		},
	}
}

func loadSQL(rows *sql.Rows, err error) (all []*sample, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		row := &sample{}
		if err := rows.Scan(row.targets()...); err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func affected(r sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func inTransaction(ctx context.Context, db *sql.DB, do func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// pgxWays are those of pgx without database/sql.
func pgxWays(mode string, pool *pgxpool.Pool) []way {
	d := sqlseal.PostgreSQL
	query := func(ctx context.Context, each pgx.RowToFunc[*sample]) ([]*sample, error) {
		rows, err := pool.Query(ctx, selectAll)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, each)
	}
	scan := func(row pgx.CollectableRow) (*sample, error) {
		s := &sample{}
		return s, row.Scan(s.targets()...)
	}
	queue := func(statements func(add func(sql string, args ...any))) *pgx.Batch {
		b := &pgx.Batch{}
		statements(func(sql string, args ...any) { b.Queue(sql, args...) })
		return b
	}
	return []way{
		{
			name: "pgx, " + mode,
			insert: func(ctx context.Context, rows ...*sample) error {
				return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					for _, row := range rows {
						var args []any
						if _, err := tx.Exec(ctx, insertOf(row, positional(d, &args)), args...); err != nil {
							return err
						}
					}
					return nil
				})
			},
			update: func(ctx context.Context, row *sample) (int64, error) {
				var args []any
				tag, err := pool.Exec(ctx, updateOf(d, row, positional(d, &args)), args...)
				return tag.RowsAffected(), err
			},
			load: func(ctx context.Context) ([]*sample, error) { return query(ctx, scan) },
		},
		{
			name: "pgx, " + mode + ", named, RowToStructByName",
			insert: func(ctx context.Context, rows ...*sample) error {
				return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					for _, row := range rows {
						args := pgx.NamedArgs{}
						if _, err := tx.Exec(ctx, insertOf(row, named("@", args)), args); err != nil {
							return err
						}
					}
					return nil
				})
			},
			update: func(ctx context.Context, row *sample) (int64, error) {
				args := pgx.NamedArgs{}
				tag, err := pool.Exec(ctx, updateOf(d, row, named("@", args)), args)
				return tag.RowsAffected(), err
			},
			load: func(ctx context.Context) ([]*sample, error) { return query(ctx, pgx.RowToAddrOfStructByName[sample]) },
		},
		{
			name: "pgx, " + mode + ", batch, RowToStructByNameLax",
			insert: func(ctx context.Context, rows ...*sample) error {
				return pool.SendBatch(ctx, queue(func(add func(string, ...any)) {
					for _, row := range rows {
						var args []any
						add(insertOf(row, positional(d, &args)), args...)
					}
				})).Close()
			},
			update: func(ctx context.Context, row *sample) (changed int64, err error) {
				var args []any
				results := pool.SendBatch(ctx, queue(func(add func(string, ...any)) { add(updateOf(d, row, positional(d, &args)), args...) }))
				defer results.Close()
				tag, err := results.Exec()
				return tag.RowsAffected(), err
			},
			load: func(ctx context.Context) ([]*sample, error) {
				results := pool.SendBatch(ctx, queue(func(add func(string, ...any)) { add(selectAll) }))
				defer results.Close()
				rows, err := results.Query()
				if err != nil {
					return nil, err
				}
				return pgx.CollectRows(rows, pgx.RowToAddrOfStructByNameLax[sample])
			},
		},
		{
			name: "pgx, " + mode + ", COPY, RowToStructByPos", vague: true,
			insert: func(ctx context.Context, rows ...*sample) error {
				_, err := pool.CopyFrom(ctx, pgx.Identifier{"samples"}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
					return rows[i].args(), nil
				}))
				return err
			},
			load: func(ctx context.Context) ([]*sample, error) { return query(ctx, pgx.RowToAddrOfStructByPos[sample]) },
		},
	}
}

func openSQL(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}
