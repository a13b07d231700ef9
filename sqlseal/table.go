package sqlseal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Table writes the rows of one table: the statements with everything that a sealed row needs, run in the right order. It is
// safe for concurrent use; a row is as safe as any struct.
type Table[T any] struct {
	writer *Writer
}

// Model is a *rowseal.Model[T], a *rowseal.Sealer[T], or a *rowseal.Table with T rowseal.Record.
type Model[T any] interface {
	Rows() *rowseal.Rows
	Seal(ctx context.Context, rows ...*T) error
}

// New returns a Table. opts may be nil.
func New[T any](model Model[T], opts *Options) *Table[T] {
	return &Table[T]{NewWriter(model.Rows(), opts)}
}

// Insert seals new rows, in one batch a KMS key, and inserts them; several in one transaction. A row without an id gets that
// of the database.
//
// The order of events follows from the encryption context. Where it needs no id, or the rows have theirs, they are sealed and
// inserted with everything. Where the primary key has a default that the database can be asked for (PostgreSQL's sequences,
// gen_random_uuid() and the like), the ids are fetched first. Elsewhere (AUTO_INCREMENT, SQLite's rowid) the rows are
// inserted with a NULL key, the KMS wraps the keys, and an UPDATE writes them, all in one transaction, which is then open
// while the KMS answers. Options.Order chooses otherwise.
func (t *Table[T]) Insert(ctx context.Context, db *DB, rows ...*T) error {
	return t.writer.insert(ctx, db, untyped(rows))
}

// Update seals what was set in rows that were loaded, and updates them: of the sealed columns those that have changed, and
// Options.Columns. Several are updated in one transaction, after all were sealed in one batch. A row that somebody else has
// changed since is brought up to date and tried again where nothing is lost by that: after a rewrap, a rekey, or another
// first data key. Otherwise the error is rowseal.ErrConflict or rowseal.ErrContextChanged, and sql.ErrNoRows where the row is
// not there any more. After an error inside a transaction of yours, roll it back.
func (t *Table[T]) Update(ctx context.Context, db *DB, rows ...*T) error {
	return t.writer.update(ctx, db, untyped(rows))
}

// Upsert seals new rows and inserts them or, where a row is there with the same values in the target columns, replaces
// everything that is sealed in that row, and Options.Columns. target has a unique index and contains every column that the
// encryption context uses; empty, it is the primary key. MySQL and MariaDB know no target: there the table must have no other
// unique index.
func (t *Table[T]) Upsert(ctx context.Context, db *DB, target []string, rows ...*T) error {
	return t.writer.upsert(ctx, db, target, untyped(rows))
}

func untyped[T any](rows []*T) []any {
	all := make([]any, len(rows))
	for i, row := range rows {
		all[i] = row
	}
	return all
}

// argsAtOnce bounds the arguments of a statement: SQLite takes 32,766, PostgreSQL and MySQL 65,535.
const argsAtOnce = 30_000

func (w *Writer) insert(ctx context.Context, db *DB, rows []any) error {
	if err := w.checkOptions(); err != nil || len(rows) == 0 {
		return err
	}
	later, err := w.BeforeInsert(ctx, db, rows)
	if err != nil {
		return err
	}
	var without []string
	if later {
		without = w.OmitBeforeID()
	}
	forgetIDs := w.IDs(rows)
	committed, err := db.together(ctx, len(rows) == 1 && !later && w.hasID(rows[0]), func(tx *DB) error {
		if err := w.insertAll(ctx, tx, rows, without); err != nil {
			return err
		}
		if later {
			return w.AfterInsert(ctx, tx, rows)
		}
		w.rows.Inserted(rows...)
		return nil
	})
	if err != nil {
		forgetIDs()
		return err
	}
	if !committed {
		return nil
	}
	return w.rows.Committed(ctx, rows...)
}

// notInserted is the error where the database takes an INSERT and has no row.
func (w *Writer) notInserted(rows int) error {
	return fmt.Errorf("sqlseal: the INSERT of %d rows of %s has left some out, as a trigger or a rule of the table can: %w", rows, w.schema.Table, rowseal.ErrConflict)
}

// insertAll inserts rows that have ids in as few statements as they need, and others one by one, to learn their ids.
func (w *Writer) insertAll(ctx context.Context, db *DB, rows []any, without []string) error {
	var batch [][]rowseal.Assignment
	args := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		result, err := db.conn.exec(ctx, w.insertOf(db.Dialect, batch).statement())
		if err == nil && result.changed != int64(len(batch)) {
			err = w.notInserted(len(batch))
		}
		batch, args = nil, 0
		return err
	}
	for _, row := range rows {
		columns, hasID, err := w.inserted(row, without)
		if err != nil {
			return err
		}
		if !hasID {
			if err := flush(); err != nil {
				return err
			}
			if err := w.insertOne(ctx, db, row, columns); err != nil {
				return err
			}
			continue
		}
		if len(batch) > 0 && (args+len(columns) > argsAtOnce || !slices.Equal(columnsOf(batch[0]), columnsOf(columns))) {
			if err := flush(); err != nil {
				return err
			}
		}
		batch, args = append(batch, columns), args+len(columns)
	}
	return flush()
}

// insertOne inserts a row and takes its id from the database.
func (w *Writer) insertOne(ctx context.Context, db *DB, row any, columns []rowseal.Assignment) error {
	b := w.insertOf(db.Dialect, [][]rowseal.Assignment{columns})
	id, err := w.rows.Pointer(row, w.schema.PrimaryKey)
	if err != nil {
		return err
	}
	if db.Dialect != MySQL {
		b.write(" RETURNING ", b.Quote(w.schema.PrimaryKey))
		ok, err := db.one(ctx, b.statement(), id)
		if err == nil && !ok {
			err = w.notInserted(1)
		}
		return err
	}
	result, err := db.conn.exec(ctx, b.statement())
	if err != nil {
		return err
	}
	last, err := result.lastID()
	switch {
	case err != nil:
		return err
	case last == 0:
		return fmt.Errorf("sqlseal: the database has made no AUTO_INCREMENT of %s.%s, and does not tell the id that it has made; give the row "+
			"its id, or use the Order FetchID: %w", w.schema.Table, w.schema.PrimaryKey, kms.ErrInvalidRequest)
	}
	return assign(id, last)
}

func (w *Writer) update(ctx context.Context, db *DB, rows []any) error {
	if err := w.checkOptions(); err != nil || len(rows) == 0 {
		return err
	}
	if err := w.rows.Seal(w.guard(ctx, db), rows...); err != nil {
		return err
	}
	committed, err := db.together(ctx, len(rows) == 1, func(tx *DB) error {
		for _, row := range rows {
			if err := w.updateOne(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !committed {
		w.rows.Written(rows...)
		return nil
	}
	return w.rows.Committed(ctx, rows...)
}

func (w *Writer) updateOne(ctx context.Context, db *DB, row any) error {
	also, err := w.plain(row)
	if err != nil {
		return err
	}
	return w.Update(ctx, db, row, w.opts.Columns, func(change rowseal.Change) (int64, error) {
		if len(also)+len(change.Set) == 0 {
			return 1, nil
		}
		statement, err := w.updateOf(db.Dialect, row, change, also)
		if err != nil {
			return 0, err
		}
		result, err := db.conn.exec(ctx, statement)
		return result.changed, err
	})
}

func (w *Writer) upsert(ctx context.Context, db *DB, target []string, rows []any) error {
	if err := w.checkOptions(); err != nil || len(rows) == 0 {
		return err
	}
	if len(target) == 0 {
		target = w.opts.PrimaryKey
	}
	if err := w.CheckUpsert(ctx, db, target); err != nil {
		return err
	}
	if slices.ContainsFunc(rows, w.rows.IsLoaded) {
		return fmt.Errorf("sqlseal: a row of %s to upsert was loaded, and would write older values over newer ones; Update it: %w",
			w.schema.Table, kms.ErrInvalidRequest)
	}
	if waiting, err := w.waiting(rows); err != nil || len(waiting) > 0 {
		return errors.Join(err, fmt.Errorf("sqlseal: a row of %s to upsert has no %s; Insert it: %w", w.schema.Table, w.schema.PrimaryKey, rowseal.ErrNotReady))
	}
	if err := errors.Join(w.rows.CheckCopies(rows...), w.checkTexts(ctx, db, rows)); err != nil {
		return err
	}
	if err := w.rows.Seal(w.guard(ctx, db), rows...); err != nil {
		return err
	}
	committed, err := db.together(ctx, len(rows) == 1 && !w.HasTextContext(rows), func(tx *DB) error {
		for _, row := range rows {
			columns, _, err := w.inserted(row, nil)
			if err != nil {
				return err
			}
			b := w.insertOf(db.Dialect, [][]rowseal.Assignment{columns})
			w.onConflict(b, target, columnsOf(columns))
			if _, err := tx.conn.exec(ctx, b.statement()); err != nil {
				return err
			}
		}
		if err := w.AfterUpsert(ctx, tx, target, rows); err != nil {
			return err
		}
		w.rows.Inserted(rows...)
		return nil
	})
	if err != nil || !committed {
		return err
	}
	return w.rows.Committed(ctx, rows...)
}

// AfterUpsert must follow an upsert in the same transaction, which its error undoes: a database that takes "Ada" and "ada" for the same
// has put the data key of one into the row of the other.
func (w *Writer) AfterUpsert(ctx context.Context, db *DB, target []string, rows []any) error {
	if !w.HasTextContext(rows) {
		return nil
	}
	return db.repeating(func(db *DB) error {
		for _, row := range rows {
			if _, err := w.rows.Values(row); err != nil { // RETURNING may have put another text into the row
				return err
			}
			if err := w.checkUpserted(ctx, db, target, row); err != nil {
				return err
			}
		}
		return nil
	})
}

// HasTextContext tells whether a context of the rows has a text.
func (w *Writer) HasTextContext(rows []any) bool {
	return slices.ContainsFunc(rows, func(row any) bool {
		return slices.ContainsFunc(w.rows.ContextColumns(), func(column string) bool {
			v, err := w.rows.Value(row, column)
			_, isText := textOf(v)
			return err == nil && isText
		})
	})
}

func (w *Writer) checkUpserted(ctx context.Context, db *DB, target []string, row any) error {
	var columns, want []string
	b := &builder{Dialect: db.Dialect}
	for _, column := range w.rows.ContextColumns() {
		v, err := w.rows.Value(row, column)
		if err != nil {
			return err
		}
		if text, ok := textOf(v); ok {
			columns, want = append(columns, b.text(b.Quote(column))), append(want, text)
		}
	}
	b.write("SELECT ", strings.Join(columns, ", "), " FROM ", b.Quote(w.schema.Table), " WHERE ")
	for i, column := range target {
		v, err := w.rows.Value(row, column)
		if err != nil {
			return err
		}
		if i > 0 {
			b.write(" AND ")
		}
		b.write(b.Quote(column), " = ", b.value(v))
	}
	got := make([]string, len(want))
	found := make([]any, len(want))
	for i := range got {
		found[i] = &got[i]
	}
	ok, err := db.one(ctx, b.statement(), found...)
	if err == nil && (!ok || !slices.Equal(got, want)) {
		err = fmt.Errorf("sqlseal: an upsert of %s met a row that the database takes for the same, and whose encryption context is another (%s): compare bytes "+
			"there, as COLLATE does, or load the row and Update it: %w", w.schema.Table, strings.Join(w.rows.ContextColumns(), ", "), rowseal.ErrContextChanged)
	}
	return err
}

// CheckUpsert refuses an upsert that may lose something: whose target does not determine the encryption context, or which
// would give up the data key of attachments, of files outside the database, or of columns that the Model does not know.
func (w *Writer) CheckUpsert(ctx context.Context, db *DB, target []string) error {
	if err := db.check(); err != nil {
		return err
	}
	if err := w.checkTarget(target); err != nil {
		return err
	}
	if len(w.schema.Files)+len(w.schema.Attachments) > 0 {
		return fmt.Errorf("sqlseal: an upsert of %s would give up the data key of the row's files, which nobody would delete; load the row and "+
			"Update it: %w", w.schema.Table, kms.ErrInvalidRequest)
	}
	if db.Dialect == MySQL {
		if err := db.onlyUnique(ctx, w.schema.Table, target); err != nil {
			return err
		}
	}
	return w.CheckReplace(ctx, db)
}
