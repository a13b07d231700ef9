package sqlseal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/rowseal/rowseal/kms"
)

// DB is a database, or a transaction of the caller's, and its dialect. Every method of this package that is given a
// transaction works in it; with a database it makes one where several statements belong together.
type DB struct {
	Dialect
	conn conn
	own  bool // a transaction that this package has begun
}

// conn is what the drivers have in common.
type conn interface {
	exec(ctx context.Context, s statement) (result, error)
	// query calls row for every row.
	query(ctx context.Context, s statement, row func(scan func(dest ...any) error) error) error
	// begin returns a transaction, and nil where conn is one.
	begin(ctx context.Context) (tx conn, end func(commit bool) error, err error)
	inTransaction() bool
	// commits tells that every statement is a transaction of its own. It is false where that cannot be seen.
	commits() bool
}

type result struct {
	changed int64
	lastID  func() (int64, error)
}

// statement is SQL with its arguments.
type statement struct {
	SQL  string
	Args []any
}

// Querier is a *sql.DB, *sql.Conn or *sql.Tx, or what wraps one, as those of sqlx and GORM. Whether a transaction is under way can
// be seen only of a pool (by its method Stats) and of a transaction (by its method Commit). What is written through anything
// else, such as a *sql.Conn, is taken for certain only after Model.Committed: until then, the next Update asks the database.
type Querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// SQL is a database or a transaction of database/sql.
func SQL(d Dialect, db Querier) *DB { return &DB{Dialect: d, conn: sqlConn{db}} }

type sqlConn struct{ db Querier }

func (c sqlConn) exec(ctx context.Context, s statement) (result, error) {
	r, err := c.db.ExecContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return result{}, err
	}
	changed, err := r.RowsAffected()
	return result{changed, r.LastInsertId}, err
}

func (c sqlConn) query(ctx context.Context, s statement, row func(scan func(dest ...any) error) error) error {
	rows, err := c.db.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (c sqlConn) begin(ctx context.Context) (conn, func(bool) error, error) {
	db, ok := c.db.(interface {
		BeginTx(context.Context, *sql.TxOptions) (*sql.Tx, error)
	})
	switch {
	case c.inTransaction():
		return nil, nil, nil
	case !ok:
		return nil, nil, fmt.Errorf("sqlseal: several statements belong together here, and a %T begins no transaction; give a *sql.DB or a "+
			"*sql.Tx, or one row at a time: %w", c.db, kms.ErrInvalidRequest)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return sqlConn{tx}, func(commit bool) error {
		if commit {
			return tx.Commit()
		}
		return tx.Rollback()
	}, nil
}

func (c sqlConn) inTransaction() bool {
	_, ok := c.db.(interface{ Commit() error })
	return ok
}

func (c sqlConn) commits() bool {
	_, isPool := c.db.(interface{ Stats() sql.DBStats })
	return isPool
}

// Pgx is a database or a transaction of pgx (https://github.com/jackc/pgx) without database/sql: a *pgxpool.Pool,
// *pgxpool.Conn, *pgx.Conn or pgx.Tx. The type parameters are inferred. Of a connection cannot be seen whether a transaction is
// under way; see Querier.
func Pgx[Tag interface{ RowsAffected() int64 }, Rows pgxRows, Tx any](db interface {
	pgxConn[Tag, Rows]
	Begin(ctx context.Context) (Tx, error)
}) *DB {
	return &DB{Dialect: PostgreSQL, conn: native[Tag, Rows, Tx]{db, func(ctx context.Context) (any, error) { return db.Begin(ctx) }}}
}

type pgxConn[Tag, Rows any] interface {
	Exec(ctx context.Context, sql string, args ...any) (Tag, error)
	Query(ctx context.Context, sql string, args ...any) (Rows, error)
}

type pgxRows interface {
	Next() bool
	Scan(dest ...any) error
	Err() error
	Close()
}

type pgxTx interface {
	Commit(ctx context.Context) error
	Rollback(ctx context.Context) error
}

type native[Tag interface{ RowsAffected() int64 }, Rows pgxRows, Tx any] struct {
	db    pgxConn[Tag, Rows]
	start func(ctx context.Context) (any, error)
}

func (c native[Tag, Rows, Tx]) exec(ctx context.Context, s statement) (result, error) {
	tag, err := c.db.Exec(ctx, s.SQL, s.Args...)
	if err != nil {
		return result{}, err
	}
	return result{changed: tag.RowsAffected()}, nil
}

func (c native[Tag, Rows, Tx]) query(ctx context.Context, s statement, row func(scan func(dest ...any) error) error) error {
	rows, err := c.db.Query(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (c native[Tag, Rows, Tx]) begin(ctx context.Context) (conn, func(bool) error, error) {
	if c.inTransaction() {
		return nil, nil, nil
	}
	started, err := c.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	db, runs := started.(pgxConn[Tag, Rows])
	tx, ends := started.(pgxTx)
	if !runs || !ends {
		return nil, nil, fmt.Errorf("sqlseal: %T is no transaction of pgx: %w", started, kms.ErrInvalidRequest)
	}
	return native[Tag, Rows, Tx]{db: db}, func(commit bool) error {
		if commit {
			return tx.Commit(ctx)
		}
		return tx.Rollback(context.WithoutCancel(ctx))
	}, nil
}

func (c native[Tag, Rows, Tx]) inTransaction() bool {
	_, ok := c.db.(pgxTx)
	return ok
}

// commits knows a *pgxpool.Pool by its Close, which a connection has not, or has with a context.
func (c native[Tag, Rows, Tx]) commits() bool {
	_, isPool := c.db.(interface{ Close() })
	return isPool
}

// InTransaction tells whether db is a transaction of the caller's.
func (db *DB) InTransaction() bool { return db.conn.inTransaction() && !db.own }

// together runs do in a transaction: the caller's, or one that is committed when do returns. What is a single statement needs
// none. committed tells that what do has done is certain to stay.
func (db *DB) together(ctx context.Context, single bool, do func(tx *DB) error) (committed bool, err error) {
	if single {
		err := do(db)
		return err == nil && db.conn.commits(), err
	}
	tx, end, err := db.conn.begin(ctx)
	if err != nil {
		return false, err
	}
	if tx == nil {
		return false, db.Undoing(ctx, func() error { return db.repeating(do) })
	}
	done := false
	defer func() {
		if !done { // do has panicked
			_ = end(false)
		}
	}()
	err = (&DB{db.Dialect, tx, true}).repeating(do)
	done = true
	if err != nil {
		return false, errors.Join(err, end(false))
	}
	err = end(true)
	return err == nil, err
}

// Undoing runs do inside a transaction of the caller's, and undoes what do has done to the database if it fails: whoever goes on
// after the error, and commits, must not commit half of what belongs together.
func (db *DB) Undoing(ctx context.Context, do func() error) error {
	run := func(ctx context.Context, sql string) error {
		_, err := db.conn.exec(ctx, statement{SQL: sql})
		return err
	}
	if err := run(ctx, "SAVEPOINT rowseal"); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // do has panicked
			_ = run(context.WithoutCancel(ctx), "ROLLBACK TO SAVEPOINT rowseal")
		}
	}()
	err := do()
	done = true
	if err != nil {
		return errors.Join(err, run(context.WithoutCancel(ctx), "ROLLBACK TO SAVEPOINT rowseal"))
	}
	return run(ctx, "RELEASE SAVEPOINT rowseal")
}

// one runs a query for one row; ok is false if there is none.
func (db *DB) one(ctx context.Context, s statement, dest ...any) (ok bool, err error) {
	err = db.conn.query(ctx, s, func(scan func(...any) error) error {
		ok = true
		return scan(dest...)
	})
	return ok, err
}
