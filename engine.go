package rowseal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/store"
)

// engine seals and opens records by a Schema. It knows no Go struct.
type engine struct {
	schema   *Schema
	keys     []engineKey // in the order of schema.Keys, then of schema.MasterKeys
	boxOf    boxNumbers
	indexes  []engineIndex // in the order of schema.Indexes
	stores   []store.Store // in the order of schema.Files
	limit    int64         // of a file, in bytes
	report   func(InsecureForm)
	selected []bool // the keys that are seen; nil: all
	sealOnly bool   // of a Sealer: no data key is unwrapped
	err      error  // of Only
}

// engineKey is what the engine knows of a key column, or of a master key.
type engineKey struct {
	keyringChoice
	name    string
	rules   map[int]*readyRule // by the keyring versions that have their own; 0: the others
	fields  []int              // the indexes of the fields under it
	files   []int
	schemes []scheme // of the boxes of its data keys
	shares  []string // of the schemes: what may use the same box
	// master has the boxes of a master key, which is open from the start; nil for a key column.
	master *openedKey
	// early opens fields in rows that have no data key yet, under the master keys of their Previous; nil: none.
	early *openedKey
}

// rule is that of a wrapped key's version.
func (k *engineKey) rule(version int) *readyRule {
	if r := k.rules[version]; r != nil {
		return r
	}
	return k.rules[0]
}

// engineIndex is a blind index.
type engineIndex struct {
	fields   []int                 // of schema.Fields
	join     string                // between the texts of several
	indexers []*blindindex.Indexer // that of new indexes, then those of Previous
}

// keyringChoice is the keyring of a key column, or how a row chooses one.
type keyringChoice struct {
	ring    *Keyring
	choose  func(Row) (*Keyring, error)
	columns []string
}

// record is one row: its columns, data keys and what is sealed. A nil record stands for a nil row.
type record interface {
	value(column string) (any, error)
	pointer(column string) (any, error)
	key(i int) *DataKey
	field(i int) (sealedColumn, any) // and its codec
	iv(i int) *IV                    // of field i; nil: it has none
	salt(i int) *Salt
	file(i int) *File
	index(i int) *blindindex.Index
}

func newEngine(s *Schema, ring *Keyring, opts *Options) (*engine, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	e := &engine{schema: s, report: opts.OnInsecure, limit: opts.FileLimit}
	for _, k := range s.Keys {
		choice, err := s.keyringOf(k, ring, opts.Keys[k.Name])
		if err != nil {
			return nil, err
		}
		key := engineKey{keyringChoice: choice, name: k.Name, rules: map[int]*readyRule{0: newReadyRule(k.rule(s, 0))}}
		for version := range k.Versions {
			key.rules[version] = newReadyRule(k.rule(s, version))
		}
		e.keys = append(e.keys, key)
	}
	for _, name := range s.MasterKeys {
		e.keys = append(e.keys, engineKey{name: name, master: &openedKey{}})
	}
	if err := e.makeBoxes(opts); err != nil {
		return nil, err
	}
	if err := e.makeIndexes(opts); err != nil {
		return nil, err
	}
	return e, e.findStores(opts)
}

func (s *Schema) keyringOf(k KeyColumn, ring *Keyring, o KeyOptions) (keyringChoice, error) {
	c := keyringChoice{ring: o.Keyring, choose: o.KeyringFor, columns: o.KeyringColumns}
	switch {
	case c.ring != nil && c.choose != nil:
		return c, s.invalid("%s has a Keyring and a KeyringFor, and can have one", k.Column)
	case c.ring == nil && c.choose == nil:
		c.ring = ring
	}
	if c.ring == nil && c.choose == nil {
		return c, s.invalid("%s has no keyring", k.Column)
	}
	if c.ring != nil {
		return c, s.checkEnforced(k, c.ring)
	}
	return c, nil
}

// checkEnforced demands that fields are bound to their rows where the KMS would open any row's key for any other.
func (s *Schema) checkEnforced(k KeyColumn, ring *Keyring) error {
	loose := s.looselyBound(k.Name)
	if loose == "" {
		return nil
	}
	for _, v := range ring.versions {
		if !v.Key.Info().ContextEnforced {
			return s.invalid("%s does not enforce the encryption context, so that a stolen %s would open in another row; "+
				"use BindRow, and neither associated data of the field's own nor a Previous under the data key", v.Key.ID(), loose)
		}
	}
	return nil
}

// looselyBound names something under the key that is not bound to its row.
func (s *Schema) looselyBound(key string) string {
	loose := func(of, ad string) bool { return of == key && (s.Binding != BindRow || ad != "") }
	for _, f := range s.Fields {
		earlier := slices.ContainsFunc(f.Previous, func(p PreviousVersion) bool { return p.MasterKey == "" })
		if loose(f.Key, f.AssociatedData) || f.Key == key && earlier {
			return f.Column
		}
	}
	for _, f := range s.Files {
		if loose(f.Key, f.AssociatedData) {
			return f.Column
		}
	}
	for _, a := range s.Attachments {
		if loose(a.Key, a.AssociatedData) {
			return a.Name
		}
	}
	return ""
}

func (e *engine) only(keys []string) *engine {
	narrowed := *e
	narrowed.selected = make([]bool, len(e.keys))
	for _, name := range keys {
		i := slices.IndexFunc(e.keys, func(k engineKey) bool { return k.name == name })
		if i < 0 {
			i = slices.IndexFunc(e.schema.Keys, func(k KeyColumn) bool { return k.Column == name })
		}
		if i < 0 {
			narrowed.err = e.schema.invalid("Only(%q) names a key that no key column has; name one of %s", name, e.schema.keyNames(true))
			continue
		}
		narrowed.selected[i] = e.sees(i)
	}
	return &narrowed
}

// sees tells whether Only has left the key in.
func (e *engine) sees(key int) bool { return e.selected == nil || e.selected[key] }

func (e *engine) sealer() *engine {
	sealing := *e
	sealing.sealOnly = true
	return &sealing
}

// each visits every selected key of every row; what visit returns is the key's error.
func (e *engine) each(records []record, visit func(*rowKey) error) []*rowKey {
	var all []*rowKey
	for row, rec := range records {
		for key := range e.keys {
			if !e.sees(key) {
				continue
			}
			k := &rowKey{engine: e, row: row, rec: rec, key: key}
			if all = append(all, k); rec == nil {
				k.err = fmt.Errorf("the row is a nil pointer: %w", kms.ErrInvalidRequest)
				break
			}
			if !k.isMaster() {
				k.dk = rec.key(key)
			}
			k.err = visit(k)
		}
	}
	return all
}

// runJobs asks the KMS for the keys that the work needs: wrapped keys are opened, new ones wrapped.
func runJobs(ctx context.Context, work []*rowKey) {
	var unwraps, wraps []*job
	var waiting []*rowKey
	for _, k := range work {
		switch {
		case k.err != nil || k.job == nil:
			continue
		case k.fresh:
			wraps = append(wraps, k.job)
		default:
			unwraps = append(unwraps, k.job)
		}
		waiting = append(waiting, k)
	}
	unwrapAll(ctx, unwraps)
	wrapAll(ctx, wraps)
	for _, k := range waiting {
		k.opened, k.err = k.openedByJob()
		clear(k.job.plaintext)
	}
}

func (e *engine) clear(records []record) {
	e.each(records, func(k *rowKey) error {
		if k.isMaster() { // what is sealed under it needs no data key, and stays
			return nil
		}
		opened := k.unwrapped()
		if k.checkContext() != nil { // the struct was copied to be another row
			opened = nil
		}
		*k.dk = k.dk.replace(column{kind: isNull}, nil)
		for _, i := range k.fields() {
			cell, _ := k.rec.field(i)
			cell.SetNull()
			k.setParts(i, cells{iv: column{kind: isNull}, salt: column{kind: isNull}})
		}
		for _, i := range k.files() {
			file := k.rec.file(i)
			k.showOwner(i, opened)
			file.SetNull()
			file.sure()
		}
		for i, ix := range e.indexes {
			if slices.ContainsFunc(ix.fields, func(f int) bool { return e.schema.Fields[f].Key == e.keys[k.key].name }) {
				k.rec.index(i).SetNull()
			}
		}
		return nil
	})
}

func (e *engine) wipe(records []record) {
	e.each(records, func(k *rowKey) error {
		if k.dk != nil {
			k.dk.Wipe()
		}
		for _, i := range k.fields() {
			cell, _ := k.rec.field(i)
			cell.forget()
		}
		for _, i := range k.files() {
			k.rec.file(i).forget()
		}
		return nil
	})
}

// batchError is nil if no key of any row has an error.
func batchError(work []*rowKey, of int) error {
	b := &BatchError{Of: of}
	for _, k := range work {
		if k.err == nil {
			continue
		}
		if placed := (*Error)(nil); !errors.As(k.err, &placed) {
			k.err = k.at(k.keyColumn(), k.err)
		}
		b.Rows = append(b.Rows, RowError{Index: k.row, Err: k.err})
	}
	if len(b.Rows) == 0 {
		return nil
	}
	return b
}
