package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// keyPrefix is how the gem names key columns: the rest is the key's name.
const keyPrefix = "encrypted_kms_key"

// Version is one KMS key of a keyring.
type Version struct {
	Number   int
	KeyID    string
	Encoding kms.ContextEncoding // nil: kms.Context.Canonical
	legacy   *rowseal.Legacy
	line     int
	path     string
}

// Master is a master key of the application's own.
type Master struct {
	Literal bool   // it stands in the file
	KeyID   string // of the KMS key that wraps it; "": it comes as it is
	key     secret // hex, where it comes as it is
	fixed   bool   // nothing is derived of it
	missing *fault // what its environment variable lacks, told when somebody needs the key
	wrapped string // v1: and base64
	ring    []Version
	context kms.Context
	line    int
	path    string
}

// secret is a text that nothing prints.
type secret func() string

func keep(text string) secret { return func() string { return text } }

func (t *Table) readKey(r *reader, column string, n *node) {
	s := r.section(n, "name", "versions", "context", "bytes")
	t.lines[column] = n.line
	k := rowseal.KeyColumn{Column: column, Bytes: s.flag("bytes", false), Versions: map[int]rowseal.ContextRule{}}
	switch rest, ok := strings.CutPrefix(column, keyPrefix); {
	case s.has("name"):
		k.Name = t.emptyName(s)
	case ok && (rest == "" || len(rest) > 1 && rest[0] == '_'):
		k.Name = strings.TrimPrefix(rest, "_")
	default:
		r.fault(n, `needs a name, which is part of contexts, since the column is not %s or %[1]s_NAME; name: "" is that of a table's main key`, keyPrefix)
	}
	k.Context.Names = s.texts("context")
	for _, item := range s.list("versions") {
		version, context := readVersion(r, item)
		if context != nil {
			k.Versions[version.Number] = rowseal.ContextRule{Names: context}
		}
		if slices.ContainsFunc(t.Versions[k.Name], func(v Version) bool { return v.Number == version.Number }) {
			r.fault(item, "version %d is there twice", version.Number)
		}
		t.Versions[k.Name] = append(t.Versions[k.Name], version)
	}
	if !s.has("versions") && n.kind == mapping {
		r.fault(n, "needs versions, as in versions: [{version: 1, key_id: vault/my-key}]")
	}
	t.Schema.Keys = append(t.Schema.Keys, k)
}

// emptyName reads a name that may be "".
func (t *Table) emptyName(s section) string {
	if n := s.values["name"]; n.kind == text && n.text == "" {
		return ""
	}
	return s.name("name")
}

func readVersion(r *reader, n *node) (Version, map[string]string) {
	s := r.section(n, "version", "key_id", "context", "encoding", "legacy")
	v := Version{Number: s.number("version", 1), KeyID: s.text("key_id"), line: n.line, path: n.path}
	if n.kind == mapping {
		for _, key := range []string{"version", "key_id"} {
			if !s.has(key) {
				r.fault(n, "needs %s, as in {version: 1, key_id: vault/my-key}", key)
			}
		}
	}
	v.Encoding = readEncoding(s)
	v.legacy = readLegacy(s)
	return v, s.texts("context")
}

// readEncoding reads how contexts are written for the KMS: rails, ruby, or the names in the order in which they were sent.
func readEncoding(s section) kms.ContextEncoding {
	n := s.values["encoding"]
	if n == nil {
		return nil
	}
	if n.kind != sequence {
		if s.word("encoding", "rails", "ruby") == "ruby" {
			return kms.UnescapedJSON
		}
		return nil
	}
	var fields []kms.JSONField
	for _, item := range n.items {
		if item.kind != mapping {
			fields = append(fields, kms.JSONField{Name: s.plain(item)})
			continue
		}
		one := s.section(item, "name", "integer")
		fields = append(fields, kms.JSONField{Name: one.name("name"), Integer: one.flag("integer", false)})
	}
	return kms.OrderedJSON(fields...)
}

func readLegacy(s section) *rowseal.Legacy {
	n := s.values["legacy"]
	switch {
	case n == nil, n.kind == boolean && !s.flag("legacy", false):
		return nil
	case n.kind == boolean:
		return &rowseal.Legacy{}
	}
	own := s.section(n, "encoding", "empty_context")
	return &rowseal.Legacy{Encoding: readEncoding(own), EmptyContext: own.flag("empty_context", false)}
}

func (t *Table) readMaster(r *reader, name string, n *node) {
	s := r.section(n, "key", "derive", "wrapped", "key_id", "version", "context")
	m := Master{line: n.line, path: n.path}
	if name == "" || strings.HasPrefix(name, ownName) {
		r.fault(n, "%q is no name for a master key", name)
	}
	switch {
	case s.has("key") == s.has("wrapped") && n.kind == mapping:
		r.fault(n, `needs one of key ("${LOCKBOX_MASTER_KEY}", 64 hex digits) and wrapped (what rowseal encrypt printed, with its key_id)`)
	case s.has("key"):
		for _, other := range []string{"key_id", "version", "context"} {
			if s.has(other) {
				r.fault(s.values[other], "goes with wrapped, not with key")
			}
		}
		m.readHex(r, s.values["key"], "is not a key: it must have 64 hex digits")
		m.fixed = !s.flag("derive", true)
	case s.has("wrapped"):
		if s.has("derive") {
			r.fault(s.values["derive"], "goes with key, not with wrapped")
		}
		m.readWrapped(s)
	}
	t.Masters[name] = m
	t.Schema.MasterKeys = append(t.Schema.MasterKeys, name)
}

func (m *Master) readWrapped(s section) {
	m.wrapped = m.late(s.reader, s.values["wrapped"], func(string) prose { return "" })
	m.KeyID, m.context = s.text("key_id"), s.texts("context")
	for name, value := range m.context {
		if strings.ContainsAny(value, "{}") {
			s.fault(s.values["context"], "%s must be a literal: a master key belongs to no row", name)
		}
	}
	number := s.number("version", 1)
	if !s.has("version") {
		number = 1
	}
	if !s.has("key_id") {
		s.fault(s.node, "wrapped needs the key_id of the KMS key that wraps it")
	}
	m.ring = []Version{{Number: number, KeyID: m.KeyID, line: m.line, path: m.path}}
}

// readHex reads a key without ever repeating it.
func (m *Master) readHex(r *reader, n *node, unfit prose) {
	m.Literal = !strings.Contains(n.text, "${")
	m.key = keep(m.late(r, n, func(digits string) prose {
		if _, err := rowseal.ParseMasterKey(digits); err == nil {
			return ""
		}
		return unfit + prose(fmt.Sprintf("; it has %d characters", utf8.RuneCountInString(digits)))
	}))
}

// late reads a text. What is wrong with an environment variable is kept until somebody needs the key: who opens one column
// need not have the keys of others.
func (m *Master) late(r *reader, n *node, unfit func(string) prose) string {
	own := &reader{getenv: r.getenv}
	value, ok := own.expand(n)
	if wrong := unfit(value); ok && wrong != "" {
		own.fault(n, "%s", wrong)
	}
	switch {
	case r.every, !strings.Contains(n.text, "${"):
		r.faults = append(r.faults, own.faults...)
	case len(own.faults) > 0:
		m.missing = &own.faults[0]
	}
	return value
}
