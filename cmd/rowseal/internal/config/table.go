package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Table is a table of the file.
type Table struct {
	Schema rowseal.Schema
	// Writers is rails where someone who does not compare the key column writes too; else it is rowseal.
	Writers string
	// RecordType is the class by which Active Storage knows the rows.
	RecordType string
	// Versions are the keyrings, by the key's name; the first of each seals.
	Versions map[string][]Version
	// Migrating are the columns whose values move into fields.
	Migrating []Move
	// Masters are the master keys, by name.
	Masters map[string]Master
	// Stores are the directories of file columns, by column.
	Stores map[string]string

	file  *File
	lines map[string]int // of columns, for faults that package rowseal finds
	line  int
	wrong bool // a mistake has been told
}

func (f *File) readTable(r *reader, name string, n *node) *Table {
	before := len(r.faults)
	s := r.section(n, "model", "primary_key", "binding", "writers", "record_type", "master_keys", "keys", "fields", "files",
		"attachments", "indexes", "unsealed")
	t := &Table{
		file: f, line: n.line, lines: map[string]int{}, Versions: map[string][]Version{}, Masters: map[string]Master{},
		Stores: map[string]string{},
	}
	t.Schema.Table = name
	t.Schema.Model = s.name("model")
	if t.Schema.PrimaryKey = s.name("primary_key"); !s.has("primary_key") {
		t.Schema.PrimaryKey = "id"
	}
	t.Schema.Binding = map[string]rowseal.Binding{"row": rowseal.BindRow, "none": rowseal.BindNone}[s.word("binding", "column", "row", "none")]
	if t.Writers = s.word("writers", "rowseal", "rails"); t.Writers == "" {
		t.Writers = "rowseal"
	}
	if t.RecordType = s.name("record_type"); t.RecordType == "" && !strings.Contains(t.Schema.Model, "{") {
		t.RecordType = t.Schema.Model
	}
	t.Schema.Unsealed = s.names("unsealed")
	s.each("master_keys", func(name string, n *node) { t.readMaster(r, name, n) })
	s.each("keys", func(column string, n *node) { t.readKey(r, column, n) })
	s.each("fields", func(column string, n *node) { t.readField(r, column, n) })
	s.each("files", func(column string, n *node) { t.readFile(r, column, n) })
	s.each("attachments", func(name string, n *node) { t.readAttachment(r, name, n) })
	s.each("indexes", func(column string, n *node) { t.readIndex(r, column, n) })
	t.checkMoves(r)
	if n.kind == mapping && len(r.faults) == before {
		t.validate(r, n)
	}
	t.wrong = len(r.faults) > before
	return t
}

// validate has package rowseal look at the whole, once nothing is wrong with the parts.
func (t *Table) validate(r *reader, n *node) {
	if t.Schema.Model == "" && slices.ContainsFunc(t.Schema.Keys, func(k rowseal.KeyColumn) bool { return k.Context.Names == nil }) {
		r.fault(n, "needs a model, which is the model_name of the encryption context, as in model: User; or give each key a context")
		return
	}
	if err := t.Schema.Validate(); err != nil {
		r.faultAt(t.lineOf(Wording(err)), n.path, "%s", prose(inSchema(err)))
	}
}

// lineOf finds the line of the column that a message of package rowseal names first.
func (t *Table) lineOf(message string) int {
	for word := range strings.FieldsFuncSeq(message, func(c rune) bool { return strings.ContainsRune(` ,;:"()`, c) }) {
		if line, ok := t.lines[word]; ok {
			return line
		}
	}
	return t.line
}

// keyOf reads the key option of something sealed: the column of a data key, or the name of a master key.
func (t *Table) keyOf(s section) string {
	if n := s.values["key"]; n != nil && (hexRun.MatchString(n.text) || strings.Contains(n.text, "${")) {
		s.fault(n, "%s and write key: NAME here", misplaced)
		return ""
	}
	named := s.name("key")
	var known []string
	for _, k := range t.Schema.Keys {
		switch {
		case k.Column == named:
			return k.Name
		case k.Name == named && named != "":
			s.fault(s.values["key"], "%q is the name of a key column; write the column itself, %s", named, k.Column)
			return ""
		}
		known = append(known, k.Column)
	}
	known = append(known, t.Schema.MasterKeys...)
	switch {
	case slices.Contains(t.Schema.MasterKeys, named):
		return named
	case !s.has("key"):
		s.fault(s.node, "needs a key: the column of its data key%s", among(known))
	case named != "":
		s.fault(s.values["key"], "%q is neither a key column nor a master key of the table%s", named, instead(named, known))
	}
	return ""
}

func among(known []string) prose {
	if len(known) == 0 {
		return "; the table has none under keys"
	}
	return "; there are " + listed(known)
}

// Kind is what a column is to the configuration.
type Kind int

// The kinds of columns.
const (
	Plain   Kind = iota // not sealed, or an index
	Sealed              // a field or a file
	KeyPart             // a data key, an IV or a salt, which say nothing to a reader
)

// KindOf tells what a column is.
func (t *Table) KindOf(column string) Kind {
	for _, k := range t.Schema.Keys {
		if k.Column == column {
			return KeyPart
		}
	}
	for _, f := range t.Schema.Fields {
		switch column {
		case f.Column:
			return Sealed
		case f.IV, f.Salt:
			return KeyPart
		}
	}
	if slices.ContainsFunc(t.Schema.Files, func(f rowseal.FileColumn) bool { return f.Column == column }) {
		return Sealed
	}
	return Plain
}

// Columns lists every column of the database that the table names.
func (t *Table) Columns() []string {
	all := append([]string{t.Schema.PrimaryKey}, t.contextColumns()...)
	for _, k := range t.Schema.Keys {
		all = append(all, k.Column)
	}
	for _, f := range t.Schema.Fields {
		for _, c := range []string{f.Column, f.IV, f.Salt} {
			if c != "" {
				all = append(all, c)
			}
		}
	}
	for _, f := range t.Schema.Files {
		all = append(all, f.Column)
	}
	for _, ix := range t.Schema.Indexes {
		all = append(all, ix.Column)
	}
	return all
}

// Contexts are the context rules of a key column, one for each version of its keyring.
func (t *Table) Contexts(k rowseal.KeyColumn) []rowseal.ContextRule {
	var all []rowseal.ContextRule
	for _, v := range t.Versions[k.Name] {
		rule, ok := k.Versions[v.Number]
		if !ok {
			rule = k.Context
		}
		if rule.Names == nil { // the default, see rowseal.KeyColumn
			rule.Names = map[string]string{"model_name": t.Schema.Model, "model_id": "{" + t.Schema.PrimaryKey + "}"}
			if k.Name != "" && t.Schema.Binding != rowseal.BindNone {
				rule.Names["key_name"] = k.Name
			}
		}
		all = append(all, rule)
	}
	return all
}

// ContextOf returns the context that a rule gives the row with this primary key. Entries that use another column are left out, and
// without an id those that use the primary key too; complete tells that none was.
func (t *Table) ContextOf(rule rowseal.ContextRule, id string) (c kms.Context, complete bool) {
	c, complete = kms.Context{}, true
	for name, text := range rule.Names {
		column, isColumn := columnIn(text)
		switch {
		case !isColumn:
			c[name] = text
		case column == t.Schema.PrimaryKey && id != "":
			c[name] = id
		default:
			complete = false
		}
	}
	return c, complete
}

// contextColumns lists the columns that contexts use.
func (t *Table) contextColumns() (all []string) {
	for _, k := range t.Schema.Keys {
		for _, rule := range t.Contexts(k) {
			all = append(all, columnsOf(rule.Names)...)
		}
	}
	return all
}

// columnsOf lists the columns that a context uses.
func columnsOf(names map[string]string) []string {
	var all []string
	for _, name := range sortedKeys(names) {
		if column, ok := columnIn(names[name]); ok {
			all = append(all, column)
		}
	}
	return all
}

func columnIn(text string) (string, bool) {
	inner, ok := strings.CutPrefix(text, "{")
	inner, end := strings.CutSuffix(inner, "}")
	return inner, ok && end
}

// KeyNamed finds a key by its name or column.
func (t *Table) KeyNamed(named string) (string, error) {
	var known, names []string
	for _, k := range t.Schema.Keys {
		if k.Column == named || k.Name == named {
			return k.Name, nil
		}
		names = append(names, k.Name)
		known = append(known, k.Column)
	}
	for _, name := range t.Schema.MasterKeys {
		if name == named {
			return name, nil
		}
		if !strings.HasPrefix(name, ownName) {
			known = append(known, name)
		}
	}
	found := meant(named, names)
	if found == "" {
		found = instead(named, known)
	}
	return "", fmt.Errorf("table %s has no key %q%s", t.Schema.Table, shown(named), found)
}

// Index finds an index by its column.
func (t *Table) Index(column string) (rowseal.Index, error) {
	var known []string
	for _, ix := range t.Schema.Indexes {
		if ix.Column == column {
			return ix, nil
		}
		known = append(known, ix.Column)
	}
	if known == nil {
		return rowseal.Index{}, fmt.Errorf("table %s has no index", t.Schema.Table)
	}
	return rowseal.Index{}, fmt.Errorf("table %s has no index %q%s", t.Schema.Table, shown(column), instead(column, known))
}

// Field finds a field by its column; the zero Field is none.
func (t *Table) Field(column string) rowseal.Field {
	for _, f := range t.Schema.Fields {
		if f.Column == column {
			return f
		}
	}
	return rowseal.Field{}
}

// NoFile says that nothing sealed has this name.
func (t *Table) NoFile(named string) error {
	var known []string
	for _, f := range t.Schema.Files {
		known = append(known, f.Column)
	}
	for _, a := range t.Schema.Attachments {
		known = append(known, a.Name)
	}
	for _, f := range t.Schema.Fields {
		known = append(known, f.Column)
	}
	return fmt.Errorf("table %s has nothing sealed that is called %q%s", t.Schema.Table, shown(named), instead(named, known))
}
