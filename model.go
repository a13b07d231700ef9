package rowseal

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
)

// Model seals and opens the rows of one table, as structs of type T. The struct's fields of type DataKey and Sealed,
// and their tags, say what is sealed:
//
//	type User struct {
//		ID              int64
//		EncryptedKMSKey rowseal.DataKey                                 // column encrypted_kms_key
//		Email           rowseal.Sealed[string]                          // column email_ciphertext
//		BornOn          rowseal.Sealed[time.Time] `rowseal:"type=date"` // column born_on_ciphertext
//		KMSKeyPhone     rowseal.DataKey           `rowseal:"name=phone"` // column encrypted_kms_key_phone
//		Phone           rowseal.Sealed[string]    `rowseal:"key=phone"`  // column phone_ciphertext
//	}
//
// Tags have these options, with commas between them; "-" alone hides a field, and embedded structs count as if their
// fields stood there. Without column=NAME the tags db and gorm are asked for the column, else the field's name in snake
// case is.
//
//	DataKey           name=NAME; attachments=NAME+NAME, the files under the key that are in no column (Model.Box);
//	                  bytes (the column is bytea or BLOB, and not text)
//	Sealed            key=NAME of a DataKey or of a master key, type=TYPE (a lockbox.Type), algorithm=NAME, padding=BYTES,
//	                  raw (no base64), ad=TEXT (associated data instead of the binding's), previous=NAME (the master key
//	                  under which it was sealed before), key_table=NAME and key_attribute=NAME (of a master key's field)
//	                  codec=attr_encrypted, with mode, algorithm, marshal=json, encode, encode_iv, encode_salt (m, m0, none),
//	                  empty, allow=cbc, allow=ignored_iv: the gem's options, see package attrencrypted
//	IV, Salt          of=FIELD, in attr_encrypted's format
//	File              key, algorithm, padding, ad
//	blindindex.Index  of=FIELD or FIELD+FIELD, normalize=NAME+NAME, algorithm, size=BYTES, slow, raw, join=TEXT,
//	                  master=NAME, key_table=NAME, key_column=NAME
//
// What tags cannot say, Options.Amend can.
//
// A Model is safe for concurrent use; a row is as safe as any struct. All methods take any number of rows, and handle
// those that they can: the errors of the others are in a *BatchError.
type Model[T any] struct {
	*engine
	layout *layout
}

// Options changes what NewModel assumes. The zero value is right for a new table.
type Options struct {
	// Model is the model_name of the default context: a literal or one {column}. "": the name of T. It stays with the
	// data: a later change of the Go type's name needs it.
	Model string
	// PrimaryKey is the column of the primary key. "": id. Of a primary key of several columns it is one; a context that is to
	// name one row uses them all: see KeyOptions.Context.
	PrimaryKey string
	// Binding tells what a field's ciphertext is bound to. A table that Rails reads has BindNone unless its code gives
	// associated data.
	Binding Binding
	// Keys has options for key columns, by the key's name; "" is the key without a name.
	Keys map[string]KeyOptions
	// Attachments adds to those that the tags of DataKeys name.
	Attachments []Attachment
	// Unsealed are columns of the table that look sealed and are not; see Schema.Unsealed.
	Unsealed []string
	// Amend changes what the tags say, before it is checked: the Previous of a field or an index, costs, options of
	// attr_encrypted. Columns stay in their places.
	Amend func(*Schema)

	// MasterKeys are the application's own keys, by the names that fields, attachments and indexes use. DefaultIndexKey is
	// that of indexes which name none.
	MasterKeys map[string]*MasterKey
	// Normalizers are your own, beside those of package blindindex.
	Normalizers map[string]func(string) (string, error)
	// Codecs are those of a Table's fields for types that have none in package lockbox: lockbox.Hash and lockbox.Array (see
	// lockbox/railsyaml), and your own. A Model's fields say it with their Go types.
	Codecs map[lockbox.Type]lockbox.Codec[any]
	// Store holds the files of File columns; Stores are other ones, by column.
	Store  store.Store
	Stores map[string]store.Store
	// FileLimit is the size in bytes of the largest file, which is sealed and opened in memory. 0 is
	// lockbox.DefaultFileLimit.
	FileLimit int64
	// OnInsecure is told of each value that opened and whose form is not safe. It is required where a field allows such
	// forms, is called from the goroutine that opens, and must be safe for concurrent use.
	OnInsecure func(InsecureForm)
}

// KeyOptions are those of one key column.
type KeyOptions struct {
	// Keyring is this key's own. nil: the Model's.
	Keyring *Keyring
	// KeyringFor chooses a keyring for each row, as for tenants with a KMS key each. It may ask the row for
	// KeyringColumns.
	KeyringFor func(Row) (*Keyring, error)
	// KeyringColumns are the columns that KeyringFor uses, the primary key included if it does.
	KeyringColumns []string
	// Context and Versions are those of KeyColumn.
	Context  ContextRule
	Versions map[int]ContextRule
}

// NewModel returns the Model of a table. It reads the tags of T and checks everything that can be checked without a
// row; a struct that does not fit is refused here, with the field and the remedy. opts may be nil.
func NewModel[T any](table string, ring *Keyring, opts *Options) (*Model[T], error) {
	if opts == nil {
		opts = &Options{}
	}
	t := reflect.TypeFor[T]()
	schema := &Schema{
		Table: table, Model: opts.Model, PrimaryKey: opts.PrimaryKey, Binding: opts.Binding,
		MasterKeys: slices.Sorted(maps.Keys(opts.MasterKeys)), Attachments: slices.Clone(opts.Attachments),
		Unsealed: slices.Clone(opts.Unsealed),
	}
	if schema.Model == "" && !strings.Contains(t.Name(), "[") { // a type argument's import path would be stored with the data
		schema.Model = t.Name()
	}
	if schema.PrimaryKey == "" {
		schema.PrimaryKey = "id"
	}
	l, err := newLayout(t, schema)
	if err != nil {
		return nil, err
	}
	if schema.Model == "" {
		return nil, schema.invalid("%s has no name that can be the context's model_name; give one in Options.Model", t)
	}
	if err := applyKeyOptions(schema, opts.Keys); err != nil {
		return nil, err
	}
	if err := l.amend(opts.Amend); err != nil {
		return nil, err
	}
	e, err := newEngine(schema, ring, opts)
	if err != nil {
		return nil, err
	}
	if err := l.checkColumns(e); err != nil {
		return nil, err
	}
	return &Model[T]{engine: e, layout: l}, nil
}

func applyKeyOptions(s *Schema, options map[string]KeyOptions) error {
	for name, o := range options {
		i := slices.IndexFunc(s.Keys, func(k KeyColumn) bool { return k.Name == name })
		if i < 0 {
			return s.invalid("options for the key %q, which no field has; name one of %s", name, s.keyNames(false))
		}
		s.Keys[i].Context, s.Keys[i].Versions = cloneRules(o.Context, o.Versions)
	}
	return nil
}

// amend lets the caller change the Schema, but not where the struct has what.
func (l *layout) amend(change func(*Schema)) error {
	if change == nil {
		return nil
	}
	before := l.schema.clone()
	change(l.schema)
	if !slices.Equal(before.columns(), l.schema.columns()) || len(before.Keys) != len(l.schema.Keys) || len(before.Fields) != len(l.schema.Fields) ||
		len(before.Files) != len(l.schema.Files) || len(before.Indexes) != len(l.schema.Indexes) {
		return before.invalid("Options.Amend has added, removed or renamed a column; that is for the struct and its tags")
	}
	for i, f := range l.schema.Fields {
		if f.Type != before.Fields[i].Type {
			return before.invalid("Options.Amend has changed the type of %s; say it in the tag (type=%s)", f.Column, f.Type)
		}
	}
	return nil
}

// checkColumns finds columns that contexts and keyrings use and the struct lacks.
func (l *layout) checkColumns(e *engine) error {
	if s := l.schema; s.Binding == BindRow && !l.hasPlain(s.PrimaryKey) {
		return s.invalid("BindRow needs the primary key %s, and the struct has no such field that is not sealed, or two of them", s.PrimaryKey)
	}
	for i, k := range l.schema.Keys {
		columns := slices.Clone(e.keys[i].columns)
		for _, rule := range k.rules(l.schema) {
			columns = append(columns, rule.columns()...)
		}
		for _, c := range columns {
			if !l.hasPlain(c) {
				return l.schema.invalid("%s needs column %s for its context or keyring, and the struct has no such field that is not sealed, "+
					"or two of them; mend that, or give a Context in Options.Keys", k.Column, c)
			}
		}
	}
	return nil
}

func (l *layout) hasPlain(column string) bool { return l.plain[column] != nil && !l.twice[column] }

// Schema returns a copy of what the Model knows of the table.
func (m *Model[T]) Schema() Schema {
	return m.schema.clone()
}

func cloneRules(rule ContextRule, versions map[int]ContextRule) (ContextRule, map[int]ContextRule) {
	clone := func(c ContextRule) ContextRule {
		return ContextRule{Names: maps.Clone(c.Names), Func: c.Func, Columns: slices.Clone(c.Columns)}
	}
	versions = maps.Clone(versions)
	for version, c := range versions {
		versions[version] = clone(c)
	}
	return clone(rule), versions
}

// Seal seals every value that was set, before the row is saved. A row without a data key gets a new one, wrapped by the
// KMS; a row that has one keeps it, which needs the right to decrypt unless it is open already. New keys of all rows go
// to the KMS in one batch a KMS key, and rows with nothing set cost no request. After an error a row is as it was, and
// saving a value that was set is refused with ErrUnsealed. Fields that stay must open under the row's key; one that
// does not is ErrDecryptionFailed, because saving would lose it. What is not open, and has nothing to seal, is not
// checked.
//
// A row whose key column was not loaded counts as new. Do not update a stored row with it: under its new data key, the
// fields that the database has do not open. An UPDATE writes the key column and every field under it, and compares the
// key column with DataKey.Stored, so that no data key is lost. It then puts back, in the fields that were not set, what was
// loaded; where others write too, write only the fields that were set.
func (m *Model[T]) Seal(ctx context.Context, rows ...*T) error {
	return m.seal(ctx, m.records(rows))
}

// SealSlice is Seal for a slice of structs.
func (m *Model[T]) SealSlice(ctx context.Context, rows []T) error {
	return m.Seal(ctx, pointers(rows)...)
}

// Open unwraps the data keys of rows that were loaded, in one batch a KMS key, so that Get works on their fields. Keys
// that are open already, or have only NULL under them, cost no request. Each field is opened when Get first asks for
// it.
func (m *Model[T]) Open(ctx context.Context, rows ...*T) error {
	return m.open(ctx, m.records(rows))
}

// OpenSlice is Open for a slice of structs.
func (m *Model[T]) OpenSlice(ctx context.Context, rows []T) error {
	return m.Open(ctx, pointers(rows)...)
}

// Rewrap wraps the rows' data keys anew, with the newest version of the keyring's first KMS key. Fields and files stay
// as they are. The row is to be saved with an UPDATE of the key column that compares it with DataKey.Stored.
func (m *Model[T]) Rewrap(ctx context.Context, rows ...*T) error {
	return m.rewrap(ctx, m.records(rows), nil)
}

// Rekey gives the rows new data keys and seals everything under them anew: the fields, opened for it where that needs the
// right to decrypt, the files of File columns under new objects, and what was set. A row without a data key whose fields
// open under their previous master keys gets its first one. Save such a row with one statement that writes the key column
// and every column under it, and compares the key column with DataKey.Stored; then call Committed. What leaked with the
// old data key stays leaked, but opens no new value.
//
// Where attachments are sealed under the key, Rekey is refused; RekeyWith moves them too.
func (m *Model[T]) Rekey(ctx context.Context, rows ...*T) error {
	return m.rekey(ctx, m.records(rows), nil)
}

// RekeyWith is Rekey for one row with attachments. move is called for each Attachment under a key that changes, after the
// new key was wrapped and before the row changes; it opens what there is of that name with from and stores it sealed with
// to, as activestorage's Reseal does. Until Committed the row is neither sealed nor are its attachments opened; after a
// rollback RekeyWith starts again from the key that the database has.
func (m *Model[T]) RekeyWith(ctx context.Context, row *T, move func(name string, from, to *FileBox) error) error {
	return m.rekey(ctx, m.records([]*T{row}), func(k *rowKey) error { return k.moveAttachments(move) })
}

// Box returns the box of an attachment: of a file that belongs to the row and is in no column of it, as those of Active
// Storage. The row's data key is opened for it, unless it is open already; a row whose key is NULL gets one, which is to be
// saved with the row, so call Seal first for a row that is new.
func (m *Model[T]) Box(ctx context.Context, row *T, attachment string) (*FileBox, error) {
	return m.box(ctx, m.records([]*T{row})[0], attachment)
}

// Lookup returns what an index column holds for a value: one driver.Value for the index's key and one for each of its
// Previous, so that the query is "WHERE email_bidx IN (…)" with as many placeholders. It returns none for a value that a
// normalizer leaves out. An index over several fields takes as many values. With Argon2id it takes some milliseconds.
func (m *Model[T]) Lookup(ctx context.Context, column string, values ...any) ([]driver.Value, error) {
	return m.lookup(ctx, column, values)
}

// Reindex makes every index of the rows anew, under the indexes' newest keys, as after a change of key, or where a column
// is new. The rows must be open.
func (m *Model[T]) Reindex(ctx context.Context, rows ...*T) error {
	return m.reindex(ctx, m.records(rows))
}

// Committed tells that the rows are in the database as they are now: call it after the transaction that wrote them.
// DataKey.Stored is what was written, later changes start from it, and objects that its files do not refer to any more are deleted from their stores; an
// error is about these, which are garbage then, and another call tries again.
func (m *Model[T]) Committed(ctx context.Context, rows ...*T) error {
	return m.settle(ctx, m.records(rows), false)
}

// Abandoned tells that the rows will never be written as they are now, and deletes the objects that Seal and Rekey have
// stored for them. Do not call it before a second attempt, nor where the outcome of a transaction is unknown. The rows must
// be loaded again.
func (m *Model[T]) Abandoned(ctx context.Context, rows ...*T) error {
	return m.settle(ctx, m.records(rows), true)
}

// Clear forgets the data keys and everything sealed under them, and leaves NULL, so that values can be set and sealed
// anew without the right to decrypt. Save such a row with one statement that writes the key column and every column
// sealed under it: what is not set again is NULL. DataKey.Stored still tells what the row held.
func (m *Model[T]) Clear(rows ...*T) {
	m.clear(m.records(rows))
}

// AttachmentsPurged tells that the rows' attachments (of Active Storage, say) have been deleted, or will be in the
// transaction that saves the row. Without it a row that has a data key and may have attachments gets no new one after
// Clear, because the attachments would be lost.
func (m *Model[T]) AttachmentsPurged(rows ...*T) { m.purged(m.records(rows)) }

// Wipe forgets the unwrapped data keys and the opened values: the row is as it was loaded. A value that was set and is
// not sealed stays.
func (m *Model[T]) Wipe(rows ...*T) {
	m.wipe(m.records(rows))
}

// Only returns a Model that sees only the keys with these names (or key columns), and what is sealed under them. Others
// are neither opened nor sealed, and need no rights. A name that no key has is an error of the methods that return one.
func (m *Model[T]) Only(keys ...string) *Model[T] {
	return &Model[T]{engine: m.engine.only(keys), layout: m.layout}
}

// Sealer returns the part of a Model that writes. There is no way to open with it, and none of its requests to a KMS
// decrypts.
func (m *Model[T]) Sealer() *Sealer[T] {
	return &Sealer[T]{model: &Model[T]{engine: m.sealer(), layout: m.layout}}
}

// Sealer seals the rows of one table and cannot open them.
type Sealer[T any] struct {
	model *Model[T]
}

// Seal is Model.Seal. A row that was loaded with a data key must be cleared first.
func (s *Sealer[T]) Seal(ctx context.Context, rows ...*T) error { return s.model.Seal(ctx, rows...) }

// SealSlice is Model.SealSlice.
func (s *Sealer[T]) SealSlice(ctx context.Context, rows []T) error {
	return s.model.SealSlice(ctx, rows)
}

// Clear is Model.Clear.
func (s *Sealer[T]) Clear(rows ...*T) { s.model.Clear(rows...) }

// Lookup is Model.Lookup.
func (s *Sealer[T]) Lookup(ctx context.Context, column string, values ...any) ([]driver.Value, error) {
	return s.model.Lookup(ctx, column, values...)
}

// Committed is Model.Committed.
func (s *Sealer[T]) Committed(ctx context.Context, rows ...*T) error {
	return s.model.Committed(ctx, rows...)
}

// Abandoned is Model.Abandoned.
func (s *Sealer[T]) Abandoned(ctx context.Context, rows ...*T) error {
	return s.model.Abandoned(ctx, rows...)
}

// AttachmentsPurged is Model.AttachmentsPurged.
func (s *Sealer[T]) AttachmentsPurged(rows ...*T) { s.model.AttachmentsPurged(rows...) }

// Only is Model.Only.
func (s *Sealer[T]) Only(keys ...string) *Sealer[T] { return &Sealer[T]{model: s.model.Only(keys...)} }

// records are the rows as the engine sees them.
func (m *Model[T]) records(rows []*T) []record {
	records := make([]record, len(rows))
	for i, row := range rows {
		if row != nil {
			records[i] = structRow{m.layout, reflect.ValueOf(row).Elem()}
		}
	}
	return records
}

func pointers[T any](rows []T) []*T {
	all := make([]*T, len(rows))
	for i := range rows {
		all[i] = &rows[i]
	}
	return all
}

// structRow is a row in a struct.
type structRow struct {
	*layout
	v reflect.Value
}

func (r structRow) value(column string) (any, error) {
	field, err := r.plainField(column)
	if err != nil {
		return nil, err
	}
	return field.Interface(), nil
}

func (r structRow) pointer(column string) (any, error) {
	field, err := r.plainField(column)
	if err != nil {
		return nil, err
	}
	return field.Addr().Interface(), nil
}

func (r structRow) plainField(column string) (reflect.Value, error) {
	path, ok := r.plain[column]
	if !ok {
		return reflect.Value{}, fmt.Errorf("no field for column %s: %w", column, kms.ErrInvalidRequest)
	}
	return r.v.FieldByIndex(path), nil
}

func (r structRow) key(i int) *DataKey {
	return r.v.FieldByIndex(r.keys[i]).Addr().Interface().(*DataKey)
}

func (r structRow) field(i int) (sealedColumn, any) {
	return r.v.FieldByIndex(r.fields[i]).Addr().Interface().(sealedColumn), r.codecs[i]
}

func (r structRow) iv(i int) *IV { return at[IV](r, r.ivs[i]) }

func (r structRow) salt(i int) *Salt { return at[Salt](r, r.salts[i]) }

func (r structRow) file(i int) *File { return at[File](r, r.files[i]) }

func (r structRow) index(i int) *blindindex.Index { return at[blindindex.Index](r, r.indexes[i]) }

func at[F any](r structRow, path []int) *F {
	if path == nil {
		return nil
	}
	return r.v.FieldByIndex(path).Addr().Interface().(*F)
}
