package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/lockbox"
)

// Note is what somebody should know of a table who is responsible for it: something protects less than it could.
type Note struct {
	Place   string // columns, a master key, or "" for the table
	Text    string
	Warning bool // whoever can write to the database, or read the file, can do what nobody meant him to
}

// String is the note in one line.
func (n Note) String() string {
	if n.Place == "" {
		return n.Text
	}
	return n.Place + ": " + n.Text
}

func note(place, format string, args ...any) Note {
	return Note{Place: place, Text: fmt.Sprintf(format, args...)}
}

func warning(place, format string, args ...any) Note {
	return Note{Place: place, Text: fmt.Sprintf(format, args...), Warning: true}
}

// Notes are those of the table.
func (t *Table) Notes() []Note {
	notes := slices.Concat(t.keyNotes(), t.contextNotes(), t.masterNotes(), t.fieldNotes())
	for _, ix := range t.Schema.Indexes {
		switch ix.Options.Algorithm {
		case blindindex.HMACSHA256, blindindex.PBKDF2SHA256:
			notes = append(notes, note(ix.Column, "whoever has the index's key guesses values fast, because %s takes little work", ix.Options.Algorithm))
		}
		if notFIPS(ix) {
			notes = append(notes, note(ix.Column, "FIPS 140-3 does not approve its algorithm, so that no row is found by it under GODEBUG=fips140=only"))
		}
	}
	if t.Writers == "rails" {
		notes = append(notes, note("", "writers: rails also writes, without comparing the key column, so that a rekey could lose what it writes"))
	}
	return notes
}

func (t *Table) keyNotes() (notes []Note) {
	for _, k := range t.Schema.Keys {
		for _, v := range t.Versions[k.Name] {
			if v.KeyID == testkms.ID || v.KeyID == testkms.EncryptOnlyID {
				notes = append(notes, warning(k.Column, "version %d has the key for tests, which protects nothing", v.Number))
			}
		}
	}
	return notes
}

// contextNotes finds contexts under which the KMS would open one key for another.
func (t *Table) contextNotes() (notes []Note) {
	type place struct {
		key     rowseal.KeyColumn
		version Version
		rule    rowseal.ContextRule
	}
	var before []place
	for _, k := range t.Schema.Keys {
		for i, rule := range t.Contexts(k) {
			v := t.Versions[k.Name][i]
			if !slices.Contains(columnsOf(rule.Names), t.Schema.PrimaryKey) {
				notes = append(notes, warning(k.Column, "the context of version %d does not name %s, so rows with equal contexts can be exchanged",
					v.Number, t.Schema.PrimaryKey))
			}
			for _, other := range before {
				switch {
				case other.version.KeyID != v.KeyID || !alike(other.rule.Names, rule.Names):
				case other.key.Column == k.Column && !maps.Equal(other.rule.Names, rule.Names):
					notes = append(notes, warning(k.Column, "the contexts of versions %d and %d differ in columns only, so one row's could be another's",
						other.version.Number, v.Number))
				case other.key.Column != k.Column && other.version.Number == v.Number:
					notes = append(notes, warning(other.key.Column+", "+k.Column, "the contexts of version %d are alike, so that the two columns can be exchanged",
						v.Number))
				}
			}
			before = append(before, place{k, v, rule})
		}
	}
	return notes
}

// alike tells whether two rules have the same names and literals.
func alike(a, b map[string]string) bool {
	return maps.EqualFunc(a, b, func(x, y string) bool {
		_, xColumn := columnIn(x)
		_, yColumn := columnIn(y)
		return x == y || xColumn && yColumn
	})
}

const readable = "whoever has the master key %s reads it, of every row, and no KMS logs that"

func (t *Table) masterNotes() (notes []Note) {
	for _, name := range t.Schema.MasterKeys {
		if t.Masters[name].Literal {
			notes = append(notes, warning("master key "+strings.TrimPrefix(name, ownName), "it stands in the file itself; take it from ${AN_ENVIRONMENT_VARIABLE}"))
		}
	}
	for _, f := range t.Schema.Fields {
		if t.isMaster(f.Key) {
			notes = append(notes, note(f.Column, readable, f.Key))
		}
	}
	for _, a := range t.Schema.Attachments {
		if t.isMaster(a.Key) {
			notes = append(notes, note("attachment "+a.Name, readable, a.Key))
		}
	}
	return notes
}

func (t *Table) isMaster(key string) bool { return slices.Contains(t.Schema.MasterKeys, key) }

// fieldNotes tells of what is bound to nothing, and of forms of attr_encrypted that protect less.
func (t *Table) fieldNotes() (notes []Note) {
	var unbound []string
	for _, f := range t.Schema.Fields {
		if t.BoundTo(f.Column, f.AssociatedData) == "nothing" {
			unbound = append(unbound, f.Column)
		}
		if o := f.AttrEncrypted; o != nil {
			notes = append(notes, attrEncryptedNotes(f.Column, o)...)
		}
	}
	for _, f := range t.Schema.Files {
		if t.BoundTo(f.Column, f.AssociatedData) == "nothing" {
			unbound = append(unbound, f.Column)
		}
	}
	for _, a := range t.Schema.Attachments {
		if t.BoundTo(a.Name, a.AssociatedData) == "nothing" {
			unbound = append(unbound, a.Name)
		}
	}
	if len(unbound) > 1 {
		notes = append(notes, note("", "bound to nothing: %s: whoever writes to the database can exchange those that one row has under one key",
			strings.Join(unbound, ", ")))
	}
	return notes
}

func attrEncryptedNotes(column string, o *attrencrypted.Options) (notes []Note) {
	if o.AllowCBC {
		notes = append(notes, warning(column, "CBC is allowed, which nothing authenticates"))
	}
	if o.AllowIgnoredIV {
		notes = append(notes, warning(column, "values whose IV was ignored are allowed, which hide next to nothing"))
	}
	if o.Mode == attrencrypted.SingleIVAndSalt {
		notes = append(notes, warning(column, "one IV for all values, so equal ones have equal ciphertexts"))
	}
	return notes
}

// BoundTo tells to what a ciphertext is bound.
func (t *Table) BoundTo(column, associatedData string) string {
	switch {
	case associatedData != "":
		return "its own text"
	case t.Schema.Binding == rowseal.BindNone:
		return "nothing"
	default:
		return t.Schema.Binding.String()
	}
}

// Format tells how a field is sealed.
func Format(f rowseal.Field) string {
	if o := f.AttrEncrypted; o != nil {
		return strings.Join([]string{"attr_encrypted", withDefault(o.Algorithm, attrencrypted.DefaultAlgorithm), withDefault(string(o.Mode), string(attrencrypted.PerAttributeIV))}, " ")
	}
	text := withDefault(string(f.Algorithm), string(lockbox.AESGCM))
	if f.Format.Padding > 0 {
		text += fmt.Sprintf(", padded to %d", f.Format.Padding)
	}
	if f.Format.Raw {
		text += ", raw"
	}
	return text
}
