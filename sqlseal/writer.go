package sqlseal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Writer writes rows of one table whose type is not known: what Table is made of, and what packages for ORMs use. It is
// safe for concurrent use.
type Writer struct {
	rows   *rowseal.Rows
	schema rowseal.Schema
	opts   Options
	// columns are those of the table, as far as they are only asked for what does not change under a running program: the types
	// of the encryption context's.
	columns atomic.Pointer[[]rowseal.TableColumn]
}

// Options changes what a Table assumes. The zero value is right for a table whose other columns the application writes by
// itself.
type Options struct {
	// Columns are the columns beside those that are sealed, and beside the primary key, that Insert, Update and Upsert write.
	// Their values are those of the struct's fields.
	Columns []string
	// PrimaryKey are the columns of a primary key of several. Empty: that of the Model.
	PrimaryKey []string
	// Others are further Models of the same table, for structs that hold only some of its columns. What is sealed in columns that
	// only they have stops the replacement of a data key too.
	Others []*rowseal.Rows
	// Order is the order of events for new rows whose encryption context has an id that they do not have yet.
	Order Order
	// NoKMSInTransaction refuses requests to a KMS inside a transaction of the caller's, with kms.ErrBudget: what needs one
	// is to be sealed or opened before the transaction.
	NoKMSInTransaction bool
}

// Order is what happens first when a row is inserted whose encryption context needs its id.
type Order int

const (
	// Auto asks the database for the id where the column has a default that can be evaluated, and inserts first elsewhere.
	Auto Order = iota
	// FetchID asks the database for the id, and never inserts first: the gem's eager_encrypt: :fetch_id.
	FetchID
	// InsertFirst inserts the row with a NULL key, lets the KMS wrap the key, and updates it, in one transaction: the
	// gem's default.
	InsertFirst
)

// NewWriter returns a Writer of a Model's or a Table's rows. opts may be nil.
func NewWriter(rows *rowseal.Rows, opts *Options) *Writer {
	w := &Writer{rows: rows, schema: rows.Schema()}
	if opts != nil {
		w.opts = *opts
	}
	if len(w.opts.PrimaryKey) == 0 {
		w.opts.PrimaryKey = []string{w.schema.PrimaryKey}
	}
	return w
}

// checkOptions refuses columns that a Table cannot write.
func (w *Writer) checkOptions() error {
	row := reflect.New(w.rows.Type().Elem()).Interface()
	for _, column := range w.opts.Columns {
		_, isRecord := row.(*rowseal.Record)
		_, err := w.rows.Pointer(row, column)
		switch {
		case slices.Contains(w.rows.SealedColumns(), column):
			return fmt.Errorf("sqlseal: Options.Columns of %s has %s, which is written with what is sealed; leave it out: %w", w.schema.Table, column, kms.ErrInvalidRequest)
		case slices.Contains(w.opts.PrimaryKey, column):
			return fmt.Errorf("sqlseal: Options.Columns of %s has %s, which is in the primary key and written with it; leave it out: %w", w.schema.Table, column, kms.ErrInvalidRequest)
		case err != nil && !isRecord:
			return fmt.Errorf("sqlseal: Options.Columns of %s has %s, and the %s has no field for it; name columns as the database does, and fields by their "+
				"tags: %w", w.schema.Table, column, w.rows.Type().Elem(), kms.ErrInvalidRequest)
		}
	}
	return nil
}

// guard refuses requests to a KMS in a transaction of the caller's, where that was asked for.
func (w *Writer) guard(ctx context.Context, db *DB) context.Context {
	if w.opts.NoKMSInTransaction && db.InTransaction() {
		return kms.WithBudget(ctx, 0)
	}
	return ctx
}

// tries is how often an UPDATE is tried that others come before.
const tries = 20

// Update seals a row and lets run update it, which is given what the UPDATE writes and compares and returns how many rows it
// changed. Where somebody else was faster, the row is brought up to date and run is called again: a writer that lost to a
// rewrap or to a rekey, or to another first data key, writes on top of it. Otherwise the error is rowseal.ErrConflict or
// ErrContextChanged, and sql.ErrNoRows where the row is not there any more. writes are the columns that the UPDATE writes
// beside those that are sealed.
func (w *Writer) Update(ctx context.Context, db *DB, row any, writes []string, run func(rowseal.Change) (int64, error)) error {
	if err := db.check(); err != nil {
		return err
	}
	ctx = w.guard(ctx, db)
	var now map[string]any
	same := 0 // how often nothing was changed although the row holds what the change expects
	for try := range tries {
		if err := w.rows.Seal(ctx, row); err != nil {
			return lostRace(try, err)
		}
		change, err := w.rows.Change(row, writes, now)
		if err != nil {
			return err
		}
		if change.Unsure {
			if now, err = w.merge(ctx, db, row); err != nil {
				return err
			}
			continue
		}
		if err := w.checkColumns(ctx, db, change); err != nil {
			return err
		}
		if w.writesContext(change, writes) {
			if err := w.checkTexts(ctx, db, []any{row}); err != nil {
				return err
			}
		}
		changed, err := run(change)
		if err != nil || changed == 1 {
			return err
		}
		if changed > 1 {
			return fmt.Errorf("sqlseal: the UPDATE of one row of %s changed %d; its primary key (%s) does not name one row, and the "+
				"transaction must be rolled back: %w", w.schema.Table, changed, strings.Join(w.opts.PrimaryKey, ", "), kms.ErrInvalidRequest)
		}
		if now, err = w.now(ctx, db, row); err != nil {
			return err
		}
		if holds(now, change.Match) {
			if same++; same > 1 && db.Dialect == MySQL {
				return nil // which counts no row whose columns already have what is written
			}
			now = nil
			continue
		}
		if err := w.rows.Merge(ctx, row, now); err != nil {
			return lostRace(1, err)
		}
	}
	return fmt.Errorf("sqlseal: others have changed the row of %s %d times while it was to be written: %w", w.schema.Table, tries, rowseal.ErrConflict)
}

// lostRace says of a request to a KMS that Options.NoKMSInTransaction refuses why it was to be made: after the first try only
// because others have changed the row. A transaction that is begun again is not refused.
func lostRace(try int, err error) error {
	if try == 0 || !errors.Is(err, kms.ErrBudget) {
		return err
	}
	return fmt.Errorf("%w: others have changed the row: %w", err, rowseal.ErrConflict)
}

// writesContext tells whether a new data key is written together with a column that it is wrapped for.
func (w *Writer) writesContext(change rowseal.Change, writes []string) bool {
	isKey := func(k rowseal.KeyColumn) bool {
		return slices.ContainsFunc(change.Set, func(a rowseal.Assignment) bool { return a.Column == k.Column })
	}
	return slices.ContainsFunc(w.rows.ContextColumns(), func(c string) bool { return slices.Contains(writes, c) }) &&
		slices.ContainsFunc(w.schema.Keys, isKey)
}

func (w *Writer) merge(ctx context.Context, db *DB, row any) (map[string]any, error) {
	now, err := w.now(ctx, db, row)
	if err != nil {
		return nil, err
	}
	return now, w.rows.Merge(ctx, row, now)
}

// holds tells whether the row is as a change expects it.
func holds(now map[string]any, match []rowseal.Match) bool {
	for _, m := range match {
		if text(now[m.Column]) != text(m.Value) || (now[m.Column] == nil) != (m.Value == nil) {
			return false
		}
	}
	return true
}

// text is a column's text, which some drivers give as bytes.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// now asks what the row holds, and locks it where it can, so that in a transaction nobody changes it before the next try.
// Without the lock a transaction of MySQL would be shown the row as it was when the transaction began.
func (w *Writer) now(ctx context.Context, db *DB, row any) (map[string]any, error) {
	sealed, context := w.rows.SealedColumns(), w.rows.ContextColumns()
	b := &builder{Dialect: db.Dialect}
	b.write("SELECT ", b.names(sealed))
	for _, c := range context {
		b.write(", ", b.text(b.Quote(c)))
	}
	b.write(" FROM ", b.Quote(w.schema.Table), " WHERE ")
	if err := w.wherePrimaryKey(b, row); err != nil {
		return nil, err
	}
	if db.Dialect != SQLite {
		b.write(" FOR UPDATE")
	}
	columns := append(slices.Clone(sealed), context...)
	values := make([]any, len(columns))
	pointers := make([]any, len(columns))
	for i := range values {
		pointers[i] = &values[i]
	}
	found, err := db.one(ctx, b.statement(), pointers...)
	if err == nil && !found {
		err = fmt.Errorf("sqlseal: the row of %s is not there any more: %w", w.schema.Table, sql.ErrNoRows)
	}
	if err != nil {
		return nil, err
	}
	now := map[string]any{}
	for i, c := range columns {
		if bytes, ok := values[i].([]byte); ok && i >= len(sealed) {
			values[i] = string(bytes)
		}
		now[c] = values[i]
	}
	return now, nil
}

// wherePrimaryKey names one row by its whole primary key.
func (w *Writer) wherePrimaryKey(b *builder, row any) error {
	for i, column := range w.opts.PrimaryKey {
		id, err := w.id(row, column)
		if err != nil {
			return err
		}
		if i > 0 {
			b.write(" AND ")
		}
		b.write(b.Quote(column), " = ", b.value(id))
	}
	return nil
}

func (w *Writer) id(row any, column string) (any, error) {
	id, err := w.rows.Value(row, column)
	if err != nil {
		return nil, err
	}
	if isZero(id) {
		return nil, fmt.Errorf("sqlseal: the row of %s has no %s, and without its whole primary key it is not updated: %w",
			w.schema.Table, column, kms.ErrInvalidRequest)
	}
	return id, nil
}

// hasID tells whether a row has its whole primary key.
func (w *Writer) hasID(row any) bool {
	return !slices.ContainsFunc(w.opts.PrimaryKey, func(column string) bool {
		_, err := w.id(row, column)
		return err != nil
	})
}

// checkColumns refuses to replace a data key while the table has columns that may be sealed under it and that nobody has
// declared: they would be lost.
func (w *Writer) checkColumns(ctx context.Context, db *DB, change rowseal.Change) error {
	if len(change.Replaces) == 0 {
		return nil
	}
	columns, err := db.TableColumns(ctx, w.schema.Table)
	if err != nil {
		return err
	}
	undeclared := w.rows.Undeclared(columns)
	for _, other := range w.opts.Others {
		for _, column := range other.SealedColumns() {
			if !slices.Contains(w.rows.SealedColumns(), column) && !slices.Contains(undeclared, column) {
				undeclared = append(undeclared, column)
			}
		}
	}
	if len(undeclared) == 0 {
		return nil
	}
	return fmt.Errorf("sqlseal: %s of %s is to be replaced, and the table has %s, which the Model does not know and which may be sealed under "+
		"it; declare it or, if nothing in it is, name it in rowseal.Options.Unsealed: %w", strings.Join(change.Replaces, ", "), w.schema.Table,
		strings.Join(undeclared, ", "), kms.ErrInvalidRequest)
}
