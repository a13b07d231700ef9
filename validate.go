package rowseal

import (
	"cmp"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/lockbox"
)

// Validate checks that the Schema is whole and consistent; the error names the column and the remedy.
func (s *Schema) Validate() error {
	if err := s.validateNames(); err != nil {
		return err
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
	for _, f := range s.Files {
		if err := s.validateFile(f); err != nil {
			return err
		}
	}
	for _, a := range s.Attachments {
		if err := s.validateAttachment(a); err != nil {
			return err
		}
	}
	for _, ix := range s.Indexes {
		if err := s.validateIndex(ix); err != nil {
			return err
		}
	}
	for _, k := range s.Keys { // last, because the usual reason is a wrong name, which has its own error
		if !slices.Contains(s.usedKeys(), k.Name) {
			return s.invalid("nothing is sealed under key column %s", k.Column)
		}
	}
	return nil
}

func (s *Schema) validateKey(k KeyColumn) error {
	for _, rule := range k.rules(s) {
		if err := rule.validate(); err != nil {
			return s.invalid("context of %s: %w", k.Column, err)
		}
	}
	return nil
}

// usedKeys lists the key of each field, file and attachment.
func (s *Schema) usedKeys() []string {
	var names []string
	for _, f := range s.Fields {
		names = append(names, f.Key)
	}
	for _, f := range s.Files {
		names = append(names, f.Key)
	}
	for _, a := range s.Attachments {
		names = append(names, a.Key)
	}
	return names
}

func (s *Schema) hasKeyColumn(name string) bool {
	return slices.ContainsFunc(s.Keys, func(k KeyColumn) bool { return k.Name == name })
}

func (s *Schema) hasKey(name string) bool { return s.hasKeyColumn(name) || s.hasMaster(name) }

func (s *Schema) hasMaster(name string) bool { return slices.Contains(s.MasterKeys, name) }

func (s *Schema) validateField(f Field) error {
	if !s.hasKey(f.Key) {
		return s.noKey(f.Column, f.Key)
	}
	if err := f.Format.Validate(); err != nil {
		return s.invalid("%s: %w", f.Column, err)
	}
	if s.hasKeyColumn(f.Key) && (f.KeyTable != "" || f.KeyAttribute != "") {
		return s.invalid("%s: KeyTable and KeyAttribute are for a key that is derived from a master key", f.Column)
	}
	for _, p := range f.Previous {
		if p.MasterKey != "" && !s.hasMaster(p.MasterKey) {
			return s.invalid("%s was sealed under the master key %q, which is none of %q", f.Column, p.MasterKey, s.MasterKeys)
		}
	}
	if err := s.validateBindable(f.Column, f.Algorithm, f.AssociatedData); err != nil {
		return err
	}
	if f.AttrEncrypted == nil {
		if f.IV != "" || f.Salt != "" {
			return s.invalid("%s has an IV or a salt column, which only attr_encrypted's format has", f.Column)
		}
		return nil
	}
	return s.validateAttrEncrypted(f)
}

// noKey says that what is sealed has no key.
func (s *Schema) noKey(what, key string) error {
	if len(s.Keys) == 0 && key == "" {
		return s.invalid("%s has no data key; add a key column (in a struct: EncryptedKMSKey rowseal.DataKey), or name a master key", what)
	}
	return s.invalid("%s is sealed under the key %q, which no key column has; name one of %s, or give a master key of that name in "+
		"Options.MasterKeys", what, key, s.keyNames(false))
}

// validateBindable refuses a binding that the algorithm would ignore.
func (s *Schema) validateBindable(column string, a lockbox.Algorithm, ad string) error {
	if a == lockbox.XSalsa20 && (s.Binding != BindNone || ad != "") {
		return s.invalid("%s: %s takes no associated data and cannot be bound; use another algorithm, or BindNone for the table", column, a)
	}
	return nil
}

func (s *Schema) validateAttrEncrypted(f Field) error {
	mode := cmp.Or(f.AttrEncrypted.Mode, attrencrypted.PerAttributeIV)
	withIV, withSalt := ivAndSalt(mode)
	switch {
	case f.Algorithm != "" || f.Format != (lockbox.Format{}) || f.AssociatedData != "" || len(f.Previous) > 0:
		return s.invalid("%s is in attr_encrypted's format, and Algorithm, Format, AssociatedData and Previous are Lockbox's", f.Column)
	case s.Binding != BindNone:
		return s.invalid("%s is in attr_encrypted's format, which cannot be bound; use BindNone for the table", f.Column)
	case withIV != (f.IV != ""):
		return s.invalid("%s: attr_encrypted's mode %s %s; the IV column is %q", f.Column, mode, hasOrNot(withIV, "IV"), f.IV)
	case withSalt != (f.Salt != ""):
		return s.invalid("%s: attr_encrypted's mode %s %s; the salt column is %q", f.Column, mode, hasOrNot(withSalt, "salt"), f.Salt)
	case f.Type != "" && f.Type != lockbox.String && f.Type != lockbox.Binary && f.Type != lockbox.JSON:
		return s.invalid("%s: attr_encrypted seals text, so its type is string, binary or, where it was marshalled, json; not %s", f.Column, f.Type)
	}
	return nil
}

func hasOrNot(has bool, what string) string {
	if has {
		return "needs a column for the " + what + " (in a struct: a field of type rowseal.IV or rowseal.Salt with the tag of=FIELD)"
	}
	return "has no " + what
}

func (s *Schema) validateFile(f FileColumn) error {
	if !s.hasKeyColumn(f.Key) {
		return s.invalid("%s is sealed under the key %q, which no key column has; name one of %s", f.Column, f.Key, s.keyNames(false))
	}
	if err := (lockbox.Format{Padding: f.Padding}).Validate(); err != nil {
		return s.invalid("%s: %w", f.Column, err)
	}
	return s.validateBindable(f.Column, f.Algorithm, f.AssociatedData)
}

func (s *Schema) validateAttachment(a Attachment) error {
	if !s.hasKey(a.Key) {
		return s.noKey("attachment "+a.Name, a.Key)
	}
	if err := (lockbox.Format{Padding: a.Padding}).Validate(); err != nil {
		return s.invalid("attachment %s: %w", a.Name, err)
	}
	return s.validateBindable("attachment "+a.Name, a.Algorithm, a.AssociatedData)
}

func (s *Schema) validateIndex(ix Index) error {
	switch {
	case len(ix.Of) == 0:
		return s.invalid("index %s is of no field", ix.Column)
	case ix.Options.Normalizers != nil:
		return s.invalid("index %s has normalizers of its own; give them in Options.Normalizers", ix.Column)
	}
	for _, column := range ix.Of {
		i := slices.IndexFunc(s.Fields, func(f Field) bool { return f.Column == column })
		if i < 0 {
			return s.invalid("index %s is of %s, which is no sealed column; name one of %s", ix.Column, column, s.fieldColumns())
		}
		if !indexable(s.Fields[i].Type) {
			return s.invalid("index %s is of %s, whose type %s has no one text; index a string, binary, integer, date or boolean",
				ix.Column, column, s.Fields[i].Type)
		}
	}
	for _, k := range append([]IndexKey{ix.IndexKey}, ix.Previous...) {
		if !s.hasMaster(k.name()) {
			return s.invalid("index %s needs the master key %q; give it in Options.MasterKeys", ix.Column, k.name())
		}
	}
	return nil
}

func (k IndexKey) name() string {
	if k.MasterKey == "" {
		return DefaultIndexKey
	}
	return k.MasterKey
}

// validateNames refuses names that associated data could confuse: "table.column:id" must be read in one way.
func (s *Schema) validateNames() error {
	switch {
	case s.Table == "" || strings.Contains(s.Table, ":"):
		return s.invalid("a table needs a name without a colon")
	case s.PrimaryKey == "":
		return s.invalid("a table needs a primary key")
	case len(s.Keys) == 0 && len(s.MasterKeys) == 0:
		return s.invalid("a table needs a key column")
	}
	names := map[string]bool{}
	for _, k := range s.Keys {
		if names[k.Name] {
			return s.invalid("two key columns have the name %q; give one of them another (rowseal:\"name=…\")", k.Name)
		}
		names[k.Name] = true
	}
	for _, name := range s.MasterKeys {
		if names[name] || name == "" {
			return s.invalid("a master key has the name %q, which must be neither empty nor that of another key", name)
		}
		names[name] = true
	}
	seen := map[string]bool{}
	places := s.columns() // those of attachments too, because both are bound by table and name
	for _, a := range s.Attachments {
		places = append(places, a.Name)
	}
	for _, c := range places {
		switch {
		case c == "" || strings.ContainsAny(c, ".:"):
			return s.invalid("column or attachment %q needs a name without dots and colons", c)
		case seen[c]:
			return s.invalid("column or attachment %s is there twice", c)
		}
		seen[c] = true
	}
	for _, c := range s.Unsealed {
		if slices.Contains(s.columns(), c) {
			return s.invalid("column %s is declared, and is named in Unsealed too", c)
		}
	}
	return nil
}
