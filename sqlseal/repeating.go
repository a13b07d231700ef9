package sqlseal

import (
	"context"
	"database/sql"
	"errors"
)

// repeating is a Querier that prepares a statement which is run again: SQLite need not parse it anew, and MySQL's driver, which
// prepares whatever has arguments, saves two of three round trips.
type repeating struct {
	Querier
	preparer
	prepared map[string]*sql.Stmt // by their SQL; nil: it was run once
}

type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// repeating runs do, which runs the same statements for many rows. PostgreSQL's drivers need no help.
func (db *DB) repeating(do func(db *DB) error) (err error) {
	c, ok := db.conn.(sqlConn)
	if !ok || db.Dialect == PostgreSQL {
		return do(db)
	}
	p, ok := c.db.(preparer)
	if !ok {
		return do(db)
	}
	r := repeating{c.db, p, map[string]*sql.Stmt{}}
	defer func() {
		for _, stmt := range r.prepared {
			if stmt != nil {
				err = errors.Join(err, stmt.Close())
			}
		}
	}()
	return do(&DB{db.Dialect, sqlConn{r}, db.own})
}

// again is the prepared statement, nil for one that is run for the first time.
func (r repeating) again(ctx context.Context, query string) (stmt *sql.Stmt, err error) {
	stmt, known := r.prepared[query]
	if known && stmt == nil {
		stmt, err = r.PrepareContext(ctx, query)
	}
	if err == nil {
		r.prepared[query] = stmt
	}
	return stmt, err
}

// ExecContext implements Querier.
func (r repeating) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := r.again(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil:
		return r.Querier.ExecContext(ctx, query, args...)
	}
	return stmt.ExecContext(ctx, args...)
}

// QueryContext implements Querier.
func (r repeating) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := r.again(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case stmt == nil:
		return r.Querier.QueryContext(ctx, query, args...)
	}
	return stmt.QueryContext(ctx, args...)
}
