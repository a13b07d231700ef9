package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
)

var (
	indexAlgorithms = []string{
		string(blindindex.Argon2id), string(blindindex.Argon2i), string(blindindex.PBKDF2SHA256), string(blindindex.Scrypt),
		string(blindindex.HMACSHA256),
	}
	normalizers = []string{"lower", "strip", "squish", "digits", "presence"}
)

func (t *Table) readIndex(r *reader, column string, n *node) {
	s := r.section(n, "of", "join", "normalize", "algorithm", "size", "slow", "cost", "encode", "legacy", "master_key", "key_table",
		"key_column", "previous")
	t.lines[column] = n.line
	before := len(r.faults)
	if n.kind != mapping {
		return
	}
	ix := rowseal.Index{Column: column, Of: t.readOf(s), Join: s.joiner(), Options: blindindex.Options{
		Algorithm: blindindex.Algorithm(s.word("algorithm", indexAlgorithms...)), Size: s.number("size", 1), Slow: s.flag("slow", false),
		Normalize: readNormalize(s), Raw: !s.flag("encode", true), Legacy: s.flag("legacy", false), Cost: readCost(s),
	}}
	ix.MasterKey = t.indexMaster(s, column)
	ix.KeyTable, ix.KeyColumn = s.name("key_table"), s.name("key_column")
	for i, item := range s.list("previous") {
		p := s.section(item, "master_key", "key_table", "key_column")
		ix.Previous = append(ix.Previous, rowseal.IndexKey{
			MasterKey: t.indexMaster(p, column+", previous "+strconv.Itoa(i+1)), KeyTable: p.name("key_table"), KeyColumn: p.name("key_column"),
		})
	}
	if err := checkIndexOptions(ix.Options); err != nil && len(r.faults) == before {
		r.fault(n, "%s", prose(Wording(err)))
	}
	t.Schema.Indexes = append(t.Schema.Indexes, ix)
}

// checkIndexOptions tries the options under a key that is nobody's. What FIPS 140-3 refuses is right elsewhere.
func checkIndexOptions(o blindindex.Options) error {
	_, err := blindindex.New(make([]byte, blindindex.KeySize), &o)
	if errors.Is(err, blindindex.ErrNotFIPS) {
		return nil
	}
	return err
}

// notFIPS tells that an index cannot be computed, because the program runs under GODEBUG=fips140=only.
func notFIPS(ix rowseal.Index) bool {
	_, err := blindindex.New(make([]byte, blindindex.KeySize), &ix.Options)
	return errors.Is(err, blindindex.ErrNotFIPS)
}

func (t *Table) readOf(s section) []string {
	of := s.names("of")
	var known []string
	for _, f := range t.Schema.Fields {
		known = append(known, f.Column)
	}
	if !s.has("of") {
		s.fault(s.node, "needs the field that it indexes, as in of: email_ciphertext")
	}
	for _, column := range of {
		if column != "" && !slices.Contains(known, column) {
			s.fault(s.values["of"], "%q is none of the table's fields%s", column, instead(column, known))
		}
	}
	return of
}

// joiner reads the text between several fields, which may be white space.
func (s section) joiner() string {
	if n := s.values["join"]; n != nil && s.isText(n) {
		return n.text
	}
	return ""
}

// readNormalize reads names, as a list or joined by +.
func readNormalize(s section) string {
	names := strings.Split(strings.Join(s.names("normalize"), "+"), "+")
	for _, name := range names {
		if name != "" && !slices.Contains(normalizers, name) {
			s.fault(s.values["normalize"], "%q is unknown%s", name, instead(name, normalizers))
		}
	}
	return strings.Join(names, "+")
}

func readCost(s section) blindindex.Cost {
	n := s.values["cost"]
	if n == nil {
		return blindindex.Cost{}
	}
	c := s.section(n, "t", "m", "iterations", "n", "r", "p")
	return blindindex.Cost{
		T: c.number("t", 1), M: c.number("m", 1), Iterations: c.number("iterations", 1), N: c.number("n", 2), R: c.number("r", 1), P: c.number("p", 1),
	}
}

// ownName begins the names of keys that stand at their index. No name in the file is like it.
const ownName = "of index "

// indexMaster reads the name of a master key, or a key itself, which gets a name after the index.
func (t *Table) indexMaster(s section, column string) string {
	n := s.values["master_key"]
	switch {
	case n == nil && slices.Contains(t.Schema.MasterKeys, rowseal.DefaultIndexKey):
		return ""
	case n == nil:
		s.fault(s.node, `needs a master_key: "${BLIND_INDEX_MASTER_KEY}", or the name of one of master_keys`)
		return ""
	case n.kind == text && slices.Contains(t.Schema.MasterKeys, n.text):
		return n.text
	}
	name := ownName + column
	m := Master{line: n.line, path: n.path}
	m.readHex(s.reader, n, "is neither a key of 64 hex digits nor the name of one of master_keys"+amongMasters(t.Schema.MasterKeys))
	t.Masters[name] = m
	t.Schema.MasterKeys = append(t.Schema.MasterKeys, name)
	return name
}

func (t *Table) refusedByFIPS(column string) bool {
	ix, err := t.Index(column)
	return err == nil && notFIPS(ix)
}
