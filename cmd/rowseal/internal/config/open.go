package config

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/lockbox/railsyaml"
	"github.com/rowseal/rowseal/store"
)

// Opener is what a Table takes from its surroundings.
type Opener struct {
	// Key opens a KMS key by its id, the same one each time, without a request. It is kms.Open, or the like.
	Key func(id string) (*kms.Key, error)
	// OnInsecure is told of each value that opened and whose form is not safe.
	OnInsecure func(rowseal.InsecureForm)
}

// Part is the part of a table that somebody asked for. What is not in it is neither opened nor needs a key.
type Part struct {
	Keys    []string // names of keys, data keys and master keys
	Indexes []string // columns
}

// All is the whole table.
func (t *Table) All() Part {
	var p Part
	for _, k := range t.Schema.Keys {
		p.Keys = append(p.Keys, k.Name)
	}
	p.Keys = append(p.Keys, t.Schema.MasterKeys...)
	for _, ix := range t.Schema.Indexes {
		p.Indexes = append(p.Indexes, ix.Column)
	}
	return p
}

// Open returns the part as a rowseal.Table. A wrapped master key that the part uses costs a request to its KMS.
func (t *Table) Open(ctx context.Context, o Opener, p Part) (*rowseal.Table, error) {
	return t.open(o, t.part(p), func(name string) (*rowseal.MasterKey, error) { return t.MasterKey(ctx, o, name) })
}

// Check finds what is wrong with the table as a whole, without any request.
func (t *Table) Check(o Opener) error {
	_, err := t.open(o, t.usable(), func(name string) (*rowseal.MasterKey, error) {
		return t.master(o, name, func(Master, *rowseal.Keyring) (*rowseal.MasterKey, error) { return nobodys(false) })
	})
	return err
}

// Outline returns the whole table with master keys that are nobody's, without any request: it can be compared with the
// database, where master keys are missing, too.
func (t *Table) Outline(o Opener) (*rowseal.Table, error) {
	return t.open(o, t.usable(), func(name string) (*rowseal.MasterKey, error) { return nobodys(t.Masters[name].fixed) })
}

// usable is the whole table but for the indexes that FIPS 140-3 refuses.
func (t *Table) usable() rowseal.Schema {
	whole := t.All()
	whole.Indexes = slices.DeleteFunc(whole.Indexes, t.refusedByFIPS)
	return t.part(whole)
}

// nobodys makes a master key.
func nobodys(fixed bool) (*rowseal.MasterKey, error) {
	key := make([]byte, lockbox.KeySize)
	rand.Read(key)
	if fixed {
		return rowseal.NewFixedKey(key)
	}
	return rowseal.NewMasterKey(key)
}

// MasterKey opens a master key. One that a KMS wraps costs a request.
func (t *Table) MasterKey(ctx context.Context, o Opener, name string) (*rowseal.MasterKey, error) {
	return t.master(o, name, func(m Master, ring *rowseal.Keyring) (*rowseal.MasterKey, error) {
		return rowseal.OpenMasterKey(ctx, ring, m.wrapped, m.context)
	})
}

func (t *Table) master(o Opener, name string, unwrap func(Master, *rowseal.Keyring) (*rowseal.MasterKey, error)) (*rowseal.MasterKey, error) {
	m := t.Masters[name]
	if m.missing != nil {
		return nil, &Error{t.file.Name, []fault{*m.missing}}
	}
	key, err := m.open(func() (*rowseal.MasterKey, error) {
		ring, err := t.ring(o, m.ring)
		if err != nil {
			return nil, err
		}
		return unwrap(m, ring)
	})
	var told *placed
	if err != nil && !errors.As(err, &told) {
		err = t.file.at(m.line, m.path, err)
	}
	return key, err
}

// Unopened are the errors of the KMS keys that do not open, by the versions that name them.
func (t *Table) Unopened(o Opener) (all []error) {
	for _, p := range t.unopened(o) {
		all = append(all, p)
	}
	return all
}

func (t *Table) unopened(o Opener) (all []*placed) {
	var versions []Version
	for _, k := range t.Schema.Keys {
		versions = append(versions, t.Versions[k.Name]...)
	}
	for _, name := range t.Schema.MasterKeys {
		versions = append(versions, t.Masters[name].ring...)
	}
	for _, v := range versions {
		if v.KeyID == "" {
			continue // told already
		}
		if _, err := o.Key(v.KeyID); err != nil {
			all = append(all, t.file.at(v.line, v.path, err))
		}
	}
	return all
}

// examine finds what Check does, and more than the first mistake.
func (t *Table) examine(o Opener) (all []fault) {
	for _, p := range t.unopened(o) {
		all = append(all, p.fault)
	}
	if t.wrong || all != nil {
		return all
	}
	err := t.Check(o)
	var wrong *placed
	switch {
	case errors.As(err, &wrong):
		return []fault{wrong.fault}
	case err != nil:
		return []fault{{t.line, err.Error()}}
	}
	return nil
}

func (t *Table) open(o Opener, s rowseal.Schema, master func(name string) (*rowseal.MasterKey, error)) (*rowseal.Table, error) {
	opts := &rowseal.Options{
		Keys: map[string]rowseal.KeyOptions{}, MasterKeys: map[string]*rowseal.MasterKey{}, Stores: map[string]store.Store{},
		Codecs: map[lockbox.Type]lockbox.Codec[any]{lockbox.Hash: hashCodec{}, lockbox.Array: arrayCodec{}}, OnInsecure: o.OnInsecure,
	}
	for _, k := range s.Keys {
		ring, err := t.ring(o, t.Versions[k.Name])
		if err != nil {
			return nil, err
		}
		opts.Keys[k.Name] = rowseal.KeyOptions{Keyring: ring}
	}
	for _, name := range s.MasterKeys {
		key, err := master(name)
		if err != nil {
			return nil, err
		}
		opts.MasterKeys[name] = key
	}
	for _, f := range s.Files {
		opts.Stores[f.Column] = store.Dir{Path: t.Stores[f.Column]}
	}
	table, err := rowseal.NewTable(s, nil, opts)
	if err != nil {
		return nil, &placed{t.file.Name, fault{t.lineOf(err.Error()), join("tables", s.Table) + ": " + inSchema(err)}, err}
	}
	return table, nil
}

func (m Master) open(unwrap func() (*rowseal.MasterKey, error)) (*rowseal.MasterKey, error) {
	if m.key == nil {
		return unwrap()
	}
	key, err := lockbox.ParseKey(m.key())
	if err != nil {
		return nil, err
	}
	if m.fixed {
		return rowseal.NewFixedKey(key)
	}
	return rowseal.NewMasterKey(key)
}

func (t *Table) ring(o Opener, versions []Version) (*rowseal.Keyring, error) {
	var all []rowseal.Version
	for _, v := range versions {
		key, err := o.Key(v.KeyID)
		if err != nil {
			return nil, t.file.at(v.line, v.path, err)
		}
		all = append(all, rowseal.Version{Number: v.Number, Key: key, Encoding: v.Encoding, Legacy: v.legacy})
	}
	ring, err := rowseal.NewKeyring(all...)
	if err != nil {
		return nil, t.file.at(versions[0].line, versions[0].path, err)
	}
	return ring, nil
}

// Storage is what the file says of Active Storage, which it does if a table has attachments.
func (f *File) Storage() (*activestorage.Storage, error) {
	services := map[string]store.Store{}
	for name, path := range f.Services {
		services[name] = store.Dir{Path: path}
	}
	one := sortedKeys(services)[0] // which one would be written to does not matter: nothing is
	return activestorage.New(one, services[one], activestorage.Dialect(f.Database.Dialect), &activestorage.Options{Others: services})
}

// part is the Schema of a part: its keys, what is sealed under them, and what its indexes need.
func (t *Table) part(p Part) rowseal.Schema {
	s := t.Schema
	s.Indexes = keepIf(s.Indexes, func(ix rowseal.Index) bool { return slices.Contains(p.Indexes, ix.Column) })
	wanted := func(key string) bool { return slices.Contains(p.Keys, key) }
	indexed := func(column string) bool {
		return slices.ContainsFunc(s.Indexes, func(ix rowseal.Index) bool { return slices.Contains(ix.Of, column) })
	}
	s.Fields = keepIf(s.Fields, func(f rowseal.Field) bool { return wanted(f.Key) || indexed(f.Column) })
	s.Files = keepIf(s.Files, func(f rowseal.FileColumn) bool { return wanted(f.Key) })
	s.Attachments = keepIf(s.Attachments, func(a rowseal.Attachment) bool { return wanted(a.Key) })
	used := map[string]bool{}
	for _, f := range s.Fields {
		used[f.Key] = true
		for _, v := range f.Previous {
			used[v.MasterKey] = used[v.MasterKey] || v.MasterKey != ""
		}
	}
	for _, f := range s.Files {
		used[f.Key] = true
	}
	for _, a := range s.Attachments {
		used[a.Key] = true
	}
	masters := map[string]bool{}
	for _, ix := range s.Indexes {
		for _, k := range append([]rowseal.IndexKey{ix.IndexKey}, ix.Previous...) {
			masters[withDefault(k.MasterKey, rowseal.DefaultIndexKey)] = true
		}
	}
	s.Keys = keepIf(s.Keys, func(k rowseal.KeyColumn) bool { return used[k.Name] || wanted(k.Name) })
	s.Unsealed = slices.Concat(s.Unsealed, t.others(&s))
	s.MasterKeys = keepIf(s.MasterKeys, func(name string) bool { return used[name] || masters[name] })
	return s
}

// others are the table's sealed columns that a part does not have: nothing in them is under the part's data keys.
func (t *Table) others(part *rowseal.Schema) []string {
	has := (&Table{Schema: *part}).Columns()
	return keepIf(t.Columns(), func(column string) bool { return !slices.Contains(has, column) })
}

func keepIf[T any](all []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(one T) bool { return !keep(one) })
}

// at names the place in the file at which something is wrong.
func (f *File) at(line int, path string, err error) *placed {
	return &placed{f.Name, fault{line, path + ": " + Wording(err)}, err}
}

// placed is an error in the words of the file.
type placed struct {
	file  string
	fault fault
	err   error
}

func (p *placed) Error() string { return (&Error{p.file, []fault{p.fault}}).Error() }
func (p *placed) Unwrap() error { return p.err }

// inYAML says in the words of the file what package rowseal says in Go's.
var inYAML = []struct {
	find *regexp.Regexp
	say  string
}{
	{regexp.MustCompile(`^(?:rowseal|lockbox|blindindex): (?:schema of table "[^"]*": )?`), ""},
	{regexp.MustCompile(`: invalid request$`), ""},
	{regexp.MustCompile(`: (?:lockbox|blindindex|attrencrypted): `), ": "},
	{regexp.MustCompile(`\bBindRow\b`), "binding: row"},
	{regexp.MustCompile(`\bBindNone(?: for the table)?`), "binding: none"},
	{regexp.MustCompile(`\bBindColumn\b`), "binding: column"},
	{regexp.MustCompile(`\bKeyTable and KeyAttribute\b`), "key_table and key_attribute"},
	{regexp.MustCompile(`\bOptions\.`), ""},
	{hexRun, "…"},
}

// Wording is an error of package rowseal in the words of the file.
func Wording(err error) string {
	text := err.Error()
	for _, w := range inYAML {
		text = w.find.ReplaceAllString(text, w.say)
	}
	return text
}

// inSchema is the wording of an error that names columns, any of which may be a key that stands in the wrong place.
func inSchema(err error) string { return longWord.ReplaceAllString(Wording(err), "…") }

// hashCodec reads and writes the hashes of Rails.
type hashCodec struct{}

func (hashCodec) Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case map[string]any:
		return railsyaml.Hash(v).AppendSealed(dst)
	case railsyaml.Hash:
		return v.AppendSealed(dst)
	}
	return nil, fmt.Errorf("a hash is a map[string]any, not a %T", v)
}

func (hashCodec) Decode(b []byte) (any, error) {
	var h railsyaml.Hash
	err := h.DecodeSealed(b)
	return map[string]any(h), err
}

// arrayCodec reads and writes the arrays of Rails.
type arrayCodec struct{}

func (arrayCodec) Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []any:
		return railsyaml.Array(v).AppendSealed(dst)
	case railsyaml.Array:
		return v.AppendSealed(dst)
	}
	return nil, fmt.Errorf("an array is a []any, not a %T", v)
}

func (arrayCodec) Decode(b []byte) (any, error) {
	var a railsyaml.Array
	err := a.DecodeSealed(b)
	return []any(a), err
}
