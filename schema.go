package rowseal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// Schema says what is sealed in a table and how: plain data, over rows of columns and values, without any Go struct. A
// Model makes one from a struct's tags. It holds no key: master keys are named, and given beside it (Options.MasterKeys).
type Schema struct {
	Table       string  // also part of the associated data that binds fields
	Model       string  // model_name of the default context: a literal or one {column}
	PrimaryKey  string  // its column; part of the default context as model_id
	Binding     Binding // what a field's ciphertext is bound to
	Keys        []KeyColumn
	MasterKeys  []string // names of the master keys that fields, attachments and indexes use
	Fields      []Field
	Files       []FileColumn
	Attachments []Attachment
	Indexes     []Index
	// Unsealed are columns of the table whose names look as if they were sealed (Rows.Undeclared), and that hold nothing under
	// this table's data keys. Any other such column stops what would replace a data key, because it would be lost.
	Unsealed []string
}

// KeyColumn is a column that holds a wrapped data key.
type KeyColumn struct {
	Column string // encrypted_kms_key, or encrypted_kms_key_ and the name
	Name   string // "" for the table's main key
	// Bytes: the column's type is one of bytes (bytea, BLOB), which holds the same text. Only some drivers need to know.
	Bytes bool
	// Context is the encryption context. The zero rule is the default: model_name, model_id and, for a named key in a
	// table with binding, key_name, so that two key columns of a row cannot be swapped.
	Context ContextRule
	// Versions replaces Context for the keys that were wrapped with a keyring version, as after a change of context.
	// Where two versions use the same KMS key, their contexts must differ in a name or a literal: otherwise the context
	// of one row's old version could be that of another row's new one.
	Versions map[int]ContextRule
}

// Field is a column that is sealed under a data key, in Lockbox's format or in attr_encrypted's.
type Field struct {
	Column string
	// Key is the name of the KeyColumn, or of the master key of which Lockbox derives the field's own key.
	Key       string
	Type      lockbox.Type      // "": the natural one of the Go type, and of a Table's row a string
	Algorithm lockbox.Algorithm // "": AES-GCM
	Format    lockbox.Format    // padding and encoding
	// AssociatedData replaces what the binding would give, for columns that a Ruby program writes with its own.
	AssociatedData string
	// KeyTable and KeyAttribute are the names of which a master key's key is derived, where table or column have been
	// renamed since (the gem's key_table and key_attribute). "": those of today.
	KeyTable, KeyAttribute string
	// Previous are earlier ways in which the field was sealed. They open and never seal.
	Previous []PreviousVersion

	// AttrEncrypted makes the format that of attr_encrypted, with these options; its IV and salt are in columns of their own.
	// Algorithm, Format and AssociatedData are Lockbox's and stay zero.
	AttrEncrypted *attrencrypted.Options
	IV, Salt      string // columns, "" where the mode has none
}

// PreviousVersion is an earlier way in which a field was sealed, Lockbox's previous_versions.
type PreviousVersion struct {
	// MasterKey names the master key from which the key was derived, as before a table had data keys. "": the row's data
	// key, with another algorithm, padding or associated data.
	MasterKey              string
	KeyTable, KeyAttribute string // as those of Field
	Algorithm              lockbox.Algorithm
	Padding                int    // in bytes, 0 for none
	AssociatedData         string // "": none
}

// FileColumn is a column that refers to a file outside the database, sealed under a data key; see File.
type FileColumn struct {
	Column         string
	Key            string // name of its KeyColumn
	Algorithm      lockbox.Algorithm
	Padding        int    // of the file's bytes
	AssociatedData string // instead of the binding's
}

// Attachment is a file, or several of one name, that belongs to a row and has no column there, as Active Storage's do. Its
// box is Model.Box.
type Attachment struct {
	Name                   string
	Key                    string // as that of Field
	Algorithm              lockbox.Algorithm
	Padding                int
	AssociatedData         string // instead of the binding's
	KeyTable, KeyAttribute string // as those of Field; "": the table, and the attachment's name
}

// Index is a column with a blind index, by which sealed values are found; see package blindindex.
type Index struct {
	Column string
	// Of are the columns of the fields that it indexes, one as a rule. Several are normalized each and joined by Join.
	Of      []string
	Join    string // "": U+001F, the unit separator
	Options blindindex.Options
	// IndexKey makes new indexes; values that Previous makes are looked for too (Model.Lookup), while a sweep changes them.
	IndexKey
	Previous []IndexKey
}

// IndexKey says which key an index has.
type IndexKey struct {
	MasterKey           string // name; "" is DefaultIndexKey
	KeyTable, KeyColumn string // "": those of the index today
}

// DefaultIndexKey is the name of the master key of indexes that name none.
const DefaultIndexKey = "blind_index"

// Binding tells what a field's ciphertext is bound to by associated data, so that it opens nowhere else.
type Binding int

const (
	// BindColumn binds a field to its table and column: associated data "table.column".
	BindColumn Binding = iota
	// BindRow binds it to its row too: "table.column:id". Needed where the KMS does not enforce the encryption context.
	BindRow
	// BindNone binds it to nothing but the data key, as Lockbox in Rails does by itself.
	BindNone
)

// String returns the name that configuration uses.
func (b Binding) String() string {
	names := [...]string{"column", "row", "none"}
	if b < 0 || int(b) >= len(names) {
		return fmt.Sprintf("Binding(%d)", int(b))
	}
	return names[b]
}

// columns lists every column that is written with a sealed row: keys, fields, IVs and salts, files and indexes.
func (s *Schema) columns() []string {
	var all []string
	for _, k := range s.Keys {
		all = append(all, k.Column)
	}
	for _, f := range s.Fields {
		all = append(all, f.columns()...)
	}
	for _, f := range s.Files {
		all = append(all, f.Column)
	}
	for _, ix := range s.Indexes {
		all = append(all, ix.Column)
	}
	return all
}

func (f *Field) columns() []string {
	all := []string{f.Column}
	for _, part := range []string{f.IV, f.Salt} {
		if part != "" {
			all = append(all, part)
		}
	}
	return all
}

// cell is a ciphertext in the type of the field's column.
func (f *Field) cell(ciphertext string) column {
	if f.Format.Raw || f.AttrEncrypted != nil && f.AttrEncrypted.Encode == attrencrypted.Raw {
		return column{kind: isBytes, text: ciphertext}
	}
	return column{kind: isText, text: ciphertext}
}

// staysEmpty is the gems' rule that "" is stored as "": by Lockbox unless it is padded (lockbox lib/lockbox/model.rb), by
// attr_encrypted unless it is told otherwise.
func (f *Field) staysEmpty(text []byte) bool {
	if f.AttrEncrypted != nil {
		return len(text) == 0 && !f.AttrEncrypted.AllowEmpty
	}
	return len(text) == 0 && f.Format.Padding == 0
}

func (s *Schema) fieldColumns() string {
	var names []string
	for _, f := range s.Fields {
		names = append(names, f.Column)
	}
	return strings.Join(names, ", ")
}

// keyNames lists the names of the key columns and, for what may have one, of the master keys.
func (s *Schema) keyNames(masters bool) string {
	var names []string
	for _, k := range s.Keys {
		names = append(names, fmt.Sprintf("%q", k.Name))
	}
	for _, name := range s.MasterKeys {
		if masters {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	return strings.Join(names, ", ")
}

func (s *Schema) invalid(format string, args ...any) error {
	return fmt.Errorf("rowseal: schema of table %q: %w: %w", s.Table, fmt.Errorf(format, args...), kms.ErrInvalidRequest)
}

// bound is the associated data of a field, file or attachment: its own, or what the binding says of the place. id is
// used only by BindRow.
func (s *Schema) bound(column, own string, id func() (string, error)) ([]byte, error) {
	place := s.Table + "." + column
	switch {
	case own != "":
		return []byte(own), nil
	case s.Binding == BindNone:
		return nil, nil
	case s.Binding == BindColumn:
		return []byte(place), nil
	}
	row, err := id()
	if err != nil {
		return nil, err
	}
	return []byte(place + ":" + row), nil
}

// clone returns a copy that shares nothing with s but functions.
func (s *Schema) clone() Schema {
	c := *s
	c.MasterKeys, c.Unsealed = slices.Clone(s.MasterKeys), slices.Clone(s.Unsealed)
	c.Files, c.Attachments = slices.Clone(s.Files), slices.Clone(s.Attachments)
	c.Keys = slices.Clone(s.Keys)
	for i, k := range c.Keys {
		c.Keys[i].Context, c.Keys[i].Versions = cloneRules(k.Context, k.Versions)
	}
	c.Fields = slices.Clone(s.Fields)
	for i, f := range c.Fields {
		c.Fields[i].Previous = slices.Clone(f.Previous)
		if f.AttrEncrypted != nil {
			own := *f.AttrEncrypted
			c.Fields[i].AttrEncrypted = &own
		}
	}
	c.Indexes = slices.Clone(s.Indexes)
	for i, ix := range c.Indexes {
		c.Indexes[i].Of, c.Indexes[i].Previous = slices.Clone(ix.Of), slices.Clone(ix.Previous)
	}
	return c
}
