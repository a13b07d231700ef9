package sqlseal

import (
	"context"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
)

// Exec runs a statement with its arguments, and tells how many rows it has changed.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	result, err := db.conn.exec(ctx, statement{query, args})
	return result.changed, err
}

// Query runs a query and calls row for every row, with what a driver's Scan does.
func (db *DB) Query(ctx context.Context, query string, args []any, row func(scan func(dest ...any) error) error) error {
	return db.conn.query(ctx, statement{query, args}, row)
}

// Transaction runs do in a transaction, which is committed if do returns no error: the caller's, of which then only what do has
// done is undone, or one of its own. committed tells that what do has done is certain to stay.
func (db *DB) Transaction(ctx context.Context, do func(tx *DB) error) (committed bool, err error) {
	return db.together(ctx, false, do)
}

// Swap runs the UPDATE of one row of pages, if the row is still as change expects it: compare and swap, once. Columns that the
// database would change by itself in every UPDATE (MariaDB's and MySQL's ON UPDATE) stay as they are. swapped is false where somebody
// else was faster.
func (p *Pages) Swap(ctx context.Context, db *DB, key []any, change rowseal.Change) (swapped bool, err error) {
	b := &builder{Dialect: db.Dialect}
	b.write("UPDATE ", b.Quote(p.w.schema.Table), " SET ")
	for i, a := range change.Set {
		if i > 0 {
			b.write(", ")
		}
		b.write(b.Quote(a.Column), " = ", b.value(a.Value))
	}
	for _, c := range p.columns {
		if c.OnUpdate && !slices.ContainsFunc(change.Set, func(a rowseal.Assignment) bool { return strings.EqualFold(a.Column, c.Name) }) {
			b.write(", ", b.Quote(c.Name), " = ", b.Quote(c.Name))
		}
	}
	b.write(" WHERE ", p.is(b, key))
	for _, m := range change.Match {
		b.write(" AND ", b.Condition(m, b.value))
	}
	result, err := db.conn.exec(ctx, b.statement())
	if err != nil || result.changed > 0 || db.Dialect != MySQL {
		return result.changed > 0, err
	}
	return p.has(ctx, db, key, change)
}

// has tells whether a row is as change would make it: MySQL counts no row whose columns already have what is written.
func (p *Pages) has(ctx context.Context, db *DB, key []any, change rowseal.Change) (bool, error) {
	b := &builder{Dialect: db.Dialect}
	b.write("SELECT 1 FROM ", b.Quote(p.w.schema.Table), " WHERE ", p.is(b, key))
	for _, m := range change.Match {
		b.write(" AND ", b.Condition(m, b.value))
	}
	for _, a := range change.Set {
		b.write(" AND ", b.Condition(rowseal.Match{Column: a.Column, Value: a.Value}, b.value))
	}
	var one int
	return db.one(ctx, b.statement(), &one)
}

// CheckReplace refuses to replace data keys while the table has columns that may be sealed under them and that nobody has declared;
// see Options.Others.
func (w *Writer) CheckReplace(ctx context.Context, db *DB) error {
	var keys []string
	for _, k := range w.schema.Keys {
		keys = append(keys, k.Column)
	}
	return w.checkColumns(ctx, db, rowseal.Change{Replaces: keys})
}
