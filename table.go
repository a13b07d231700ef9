package rowseal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"

	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// Table seals and opens rows as columns and values, without any Go struct: what a Model is to structs, for programs that
// learn a table's Schema at run time, as from a file. It is safe for concurrent use; a Record is as safe as any map.
type Table struct {
	*engine
	codecs []any
}

// NewTable returns the Table of a Schema. Of opts, which may be nil, what the Schema says itself must be zero: Model,
// PrimaryKey, Binding, Attachments, Unsealed, Amend and, of Keys, the contexts.
func NewTable(s Schema, ring *Keyring, opts *Options) (*Table, error) {
	if opts == nil {
		opts = &Options{}
	}
	schema := s.clone()
	if opts.Model != "" || opts.PrimaryKey != "" || opts.Binding != 0 || opts.Attachments != nil || opts.Unsealed != nil || opts.Amend != nil {
		return nil, schema.invalid("Options of a Table repeat what its Schema says")
	}
	for name, o := range opts.Keys {
		if !schema.hasKeyColumn(name) {
			return nil, schema.invalid("options for the key %q, which no column has; name one of %s", name, schema.keyNames(false))
		}
		if !o.Context.isZero() || o.Versions != nil {
			return nil, schema.invalid("the contexts of the key %q belong into the Schema", name)
		}
	}
	for typ := range opts.Codecs {
		if _, err := lockbox.TypeOf[any](typ); err == nil {
			return nil, schema.invalid("Options.Codecs has a codec of the type %q, which has one", typ)
		}
	}
	if len(schema.MasterKeys) == 0 {
		schema.MasterKeys = slices.Sorted(maps.Keys(opts.MasterKeys))
	}
	t := &Table{}
	for i := range schema.Fields {
		f := &schema.Fields[i]
		var codec any = opts.Codecs[f.Type]
		if opts.Codecs[f.Type] == nil {
			var err error
			if f.Type, codec, err = (&Sealed[any]{}).newCodec(f.Type); err != nil {
				return nil, schema.invalid("%s: %v", f.Column, err)
			}
		}
		t.codecs = append(t.codecs, codec)
	}
	var err error
	t.engine, err = newEngine(&schema, ring, opts)
	return t, err
}

// Schema returns a copy of the Table's Schema.
func (t *Table) Schema() Schema { return t.schema.clone() }

// Record is a row of a Table.
type Record struct {
	schema  *Schema
	columns map[string]any
	codecs  []any
	keys    []DataKey
	fields  []Sealed[any]
	ivs     []IV
	salts   []Salt
	files   []File
	indexes []blindindex.Index
}

// Record returns a row. columns are its values by column, as the database driver gave them; sealed columns are text or
// bytes. Columns that are not there were not loaded. Values of other columns are read when a context needs them; there text must
// be a string, and drivers that give it as bytes, as MySQL's do, need a conversion. A new row has no sealed columns yet.
func (t *Table) Record(columns map[string]any) (*Record, error) {
	s := t.schema
	r := &Record{
		schema: s, columns: map[string]any{}, codecs: t.codecs, keys: make([]DataKey, len(s.Keys)),
		fields: make([]Sealed[any], len(s.Fields)), ivs: make([]IV, len(s.Fields)), salts: make([]Salt, len(s.Fields)),
		files: make([]File, len(s.Files)), indexes: make([]blindindex.Index, len(s.Indexes)),
	}
	maps.Copy(r.columns, columns)
	for column, cell := range r.sealedColumns() {
		value, loaded := columns[column]
		if !loaded {
			continue
		}
		if err := cell.Scan(value); err != nil {
			return nil, fmt.Errorf("rowseal: %s %s: %w", s.Table, column, err)
		}
	}
	return r, nil
}

// clone is a copy that shares no cell.
func (r *Record) clone() *Record {
	c := *r
	c.columns = maps.Clone(r.columns)
	c.keys, c.fields, c.ivs, c.salts = slices.Clone(r.keys), slices.Clone(r.fields), slices.Clone(r.ivs), slices.Clone(r.salts)
	c.files, c.indexes = slices.Clone(r.files), slices.Clone(r.indexes)
	return &c
}

// scanned is a sealed column to a Record.
type scanned interface {
	Scan(src any) error
	driver.Valuer
}

// sealedColumns are the cells of every sealed column.
func (r *Record) sealedColumns() map[string]scanned {
	all := map[string]scanned{}
	for _, column := range r.schema.columns() {
		all[column] = r.schema.cell(r, column).(scanned)
	}
	return all
}

// cell is a sealed column of a row, nil for others.
func (s *Schema) cell(rec record, column string) sql.Scanner {
	for i, k := range s.Keys {
		if k.Column == column {
			return rec.key(i)
		}
	}
	for i, f := range s.Fields {
		switch column {
		case f.Column:
			cell, _ := rec.field(i)
			return cell
		case f.IV:
			return rec.iv(i)
		case f.Salt:
			return rec.salt(i)
		}
	}
	for i, f := range s.Files {
		if f.Column == column {
			return rec.file(i)
		}
	}
	for i, ix := range s.Indexes {
		if ix.Column == column {
			return rec.index(i)
		}
	}
	return nil
}

// Get returns the value of a sealed column, as the type of its field says: nil for NULL, else a string, []byte, bool,
// int64, float64 or time.Time, and for other types what lockbox.CodecOf[any] says. Errors are those of Sealed.Get.
func (r *Record) Get(column string) (any, error) {
	i, err := r.fieldOf(column)
	if err != nil {
		return nil, err
	}
	return r.fields[i].Get()
}

// Set sets the value of a sealed column, to be sealed; nil is NULL.
func (r *Record) Set(column string, value any) error {
	i, err := r.fieldOf(column)
	if err != nil {
		return err
	}
	bytes, isBytes := value.([]byte)
	switch {
	case value == nil, isBytes && bytes == nil:
		r.fields[i].SetNull()
	case isBytes:
		r.fields[i].Set(slices.Clone(bytes))
	default:
		r.fields[i].Set(value)
	}
	return nil
}

// Field returns the sealed column itself.
func (r *Record) Field(column string) (*Sealed[any], error) {
	i, err := r.fieldOf(column)
	if err != nil {
		return nil, err
	}
	return &r.fields[i], nil
}

// File returns a file column.
func (r *Record) File(column string) (*File, error) {
	i := slices.IndexFunc(r.schema.Files, func(f FileColumn) bool { return f.Column == column })
	if i < 0 {
		return nil, r.schema.invalid("%s is no column of a file", column)
	}
	return &r.files[i], nil
}

// Key returns a key column by the key's name.
func (r *Record) Key(name string) (*DataKey, error) {
	i := slices.IndexFunc(r.schema.Keys, func(k KeyColumn) bool { return k.Name == name })
	if i < 0 {
		return nil, r.schema.invalid("no key column has the name %q; name one of %s", name, r.schema.keyNames(false))
	}
	return &r.keys[i], nil
}

// SetColumn sets a column that is not sealed, for the contexts that use it.
func (r *Record) SetColumn(column string, value any) error {
	if slices.Contains(r.schema.columns(), column) {
		return r.schema.invalid("%s is sealed; use Set", column)
	}
	r.columns[column] = value
	return nil
}

// Sealed returns what to write into the sealed columns: keys, fields, IVs and salts, files and indexes. A value that was
// set and not sealed is ErrUnsealed.
func (r *Record) Sealed() (map[string]driver.Value, error) {
	all := map[string]driver.Value{}
	for column, cell := range r.sealedColumns() {
		value, err := cell.Value()
		if err != nil {
			return nil, fmt.Errorf("%w (%s %s)", err, r.schema.Table, column)
		}
		all[column] = value
	}
	return all, nil
}

func (r *Record) fieldOf(column string) (int, error) {
	i := slices.IndexFunc(r.schema.Fields, func(f Field) bool { return f.Column == column })
	if i < 0 {
		return 0, r.schema.invalid("%s is no sealed column; name one of %s", column, r.schema.fieldColumns())
	}
	return i, nil
}

func (r *Record) value(column string) (any, error) {
	v, ok := r.columns[column]
	if !ok && column != r.schema.PrimaryKey {
		return nil, fmt.Errorf("column %s was not loaded: %w", column, kms.ErrInvalidRequest)
	}
	return v, nil
}

func (r *Record) pointer(column string) (any, error) { return recordColumn{r, column}, nil }

// recordColumn loads a column that is not sealed.
type recordColumn struct {
	r    *Record
	name string
}

func (c recordColumn) Scan(src any) error {
	if bytes, ok := src.([]byte); ok {
		src = slices.Clone(bytes)
	}
	return c.r.SetColumn(c.name, src)
}

func (r *Record) key(i int) *DataKey              { return &r.keys[i] }
func (r *Record) field(i int) (sealedColumn, any) { return &r.fields[i], r.codecs[i] }
func (r *Record) iv(i int) *IV                    { return &r.ivs[i] }
func (r *Record) salt(i int) *Salt                { return &r.salts[i] }
func (r *Record) file(i int) *File                { return &r.files[i] }
func (r *Record) index(i int) *blindindex.Index   { return &r.indexes[i] }

func records(rows []*Record) []record {
	all := make([]record, len(rows))
	for i, r := range rows {
		if r != nil {
			all[i] = r
		}
	}
	return all
}

// Seal is Model.Seal.
func (t *Table) Seal(ctx context.Context, rows ...*Record) error { return t.seal(ctx, records(rows)) }

// Open is Model.Open.
func (t *Table) Open(ctx context.Context, rows ...*Record) error { return t.open(ctx, records(rows)) }

// Rewrap is Model.Rewrap.
func (t *Table) Rewrap(ctx context.Context, rows ...*Record) error {
	return t.rewrap(ctx, records(rows), nil)
}

// Rekey is Model.Rekey.
func (t *Table) Rekey(ctx context.Context, rows ...*Record) error {
	return t.rekey(ctx, records(rows), nil)
}

// RekeyWith is Model.RekeyWith.
func (t *Table) RekeyWith(ctx context.Context, row *Record, move func(name string, from, to *FileBox) error) error {
	return t.rekey(ctx, records([]*Record{row}), func(k *rowKey) error { return k.moveAttachments(move) })
}

// Box is Model.Box.
func (t *Table) Box(ctx context.Context, row *Record, attachment string) (*FileBox, error) {
	return t.box(ctx, records([]*Record{row})[0], attachment)
}

// Lookup is Model.Lookup.
func (t *Table) Lookup(ctx context.Context, column string, values ...any) ([]driver.Value, error) {
	return t.lookup(ctx, column, values)
}

// Reindex is Model.Reindex.
func (t *Table) Reindex(ctx context.Context, rows ...*Record) error {
	return t.reindex(ctx, records(rows))
}

// Committed is Model.Committed.
func (t *Table) Committed(ctx context.Context, rows ...*Record) error {
	return t.settle(ctx, records(rows), false)
}

// Abandoned is Model.Abandoned.
func (t *Table) Abandoned(ctx context.Context, rows ...*Record) error {
	return t.settle(ctx, records(rows), true)
}

// Clear is Model.Clear.
func (t *Table) Clear(rows ...*Record) { t.clear(records(rows)) }

// AttachmentsPurged is Model.AttachmentsPurged.
func (t *Table) AttachmentsPurged(rows ...*Record) { t.purged(records(rows)) }

// Wipe is Model.Wipe.
func (t *Table) Wipe(rows ...*Record) { t.wipe(records(rows)) }

// Only is Model.Only.
func (t *Table) Only(keys ...string) *Table { return &Table{t.engine.only(keys), t.codecs} }
