package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/tracelog"
	"github.com/jmoiron/sqlx"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/integration"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

var (
	databaseSQL = integration.Integration{Name: "sqlseal", Databases: dbtest.All(), Connect: connectSQL}
	overSqlx    = integration.Integration{Name: "sqlx", Databases: dbtest.All(), Connect: connectSqlx}
	overPgx     = integration.Integration{Name: "pgx", Databases: []dbtest.Database{dbtest.PostgreSQL}, Connect: connectPgx, Logs: "INSERT INTO"}
)

func TestDatabaseSQL(t *testing.T) { integration.Run(t, databaseSQL) }
func TestSqlx(t *testing.T)        { integration.Run(t, overSqlx) }
func TestPgx(t *testing.T)         { integration.Run(t, overPgx) }

// What a Table is not told of is left to the database's defaults, and to others.
func TestColumnsThatAreNotNamedAreNotWritten(t *testing.T) {
	type note struct {
		ID              int64
		Title, Color    string
		EncryptedKMSKey rowseal.DataKey
		Text            rowseal.Sealed[string]
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		ctx, pool := t.Context(), d.Open(t)
		_, err := pool.ExecContext(ctx, "CREATE TABLE notes (id bigint PRIMARY KEY, title varchar(20) NOT NULL, color varchar(20) NOT NULL DEFAULT 'white', "+
			"encrypted_kms_key text, text_ciphertext text)")
		must(err)
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(kmstest.NewFake(), nil)})
		must(err)
		notes, err := rowseal.NewModel[note]("notes", ring, &rowseal.Options{Model: "Note"})
		must(err)
		table, db := sqlseal.New(notes, &sqlseal.Options{Columns: []string{"title"}}), sqlseal.SQL(integration.DialectOf(d), pool)
		want := func(title, color string) {
			t.Helper()
			var n note
			must(pool.QueryRowContext(ctx, "SELECT title, color FROM notes").Scan(&n.Title, &n.Color))
			if n.Title != title || n.Color != color {
				t.Errorf("the row has %q and %q, want %q and %q", n.Title, n.Color, title, color)
			}
		}
		n := &note{ID: 1, Title: "one", Color: "red"}
		n.Text.Set("text")
		must(table.Insert(ctx, db, n))
		want("one", "white")
		n.Title = "two"
		n.Text.Set("new")
		must(table.Update(ctx, db, n))
		want("two", "white")
		_, err = pool.ExecContext(ctx, "UPDATE notes SET color = 'blue'")
		must(err)
		again := &note{ID: 1, Title: "three", Color: "red"}
		again.Text.Set("again")
		must(table.Upsert(ctx, db, nil, again))
		want("three", "blue")
	})
}

// sqlSession reads with statements of its own, writes through sqlseal, and deletes as anybody does.
type sqlSession struct {
	sqlseal.Dialect
	tables map[reflect.Type]table
	client
}

// table is what sqlseal.New makes, for rows of any type.
type table struct {
	insert, update func(ctx context.Context, db *sqlseal.DB, rows []any) error
	upsert         func(ctx context.Context, db *sqlseal.DB, target []string, rows []any) error
	rows           *rowseal.Rows
	name           string
}

// tableOf returns a table if the model is that of T.
func tableOf[T any](t integration.Table) (table, bool) {
	model, ok := t.Model.(sqlseal.Model[T])
	if !ok {
		return table{}, false
	}
	columns, _ := fieldsOf(new(T))
	rows := model.Rows()
	columns = slices.DeleteFunc(columns, func(c string) bool { return c == "id" || slices.Contains(rows.SealedColumns(), c) })
	w := sqlseal.New(model, &sqlseal.Options{Columns: columns, Order: t.Order, NoKMSInTransaction: t.NoKMSInTransaction})
	return table{
		name: rows.Schema().Table,
		rows: rows,
		insert: func(ctx context.Context, db *sqlseal.DB, all []any) error {
			return w.Insert(ctx, db, rowsOf[T](all)...)
		},
		update: func(ctx context.Context, db *sqlseal.DB, all []any) error {
			return w.Update(ctx, db, rowsOf[T](all)...)
		},
		upsert: func(ctx context.Context, db *sqlseal.DB, target []string, all []any) error {
			return w.Upsert(ctx, db, target, rowsOf[T](all)...)
		},
	}, true
}

func rowsOf[T any](rows []any) []*T {
	all := make([]*T, len(rows))
	for i, row := range rows {
		all[i] = row.(*T)
	}
	return all
}

// typed are the suite's row types.
var typed = []func(integration.Table) (table, bool){
	tableOf[integration.Account], tableOf[integration.Note], tableOf[integration.Visit], tableOf[integration.Pair], tableOf[Crowded],
	tableOf[integration.Keyed[int32]], tableOf[integration.Keyed[int64]], tableOf[integration.Keyed[uint]], tableOf[integration.Keyed[*int64]],
	tableOf[integration.Keyed[string]], tableOf[integration.Keyed[integration.Number]], tableOf[integration.Keyed[integration.Code]],
	tableOf[integration.Keyed[integration.UUID]],
}

func tablesOf(t testing.TB, tables []integration.Table) map[reflect.Type]table {
	all := map[reflect.Type]table{}
	for _, given := range tables {
		for _, of := range typed {
			if table, ok := of(given); ok {
				all[given.Model.Rows().Type()] = table
			}
		}
		if _, ok := all[given.Model.Rows().Type()]; !ok {
			t.Fatalf("the rows of %T are not in typed", given.Model)
		}
	}
	return all
}

// fieldsOf are the columns of a row by its db tags, and where they are.
func fieldsOf(row any) (columns []string, pointers []any) {
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		if column := v.Type().Field(i).Tag.Get("db"); column != "-" {
			columns, pointers = append(columns, column), append(pointers, v.Field(i).Addr().Interface())
		}
	}
	return columns, pointers
}

func (s *sqlSession) of(row any) table { return s.tables[reflect.TypeOf(row)] }

func idOf(row any) any { return reflect.ValueOf(row).Elem().FieldByName("ID").Interface() }

func (s *sqlSession) Create(ctx context.Context, rows ...any) error {
	return s.of(rows[0]).insert(ctx, s.db(), rows)
}

func (s *sqlSession) Update(ctx context.Context, rows ...any) error {
	return s.of(rows[0]).update(ctx, s.db(), rows)
}

func (s *sqlSession) Upsert(ctx context.Context, target []string, rows ...any) error {
	return s.of(rows[0]).upsert(ctx, s.db(), target, rows)
}

func (s *sqlSession) Delete(ctx context.Context, row any) error {
	return s.exec(ctx, "DELETE FROM "+s.of(row).name+" WHERE id = "+s.Placeholder(1), idOf(row))
}

func (s *sqlSession) Exec(ctx context.Context, statement string, args ...any) error {
	return s.exec(ctx, statement, args...)
}

func (s *sqlSession) Find(ctx context.Context, row, id any, columns ...string) error {
	if len(columns) == 0 {
		columns, _ = fieldsOf(row)
	}
	found := false
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + s.of(row).name + " WHERE id = " + s.Placeholder(1)
	err := s.query(ctx, query, []any{id}, func(r scanner) error {
		found = true
		return scan(r, row, columns)
	})
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return err
}

func (s *sqlSession) FindAll(ctx context.Context, rows any) error {
	all := reflect.ValueOf(rows).Elem()
	typ := all.Type().Elem()
	columns, _ := fieldsOf(reflect.New(typ.Elem()).Interface())
	return s.query(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+s.tables[typ].name+" ORDER BY id", nil, func(r scanner) error {
		row := reflect.New(typ.Elem())
		all.Set(reflect.Append(all, row))
		return scan(r, row.Interface(), columns)
	})
}

func (s *sqlSession) Open(ctx context.Context, rows ...any) error {
	return s.of(rows[0]).rows.Open(ctx, rows...)
}

func (s *sqlSession) Transaction(ctx context.Context, do func(integration.Session) error) error {
	tx, end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	if err := do(&sqlSession{s.Dialect, s.tables, tx}); err != nil {
		return errors.Join(err, end(false))
	}
	return end(true)
}

// scan loads the columns of a result, which sqlx does by itself.
func scan(r scanner, row any, columns []string) error {
	if r, ok := r.(interface{ StructScan(dest any) error }); ok {
		return r.StructScan(row)
	}
	names, pointers := fieldsOf(row)
	var to []any
	for _, c := range columns {
		to = append(to, pointers[slices.Index(names, c)])
	}
	return r.Scan(to...)
}

type scanner interface {
	Scan(dest ...any) error
}

func eachRow(rows interface {
	scanner
	Next() bool
	Err() error
}, each func(scanner) error) error {
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// client is a database or a transaction, and what is under a Session.
type client interface {
	db() *sqlseal.DB
	query(ctx context.Context, statement string, args []any, each func(scanner) error) error
	exec(ctx context.Context, statement string, args ...any) error
	begin(ctx context.Context) (tx client, end func(commit bool) error, err error)
}

// standard is database/sql.
type standard struct {
	sqlseal.Dialect
	sqlseal.Querier // *sql.DB or *sql.Tx
}

func connectSQL(t testing.TB, d dbtest.Database, dsn string, _ io.Writer, tables ...integration.Table) integration.Session {
	return &sqlSession{integration.DialectOf(d), tablesOf(t, tables), standard{integration.DialectOf(d), openSQL(t, d, dsn)}}
}

func openSQL(t testing.TB, d dbtest.Database, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.Driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (c standard) db() *sqlseal.DB { return sqlseal.SQL(c.Dialect, c.Querier) }

func (c standard) query(ctx context.Context, statement string, args []any, each func(scanner) error) error {
	rows, err := c.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachRow(rows, each)
}

func (c standard) exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.ExecContext(ctx, statement, args...)
	return err
}

func (c standard) begin(ctx context.Context) (client, func(bool) error, error) {
	db, ok := c.Querier.(*sql.DB)
	if !ok {
		return c, savePoint(ctx, c), c.exec(ctx, "SAVEPOINT nested")
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return standard{c.Dialect, tx}, ending(tx), nil
}

func ending(tx interface {
	Commit() error
	Rollback() error
}) func(commit bool) error {
	return func(commit bool) error {
		if commit {
			return tx.Commit()
		}
		return tx.Rollback()
	}
}

// savePoint ends one.
func savePoint(ctx context.Context, tx client) func(commit bool) error {
	return func(commit bool) error {
		if commit {
			return tx.exec(ctx, "RELEASE SAVEPOINT nested")
		}
		return tx.exec(ctx, "ROLLBACK TO SAVEPOINT nested")
	}
}

// extended is sqlx.
type extended struct {
	sqlseal.Dialect
	sqlxQuerier // *sqlx.DB or *sqlx.Tx
}

type sqlxQuerier interface {
	sqlseal.Querier
	QueryxContext(ctx context.Context, query string, args ...any) (*sqlx.Rows, error)
}

func connectSqlx(t testing.TB, d dbtest.Database, dsn string, _ io.Writer, tables ...integration.Table) integration.Session {
	db := sqlx.NewDb(openSQL(t, d, dsn), d.Driver)
	return &sqlSession{integration.DialectOf(d), tablesOf(t, tables), extended{integration.DialectOf(d), db}}
}

func (c extended) db() *sqlseal.DB { return sqlseal.SQL(c.Dialect, c.sqlxQuerier) }

func (c extended) query(ctx context.Context, statement string, args []any, each func(scanner) error) error {
	rows, err := c.QueryxContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachRow(rows, each)
}

func (c extended) exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.ExecContext(ctx, statement, args...)
	return err
}

func (c extended) begin(ctx context.Context) (client, func(bool) error, error) {
	db, ok := c.sqlxQuerier.(*sqlx.DB)
	if !ok {
		return c, savePoint(ctx, c), c.exec(ctx, "SAVEPOINT nested")
	}
	tx, err := db.BeginTxx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return extended{c.Dialect, tx}, ending(tx), nil
}

// native is pgx without database/sql.
type native struct {
	pgxQuerier // *pgxpool.Pool or pgx.Tx
}

type pgxQuerier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Begin(ctx context.Context) (pgx.Tx, error)
}

func connectPgx(t testing.TB, _ dbtest.Database, dsn string, log io.Writer, tables ...integration.Table) integration.Session {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Tracer = &tracelog.TraceLog{LogLevel: tracelog.LogLevelTrace,
		Logger: tracelog.LoggerFunc(func(_ context.Context, _ tracelog.LogLevel, msg string, data map[string]any) {
			fmt.Fprintf(log, "%s %v %+v %#v\n", msg, data, data, data)
		})}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &sqlSession{sqlseal.PostgreSQL, tablesOf(t, tables), native{pool}}
}

func (c native) db() *sqlseal.DB {
	if tx, ok := c.pgxQuerier.(pgx.Tx); ok {
		return sqlseal.Pgx(tx)
	}
	return sqlseal.Pgx(c.pgxQuerier)
}

func (c native) query(ctx context.Context, statement string, args []any, each func(scanner) error) error {
	rows, err := c.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachRow(rows, each)
}

func (c native) exec(ctx context.Context, statement string, args ...any) error {
	_, err := c.Exec(ctx, statement, args...)
	return err
}

func (c native) begin(ctx context.Context) (client, func(bool) error, error) {
	tx, err := c.Begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	return native{tx}, func(commit bool) error {
		if commit {
			return tx.Commit(ctx)
		}
		return tx.Rollback(ctx)
	}, nil
}
