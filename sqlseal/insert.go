package sqlseal

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// BeforeInsert seals new rows, in one batch a KMS key, in the order that their encryption contexts allow. Where a context
// needs an id that the rows do not have, it asks the database for ids, and sets them. Where it cannot, later is true: the
// rows are sealed as far as that goes, OmitBeforeID tells which columns the INSERT leaves out, and AfterInsert must follow in
// the same transaction.
func (w *Writer) BeforeInsert(ctx context.Context, db *DB, rows []any) (later bool, err error) {
	if err := db.check(); err != nil {
		return false, err
	}
	if err := w.rows.CheckCopies(rows...); err != nil {
		return false, err
	}
	waiting, err := w.waiting(rows)
	if err != nil {
		return false, err
	}
	if len(waiting) > 0 && w.opts.Order != InsertFirst {
		fetched, err := w.fetchIDs(ctx, db, waiting)
		if err != nil {
			return false, err
		}
		if fetched {
			waiting = nil
		}
	}
	if err := w.checkTexts(ctx, db, rows); err != nil {
		return false, err
	}
	switch {
	case len(waiting) == 0:
		return false, w.rows.Seal(w.guard(ctx, db), rows...)
	case w.opts.Order == FetchID:
		return false, fmt.Errorf("sqlseal: %s.%s has no default that the database can be asked for; give the rows their ids, or use another "+
			"Order: %w", w.schema.Table, w.schema.PrimaryKey, rowseal.ErrNotReady)
	case w.opts.NoKMSInTransaction && db.InTransaction():
		return false, fmt.Errorf("sqlseal: rows of %s are inserted before their data keys can be wrapped, which is a request to the KMS "+
			"inside a transaction; give them their ids: %w", w.schema.Table, kms.ErrBudget)
	}
	if !w.rows.CanPrepare() {
		return true, nil
	}
	return true, w.rows.Prepare(ctx, rows...)
}

// waiting lists the rows whose contexts are not ready.
func (w *Writer) waiting(rows []any) (waiting []any, err error) {
	for _, row := range rows {
		switch err := w.rows.Ready(row); {
		case errors.Is(err, rowseal.ErrNotReady):
			waiting = append(waiting, row)
		case err != nil:
			return nil, err
		}
	}
	return waiting, nil
}

// OmitBeforeID lists the columns that an INSERT leaves out, or writes NULL into, while AfterInsert is to follow: none where
// rows can be sealed before they have an id.
func (w *Writer) OmitBeforeID() []string {
	if w.rows.CanPrepare() {
		return nil
	}
	return w.rows.SealedColumns()
}

// AfterInsert wraps the data keys of rows that were inserted before they had an id, in one batch a KMS key, and updates
// the rows.
func (w *Writer) AfterInsert(ctx context.Context, db *DB, rows []any) error {
	w.rows.Inserted(rows...)
	if err := w.rows.Seal(ctx, rows...); err != nil {
		return err
	}
	err := db.repeating(func(db *DB) error {
		for _, row := range rows {
			if err := w.writeKeys(ctx, db, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		w.rows.Inserted(rows...)
	}
	return err
}

// writeKeys updates the data keys of a row that was inserted without them.
func (w *Writer) writeKeys(ctx context.Context, db *DB, row any) error {
	change, err := w.rows.Change(row, nil, nil)
	if err != nil || len(change.Set) == 0 {
		return err
	}
	statement, err := w.updateOf(db.Dialect, row, change, nil)
	if err != nil {
		return err
	}
	result, err := db.conn.exec(ctx, statement)
	if err == nil && result.changed != 1 {
		err = fmt.Errorf("sqlseal: a row of %s was inserted, and then not found by its %s to write its data key; is the id the right one?: %w",
			w.schema.Table, w.schema.PrimaryKey, rowseal.ErrConflict)
	}
	return err
}

// IDs notes which rows have no id yet. forget takes the ids from them that an INSERT has given which was undone, so that they can be
// inserted again: the ids may be others' by then. A row whose data key was wrapped for its id keeps it.
func (w *Writer) IDs(rows []any) (forget func()) {
	var forgets []func()
	for _, row := range rows {
		for _, column := range w.opts.PrimaryKey {
			p, err := w.rows.Pointer(row, column)
			if err != nil {
				continue
			}
			if id := reflect.ValueOf(p).Elem(); isZero(id.Interface()) {
				forgets = append(forgets, func() {
					if !w.contextHas(column) || !w.rows.HasKey(row) {
						id.SetZero()
					}
				})
			}
		}
	}
	return func() {
		for _, forget := range forgets {
			forget()
		}
	}
}

func (w *Writer) contextHas(column string) bool {
	return slices.Contains(w.rows.ContextColumns(), column)
}

// isZero tells whether a primary key has no value.
func isZero(v any) bool {
	r := reflect.ValueOf(v)
	return v == nil || r.IsZero() || r.Kind() == reflect.Pointer && isZero(r.Elem().Interface())
}
