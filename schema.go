package rowseal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// Schema says what is sealed in a table and how: plain data, over rows of columns and values, without any Go struct. A
// Model makes one from a struct's tags.
type Schema struct {
	Table      string  // also part of the associated data that binds fields
	Model      string  // model_name of the default context: a literal or one {column}
	PrimaryKey string  // its column; part of the default context as model_id
	Binding    Binding // what a field's ciphertext is bound to
	Keys       []KeyColumn
	Fields     []Field
}

// KeyColumn is a column that holds a wrapped data key.
type KeyColumn struct {
	Column string // encrypted_kms_key, or encrypted_kms_key_ and the name
	Name   string // "" for the table's main key
	// Context is the encryption context. The zero rule is the default: model_name, model_id and, for a named key in a
	// table with binding, key_name, so that two key columns of a row cannot be swapped.
	Context ContextRule
	// Versions replaces Context for the keys that were wrapped with a keyring version, as after a change of context.
	// Where two versions use the same KMS key, their contexts must differ in a name or a literal: otherwise the context
	// of one row's old version could be that of another row's new one.
	Versions map[int]ContextRule
}

// Field is a column that is sealed under a data key, in Lockbox's format.
type Field struct {
	Column string
	Key    string         // name of its KeyColumn
	Type   lockbox.Type   // "": the natural one of the Go type
	Format lockbox.Format // padding and encoding
	// AssociatedData replaces what the binding would give, for columns that a Ruby program writes with its own.
	AssociatedData string
}

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

// Validate checks that the Schema is whole and consistent; the error names the column and the remedy.
func (s *Schema) Validate() error {
	if err := s.validateNames(); err != nil {
		return fmt.Errorf("rowseal: schema of table %q: %w", s.Table, err)
	}
	if s.Binding < BindColumn || s.Binding > BindNone {
		return s.invalid("binding %d is none of BindColumn, BindRow and BindNone", int(s.Binding))
	}
	for _, k := range s.Keys {
		if err := s.validateKey(k); err != nil {
			return err
		}
	}
	for _, f := range s.Fields {
		if err := s.validateField(f); err != nil {
			return err
		}
	}
	return nil
}

func (s *Schema) validateKey(k KeyColumn) error {
	for _, rule := range k.rules(s) {
		if err := rule.validate(); err != nil {
			return s.invalid("context of %s: %v", k.Column, err)
		}
	}
	if !slices.ContainsFunc(s.Fields, func(f Field) bool { return f.Key == k.Name }) {
		return s.invalid("nothing is sealed under key column %s", k.Column)
	}
	return nil
}

func (s *Schema) validateField(f Field) error {
	if !slices.ContainsFunc(s.Keys, func(k KeyColumn) bool { return k.Name == f.Key }) {
		return s.invalid("%s is sealed under the key %q, which no key column has; name one of %s", f.Column, f.Key, s.keyNames())
	}
	if err := f.Format.Validate(); err != nil {
		return s.invalid("%s: %v", f.Column, err)
	}
	return nil
}

// validateNames refuses names that associated data could confuse: "table.column:id" must be read in one way.
func (s *Schema) validateNames() error {
	switch {
	case s.Table == "" || strings.Contains(s.Table, ":"):
		return fmt.Errorf("a table needs a name without a colon: %w", kms.ErrInvalidRequest)
	case s.PrimaryKey == "":
		return fmt.Errorf("a table needs a primary key: %w", kms.ErrInvalidRequest)
	case len(s.Keys) == 0:
		return fmt.Errorf("a table needs a key column: %w", kms.ErrInvalidRequest)
	}
	seen := map[string]bool{}
	names := map[string]bool{}
	for _, k := range s.Keys {
		if names[k.Name] {
			return fmt.Errorf("two key columns have the name %q; give one of them another (rowseal:\"name=…\"): %w", k.Name, kms.ErrInvalidRequest)
		}
		names[k.Name] = true
	}
	for _, c := range s.columns() {
		switch {
		case c == "" || strings.ContainsAny(c, ".:"):
			return fmt.Errorf("column %q needs a name without dots and colons: %w", c, kms.ErrInvalidRequest)
		case seen[c]:
			return fmt.Errorf("column %s is there twice: %w", c, kms.ErrInvalidRequest)
		}
		seen[c] = true
	}
	return nil
}

// columns lists the key columns and the sealed columns.
func (s *Schema) columns() []string {
	var all []string
	for _, k := range s.Keys {
		all = append(all, k.Column)
	}
	for _, f := range s.Fields {
		all = append(all, f.Column)
	}
	return all
}

func (s *Schema) keyNames() string {
	var names []string
	for _, k := range s.Keys {
		names = append(names, fmt.Sprintf("%q", k.Name))
	}
	return strings.Join(names, ", ")
}

func (s *Schema) invalid(format string, args ...any) error {
	return fmt.Errorf("rowseal: schema of table %q: %s: %w", s.Table, fmt.Sprintf(format, args...), kms.ErrInvalidRequest)
}

// associatedData is what binds a field: its own, or what the binding says. id is used only by BindRow.
func (s *Schema) associatedData(f Field, id func() (string, error)) ([]byte, error) {
	place := s.Table + "." + f.Column
	switch {
	case f.AssociatedData != "":
		return []byte(f.AssociatedData), nil
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
