package rowseal

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// Rows is a Model or a Table without its type parameter: its rows are any, pointers to the Model's struct or *Record. It is
// for packages that write rows to databases and meet rows of several types, such as sqlseal and gormseal, and has what
// they need beside sealing and opening: what a statement has to write and to compare. It is safe for concurrent use; a row
// is as safe as any struct.
type Rows struct {
	*engine
	typ     reflect.Type // of a row
	record  func(row any) record
	make    func() any // an empty row
	copy    func(row any) any
	columns map[string]string // Go name of a struct's field → column
}

// Rows returns the Model for rows of any type; rows are *T.
func (m *Model[T]) Rows() *Rows {
	return &Rows{engine: m.engine, typ: reflect.TypeFor[*T](), columns: m.layout.byName, make: func() any { return new(T) }, copy: clone[T], record: func(row any) record {
		if row, ok := row.(*T); ok && row != nil {
			return structRow{m.layout, reflect.ValueOf(row).Elem()}
		}
		return nil
	}}
}

// Rows returns the Sealer for rows of any type. It opens nothing.
func (s *Sealer[T]) Rows() *Rows { return s.model.Rows() }

// Rows returns the Table for rows of any type; rows are *Record.
func (t *Table) Rows() *Rows {
	empty := func() any {
		row, _ := t.Record(nil) // there is nothing in it that could be wrong
		return row
	}
	clone := func(row any) any { return row.(*Record).clone() }
	return &Rows{engine: t.engine, typ: reflect.TypeFor[*Record](), make: empty, copy: clone, record: func(row any) record {
		if row, ok := row.(*Record); ok && row != nil {
			return row
		}
		return nil
	}}
}

// Type returns the type of a row, which is a pointer.
func (r *Rows) Type() reflect.Type { return r.typ }

// New returns a row of which nothing is loaded.
func (r *Rows) New() any { return r.make() }

// Copy returns a copy of a row, which may be given other columns (Pointer) to see how it would open. A copy is not to be written
// beside the row.
func (r *Rows) Copy(row any) (any, error) {
	if _, err := r.one(row); err != nil {
		return nil, err
	}
	return r.copy(row), nil
}

func clone[T any](row any) any {
	c := *row.(*T)
	return &c
}

// Take sets a field of a row to the value that it has in from, another row of the same type, which must be open.
func (r *Rows) Take(row any, column string, from any) error {
	to, err := r.one(row)
	if err != nil {
		return err
	}
	source, err := r.one(from)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(r.schema.Fields, func(f Field) bool { return f.Column == column })
	if i < 0 {
		return r.schema.invalid("%s is no sealed column; name one of %s", column, r.schema.fieldColumns())
	}
	cell, _ := to.field(i)
	other, _ := source.field(i)
	return cell.take(other)
}

// Plaintext returns what a field of the row holds as the bytes that are sealed, or are to be, as package lockbox makes them of the value:
// nil for NULL. The row must be open. The bytes are the caller's.
func (r *Rows) Plaintext(row any, column string) ([]byte, error) {
	rec, err := r.one(row)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(r.schema.Fields, func(f Field) bool { return f.Column == column })
	if i < 0 {
		return nil, r.schema.invalid("%s is no sealed column; name one of %s", column, r.schema.fieldColumns())
	}
	cell, codec := rec.field(i)
	k := ownerOf(r.each([]record{rec}, func(*rowKey) error { return nil }), i)
	switch {
	case cell.isSet():
		return cell.plaintext(codec)
	case cell.sealed().isNone():
		return nil, nil
	case k == nil:
		return nil, r.schema.invalid("Only has left out the key of %s", column)
	}
	if k.opened = k.source()(); k.opened == nil && cell.sealed().filled() {
		return nil, k.at(column, ErrNotOpened)
	}
	plaintext, err := k.openNow(i, k.reporter(i))
	if err != nil {
		return nil, k.at(column, err)
	}
	return plaintext, nil
}

// Only is Model.Only.
func (r *Rows) Only(keys ...string) *Rows {
	narrowed := *r
	narrowed.engine = r.engine.only(keys)
	narrowed.err = errors.Join(r.err, narrowed.engine.err)
	return &narrowed
}

// Schema returns a copy of what is known of the table.
func (r *Rows) Schema() Schema { return r.schema.clone() }

// ColumnOf returns the column of a field of the struct that this package seals or makes, by the field's Go name. ok is
// false for other names, and for one that two embedded structs have.
func (r *Rows) ColumnOf(field string) (column string, ok bool) {
	column = r.columns[field]
	return column, column != ""
}

// SealedColumns lists every column that is written with a sealed row: keys, fields, IVs and salts, files and indexes.
func (r *Rows) SealedColumns() []string { return r.schema.columns() }

// Keyrings returns the keyrings of the key columns, by column, of the keys that Only has left in. It is nil for a key whose
// keyring the row chooses.
func (r *Rows) Keyrings() map[string]*Keyring {
	all := map[string]*Keyring{}
	for i, k := range r.schema.Keys {
		if r.sees(i) {
			all[k.Column] = r.keys[i].ring
		}
	}
	return all
}

// ContextColumns lists the columns that are not sealed and that the rows' encryption contexts, keyrings and bindings use,
// sorted. A change of one of them needs data keys that are wrapped anew.
func (r *Rows) ContextColumns() []string {
	var all []string
	for i := range r.schema.Keys {
		all = append(all, r.contextColumns(i)...)
	}
	if r.schema.Binding == BindRow {
		all = append(all, r.schema.PrimaryKey)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (e *engine) contextColumns(key int) []string {
	all := slices.Clone(e.keys[key].columns)
	for _, rule := range e.keys[key].rules {
		all = append(all, rule.columns...)
	}
	return all
}

// Value returns the value of a column of the row that is not sealed.
func (r *Rows) Value(row any, column string) (any, error) {
	rec, err := r.one(row)
	if err != nil {
		return nil, err
	}
	return rec.value(column)
}

// Pointer returns where a column of the row is, for a driver to Scan it into: of a column that is not sealed the address of the
// struct's field.
func (r *Rows) Pointer(row any, column string) (any, error) {
	rec, err := r.one(row)
	if err != nil {
		return nil, err
	}
	if cell := r.schema.cell(rec, column); cell != nil {
		return cell, nil
	}
	return rec.pointer(column)
}

// IsLoaded tells whether the row is in the database, as far as it knows: one of its key columns was loaded or written.
func (r *Rows) IsLoaded(row any) bool {
	loaded := false
	r.each(r.all([]any{row}), func(k *rowKey) error {
		loaded = loaded || !k.isMaster() && k.dk.h.inDatabase().kind != notLoaded
		return nil
	})
	return loaded
}

// MayBeMissing tells whether the row is in the database only if a transaction was committed whose end it does not know: it was
// inserted there.
func (r *Rows) MayBeMissing(row any) bool {
	missing := false
	r.each(r.all([]any{row}), func(k *rowKey) error {
		missing = missing || !k.isMaster() && k.dk.h.wasInserted()
		return nil
	})
	return missing
}

// Values returns what an INSERT writes into the row's sealed columns. A value that was set and not sealed is ErrUnsealed,
// and so is a data key that Seal has not seen. A wrapped key that the row was loaded with must be open, because only then is
// it known to be that of the row which is to be inserted.
func (r *Rows) Values(row any) ([]Assignment, error) {
	rec, err := r.one(row)
	if err != nil {
		return nil, err
	}
	return r.values(rec)
}

// Change returns what an UPDATE of the row must write into sealed columns, and what it must compare; see Change. writes are
// the columns that are not sealed and that the statement writes too. now is what the database holds, as for Merge, where
// it has been asked, or nil.
func (r *Rows) Change(row any, writes []string, now map[string]any) (Change, error) {
	rec, err := r.one(row)
	if err != nil {
		return Change{}, err
	}
	return r.change(rec, writes, now)
}

// Merge brings a row up to date whose UPDATE has found no row to change. now is what the database holds: every sealed column
// as the driver gave it, and those of ContextColumns as text. What was set stays set, to be sealed again; what was not is
// as the database has it. A new wrapped key is opened, to see whether it holds another data key. Where the change cannot be
// made on top of what others have done, the error is ErrConflict, or ErrContextChanged. Call Seal and Change next.
func (r *Rows) Merge(ctx context.Context, row any, now map[string]any) error {
	rec, err := r.one(row)
	if err != nil {
		return err
	}
	return r.merge(ctx, rec, now)
}

// Ready is ErrNotReady for a row whose new data keys cannot be wrapped because its context needs a column that it does not
// have yet; see Prepare. It makes no request.
func (r *Rows) Ready(row any) error {
	rec, err := r.one(row)
	if err != nil {
		return err
	}
	return r.ready(rec)
}

// CanPrepare tells whether rows can be sealed before they have an id: not where fields are bound to it, or have files.
func (r *Rows) CanPrepare() bool { return r.schema.Binding != BindRow && len(r.schema.Files) == 0 }

// Prepare seals rows that are not Ready, under data keys that no KMS has wrapped yet: an INSERT writes the ciphertexts and
// NULL for the keys. When the row has its id, Seal wraps the keys, and an UPDATE in the same transaction writes them. A row
// whose transaction is committed before that is lost.
func (r *Rows) Prepare(ctx context.Context, rows ...any) error {
	return r.prepare(ctx, r.all(rows))
}

// Seal is Model.Seal.
func (r *Rows) Seal(ctx context.Context, rows ...any) error { return r.seal(ctx, r.all(rows)) }

// Open is Model.Open.
func (r *Rows) Open(ctx context.Context, rows ...any) error { return r.open(ctx, r.all(rows)) }

// Rewrap is Model.Rewrap for those data keys of the rows that choose lets pass; nil: all.
func (r *Rows) Rewrap(ctx context.Context, choose func(WrappedKey) bool, rows ...any) error {
	return r.rewrap(ctx, r.all(rows), choose)
}

// Rekey is Model.Rekey.
func (r *Rows) Rekey(ctx context.Context, rows ...any) error { return r.rekey(ctx, r.all(rows), nil) }

// Reindex is Model.Reindex.
func (r *Rows) Reindex(ctx context.Context, rows ...any) error { return r.reindex(ctx, r.all(rows)) }

// Clear is Model.Clear.
func (r *Rows) Clear(rows ...any) { r.clear(r.all(rows)) }

// Wipe is Model.Wipe.
func (r *Rows) Wipe(rows ...any) { r.wipe(r.all(rows)) }

// Lookup is Model.Lookup.
func (r *Rows) Lookup(ctx context.Context, column string, values ...any) ([]driver.Value, error) {
	return r.lookup(ctx, column, values)
}

// Inserted tells that the rows were inserted as they are now, values that are set and not sealed as NULL. Whether the
// transaction is committed matters only where somebody else changes the row, or inserts it, before Committed: that is ErrConflict.
func (r *Rows) Inserted(rows ...any) {
	r.each(r.all(rows), func(k *rowKey) error { k.inserted(); return nil })
}

// Written tells that the rows were updated as they are now, in a transaction whose end is not known: until Committed, the
// database has this or what it had before.
func (r *Rows) Written(rows ...any) {
	r.each(r.all(rows), func(k *rowKey) error { k.wrote(); return nil })
}

// Committed is Model.Committed.
func (r *Rows) Committed(ctx context.Context, rows ...any) error {
	return r.settle(ctx, r.all(rows), false)
}

// Abandoned is Model.Abandoned.
func (r *Rows) Abandoned(ctx context.Context, rows ...any) error {
	return r.settle(ctx, r.all(rows), true)
}

// CheckCopies refuses rows to insert of which two are one, or have the same data key: one is a copy of the other's struct.
func (r *Rows) CheckCopies(rows ...any) error {
	seen := make(map[any]bool, len(rows))
	twice := func(key any) bool {
		was := seen[key]
		seen[key] = true
		return was
	}
	for _, row := range rows {
		rec := r.record(row)
		switch {
		case rec == nil:
			continue
		case twice(row):
			return r.schema.invalid("one %T is to be two rows; each needs one of its own", row)
		}
		for i := range r.schema.Keys {
			h := rec.key(i).h
			if h != nil && (h.current.filled() || h.isPending()) && twice(h) {
				return r.schema.invalid("two rows have the same %s, because one is a copy of the other; Clear it and set its values", r.schema.Keys[i].Column)
			}
		}
	}
	return nil
}

// HasKey tells whether a key column of the row has a wrapped data key.
func (r *Rows) HasKey(row any) bool {
	rec := r.record(row)
	for i := range r.schema.Keys {
		if rec != nil && !rec.key(i).IsNull() {
			return true
		}
	}
	return false
}

// IsSealed tells whether a row has no value that is set and not sealed.
func (r *Rows) IsSealed(row any) bool {
	rec := r.record(row)
	if rec == nil {
		return true
	}
	for i := range r.schema.Fields {
		if cell, _ := rec.field(i); cell.isSet() {
			return false
		}
	}
	for i := range r.schema.Files {
		if rec.file(i).isSet() {
			return false
		}
	}
	return true
}

// Bind notes that the rows are those of r, for RowsOf. It is for rows that were just loaded.
func (r *Rows) Bind(rows ...any) {
	for _, row := range rows {
		rec := r.record(row)
		if rec == nil {
			continue
		}
		for i := range r.schema.Keys {
			r.BindKey(*rec.key(i))
		}
	}
}

// BindKey is Bind for a key of a row.
func (r *Rows) BindKey(k DataKey) { k.h.bind(r) }

// RowsOf returns the Rows that the row of a data key was bound to, nil if it was to none.
func RowsOf(k DataKey) *Rows { return k.h.boundTo() }

// Batch is rows of one table, for OpenAll.
type Batch struct {
	Of   *Rows
	Rows []any
}

// OpenAll is Open for rows of several tables, whose data keys are unwrapped together: in one batch a KMS key. Indexes in a
// *BatchError count through the batches.
func OpenAll(ctx context.Context, batches ...Batch) error {
	var work []*rowKey
	count := 0
	for _, b := range batches {
		if b.Of.err != nil {
			return b.Of.err
		}
		planned := b.Of.each(b.Of.all(b.Rows), (*rowKey).planOpen)
		for _, k := range planned {
			k.row += count
		}
		work, count = append(work, planned...), count+len(b.Rows)
	}
	return openAll(ctx, work, count)
}

func (r *Rows) one(row any) (record, error) {
	if r.err != nil {
		return nil, r.err
	}
	rec := r.record(row)
	if rec == nil {
		return nil, r.schema.invalid("a row is a %s that is not nil, and %T was given", r.typ, row)
	}
	return rec, nil
}

// all are the rows as the engine sees them; one of another type is nil, as a nil row is.
func (r *Rows) all(rows []any) []record {
	records := make([]record, len(rows))
	for i, row := range rows {
		records[i] = r.record(row)
	}
	return records
}

// values are the columns of an INSERT.
func (e *engine) values(rec record) ([]Assignment, error) {
	w := write{}
	for _, k := range e.each([]record{rec}, (*rowKey).checkInsert) {
		if k.err == nil {
			k.err = k.everything(&w)
		}
		if k.err != nil {
			return nil, k.at(k.keyColumn(), k.err)
		}
	}
	return w.set, nil
}

// checkInsert refuses a key that may be another row's.
func (k *rowKey) checkInsert() error {
	switch {
	case k.isMaster():
		return nil
	case k.dk.h.isPending(): // to be wrapped when the row has its id
		return nil
	case k.dk.IsNull():
		if err := k.refuseOrphans(); err != nil || k.dk.h != nil {
			return err
		}
		return fmt.Errorf("the row is not sealed; call Seal before it is inserted: %w", ErrUnsealed)
	case k.dk.h.unwrapped() == nil:
		return fmt.Errorf("the row was loaded, and is to be inserted with the data key of the row that it was; open it first or, for a new "+
			"row, Clear it and set its values: %w", kms.ErrInvalidRequest)
	}
	if err := k.checkContext(); err != nil {
		return err
	}
	if stored := k.dk.h.inDatabase(); stored.filled() && stored.isSame(k.dk.current()) && k.dk.h.unwrapped().row.primary != k.primary() {
		return fmt.Errorf("the data key is that of the row with the primary key %q, of which this one is a copy; Clear it and set its values: %w",
			k.dk.h.unwrapped().row.primary, kms.ErrInvalidRequest)
	}
	return nil
}
