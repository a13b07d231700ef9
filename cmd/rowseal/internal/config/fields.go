package config

import (
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/lockbox"
)

// The words that options take.
var (
	types = []string{
		string(lockbox.String), string(lockbox.Binary), string(lockbox.Boolean), string(lockbox.Integer), string(lockbox.Float),
		string(lockbox.Decimal), string(lockbox.Date), string(lockbox.Datetime), string(lockbox.Time), string(lockbox.JSON),
		string(lockbox.Inet), string(lockbox.Hash), string(lockbox.Array),
	}
	algorithms = []string{string(lockbox.AESGCM), string(lockbox.XChaCha20), string(lockbox.XSalsa20)}
	modes      = []string{
		string(attrencrypted.PerAttributeIV), string(attrencrypted.PerAttributeIVAndSalt), string(attrencrypted.SingleIVAndSalt),
	}
	encryptors = []string{"aes-256-gcm", "aes-192-gcm", "aes-128-gcm", "aes-256-cbc", "aes-192-cbc", "aes-128-cbc"}
	marshals   = []string{string(attrencrypted.MarshalJSON), string(attrencrypted.MarshalBytes)}
	encodings  = []string{string(attrencrypted.MIME), string(attrencrypted.Strict), string(attrencrypted.Raw)}
)

// Those that only one of the codecs has.
var (
	lockboxOnly       = []string{"padding", "associated_data", "key_table", "key_attribute", "previous"}
	attrEncryptedOnly = []string{"iv", "salt", "mode", "marshal", "allow", "allow_empty", "encode_iv", "encode_salt"}
)

func (t *Table) readField(r *reader, column string, n *node) {
	s := r.section(n, slices.Concat([]string{"key", "type", "algorithm", "encode", "codec", "migrating"}, lockboxOnly, attrEncryptedOnly)...)
	t.lines[column] = n.line
	if n.kind != mapping {
		return
	}
	f := rowseal.Field{Column: column, Key: t.keyOf(s), Type: lockbox.Type(s.word("type", types...))}
	codec := s.word("codec", "lockbox", "attr_encrypted")
	only := attrEncryptedOnly
	if codec == "attr_encrypted" {
		only = lockboxOnly
	}
	for _, key := range only {
		if s.has(key) {
			r.fault(s.values[key], "is no option of codec: %s", withDefault(codec, "lockbox"))
		}
	}
	if codec == "attr_encrypted" {
		t.readAttrEncrypted(s, &f)
	} else {
		t.readLockbox(s, &f)
	}
	t.Schema.Fields = append(t.Schema.Fields, f)
	t.readMigrating(s, column)
}

func (t *Table) readMigrating(s section, column string) {
	n := s.values["migrating"]
	if n != nil && n.kind == boolean { // as Lockbox has it
		s.fault(n, "must be the name of the column whose values move into this field, as in migrating: email")
		return
	}
	if from := s.name("migrating"); from != "" {
		t.Migrating = append(t.Migrating, Move{From: from, To: column, node: n})
	}
}

// Move is a column whose values move into a field.
type Move struct {
	From, To string
	node     *node
}

// checkMoves refuses columns that nothing can be moved from. It comes when all of the table has been read.
func (t *Table) checkMoves(r *reader) {
	from := map[string]string{}
	for _, m := range t.Migrating {
		i := slices.IndexFunc(t.Schema.Fields, func(f rowseal.Field) bool { return f.Column == m.From })
		switch {
		case m.From == m.To:
			r.fault(m.node, "names the field itself; name the column whose values move into it")
		case from[m.From] != "":
			r.fault(m.node, "%s moves into %s already", m.From, from[m.From])
		case m.From == t.Schema.PrimaryKey:
			r.fault(m.node, "%s is the primary key, which must stay", m.From)
		case slices.ContainsFunc(t.Migrating, func(o Move) bool { return o.To == m.From }):
			r.fault(m.node, "values move into %s, too; move them there first, and then on", m.From)
		case slices.Contains(t.contextColumns(), m.From):
			r.fault(m.node, "%s is in an encryption context, which must be readable; take it out of the context first", m.From)
		case i < 0 && slices.Contains(t.Columns(), m.From):
			r.fault(m.node, "%s is no field: name a column that is not sealed, or a field of the table", m.From)
		case i >= 0 && t.Schema.Fields[i].Type != t.typeOf(m.To):
			r.fault(m.node, "%s has another type; give both fields the same", m.From)
		}
		from[m.From] = m.To
	}
}

func (t *Table) typeOf(column string) lockbox.Type {
	for _, f := range t.Schema.Fields {
		if f.Column == column {
			return f.Type
		}
	}
	return ""
}

// AsText is the table with its JSON as the text that it is, so that moving it changes none of its numbers.
func (t *Table) AsText() *Table {
	copied := *t
	copied.Schema.Fields = slices.Clone(t.Schema.Fields)
	for i := range copied.Schema.Fields {
		if f := &copied.Schema.Fields[i]; f.Type == lockbox.JSON {
			f.Type = lockbox.String
		}
	}
	return &copied
}

func withDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func (t *Table) readLockbox(s section, f *rowseal.Field) {
	f.Algorithm = lockbox.Algorithm(s.word("algorithm", algorithms...))
	f.Format.Padding = s.number("padding", 1)
	f.Format.Raw = !s.flag("encode", true)
	f.AssociatedData = s.text("associated_data")
	f.KeyTable, f.KeyAttribute = s.name("key_table"), s.name("key_attribute")
	for _, item := range s.list("previous") {
		p := s.section(item, "master_key", "key_table", "key_attribute", "algorithm", "padding", "associated_data")
		f.Previous = append(f.Previous, rowseal.PreviousVersion{
			MasterKey: t.masterName(p, "master_key"), KeyTable: p.name("key_table"), KeyAttribute: p.name("key_attribute"),
			Algorithm: lockbox.Algorithm(p.word("algorithm", algorithms...)), Padding: p.number("padding", 1),
			AssociatedData: p.text("associated_data"),
		})
	}
}

// masterName reads the name of a master key of the table. What else stands there may be a key, and is not repeated.
func (t *Table) masterName(s section, key string) string {
	n := s.values[key]
	if n == nil {
		return ""
	}
	if n.kind == text && slices.Contains(t.Schema.MasterKeys, n.text) {
		return n.text
	}
	if hexRun.MatchString(n.text) {
		s.fault(n, "%s and write %s: NAME here", misplaced, key)
		return ""
	}
	s.fault(n, "must be the name of one of master_keys%s", amongMasters(t.Schema.MasterKeys))
	return ""
}

func amongMasters(known []string) prose {
	known = slices.DeleteFunc(slices.Clone(known), func(name string) bool { return strings.HasPrefix(name, ownName) })
	if len(known) == 0 {
		return ", which the table has not"
	}
	return ": " + listed(known)
}

func (t *Table) readAttrEncrypted(s section, f *rowseal.Field) {
	o := &attrencrypted.Options{
		Mode: attrencrypted.Mode(s.word("mode", modes...)), Algorithm: s.word("algorithm", encryptors...),
		Marshal: attrencrypted.Marshal(s.word("marshal", marshals...)), AllowEmpty: s.flag("allow_empty", false),
		Encode: readEncode(s, "encode"), EncodeIV: readEncode(s, "encode_iv"), EncodeSalt: readEncode(s, "encode_salt"),
	}
	for _, form := range s.words("allow", "cbc", "ignored_iv") {
		o.AllowCBC = o.AllowCBC || form == "cbc"
		o.AllowIgnoredIV = o.AllowIgnoredIV || form == "ignored_iv"
	}
	f.AttrEncrypted = o
	f.IV, f.Salt = s.name("iv"), s.name("salt")
	if !s.has("iv") && o.Mode != attrencrypted.SingleIVAndSalt { // as the gem names them
		f.IV = f.Column + "_iv"
	}
	if !s.has("salt") && o.Mode == attrencrypted.PerAttributeIVAndSalt {
		f.Salt = f.Column + "_salt"
	}
}

// readEncode reads the gem's words, and its false.
func readEncode(s section, key string) attrencrypted.Encoding {
	if n := s.values[key]; n != nil && n.kind == boolean {
		if !s.flag(key, true) {
			return attrencrypted.Raw
		}
		return ""
	}
	return attrencrypted.Encoding(s.word(key, encodings...))
}

func (t *Table) readFile(r *reader, column string, n *node) {
	s := r.section(n, "key", "store", "algorithm", "padding", "associated_data")
	t.lines[column] = n.line
	if n.kind != mapping {
		return
	}
	t.Schema.Files = append(t.Schema.Files, rowseal.FileColumn{
		Column: column, Key: t.keyOf(s), Algorithm: lockbox.Algorithm(s.word("algorithm", algorithms...)),
		Padding: s.number("padding", 1), AssociatedData: s.text("associated_data"),
	})
	if !s.has("store") {
		r.fault(n, "needs the store that has the files, as in store: dir:storage")
		return
	}
	t.Stores[column] = t.file.directory(r, s.values["store"])
}

func (t *Table) readAttachment(r *reader, name string, n *node) {
	s := r.section(n, "key", "algorithm", "padding", "associated_data", "key_table", "key_attribute")
	t.lines[name] = n.line
	if n.kind != mapping {
		return
	}
	t.Schema.Attachments = append(t.Schema.Attachments, rowseal.Attachment{
		Name: name, Key: t.keyOf(s), Algorithm: lockbox.Algorithm(s.word("algorithm", algorithms...)),
		Padding: s.number("padding", 1), AssociatedData: s.text("associated_data"),
		KeyTable: s.name("key_table"), KeyAttribute: s.name("key_attribute"),
	})
	if t.RecordType == "" {
		r.fault(n, "needs the table's record_type, the class by which Active Storage knows the rows, since model names a column")
	}
}
