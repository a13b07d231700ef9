package rowseal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// engine seals and opens records by a Schema. It knows no Go struct.
type engine struct {
	schema   *Schema
	rings    []keyringChoice // in the order of schema.Keys
	fieldsOf [][]int         // the indexes of the fields under each key
	selected []bool          // the keys that are seen; nil: all
	sealOnly bool            // of a Sealer: no data key is unwrapped
	err      error           // of Only
}

// keyringChoice is the keyring of a key column, or how a row chooses one.
type keyringChoice struct {
	ring    *Keyring
	choose  func(Row) (*Keyring, error)
	columns []string
}

// record is one row: its columns, data keys and sealed fields. A nil record stands for a nil row.
type record interface {
	value(column string) (any, error)
	key(i int) *DataKey
	field(i int) (sealedColumn, any) // and its codec
}

func newEngine(s *Schema, ring *Keyring, options map[string]KeyOptions) (*engine, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	e := &engine{schema: s}
	for _, k := range s.Keys {
		o := options[k.Name]
		c := keyringChoice{ring: o.Keyring, choose: o.KeyringFor, columns: o.KeyringColumns}
		switch {
		case c.ring != nil && c.choose != nil:
			return nil, s.invalid("%s has a Keyring and a KeyringFor, and can have one", k.Column)
		case c.ring == nil && c.choose == nil:
			c.ring = ring
		}
		if c.ring == nil && c.choose == nil {
			return nil, s.invalid("%s has no keyring", k.Column)
		}
		if c.ring != nil {
			if err := s.checkEnforced(k, c.ring); err != nil {
				return nil, err
			}
		}
		e.rings = append(e.rings, c)
		var fields []int
		for i, f := range s.Fields {
			if f.Key == k.Name {
				fields = append(fields, i)
			}
		}
		e.fieldsOf = append(e.fieldsOf, fields)
	}
	return e, nil
}

// checkEnforced demands that fields are bound to their rows where the KMS would open any row's key for any other.
func (s *Schema) checkEnforced(k KeyColumn, ring *Keyring) error {
	unbound := func(f Field) bool { return f.Key == k.Name && (s.Binding != BindRow || f.AssociatedData != "") }
	i := slices.IndexFunc(s.Fields, unbound)
	if i < 0 {
		return nil
	}
	for _, v := range ring.versions {
		if !v.Key.Info().ContextEnforced {
			return s.invalid("%s does not enforce the encryption context, so that a stolen %s would open in another row; "+
				"use BindRow, and no associated data of the field's own", v.Key.ID(), s.Fields[i].Column)
		}
	}
	return nil
}

func (e *engine) only(keys []string) *engine {
	narrowed := *e
	narrowed.selected = make([]bool, len(e.schema.Keys))
	for _, name := range keys {
		i := slices.IndexFunc(e.schema.Keys, func(k KeyColumn) bool { return k.Name == name || k.Column == name })
		if i < 0 {
			narrowed.err = e.schema.invalid("Only(%q) names a key that no key column has; name one of %s", name, e.schema.keyNames())
			continue
		}
		narrowed.selected[i] = e.selected == nil || e.selected[i]
	}
	return &narrowed
}

func (e *engine) sealer() *engine {
	sealing := *e
	sealing.sealOnly = true
	return &sealing
}

// each visits every selected key of every row; what visit returns is the key's error.
func (e *engine) each(records []record, visit func(*rowKey) error) []*rowKey {
	var all []*rowKey
	for row, rec := range records {
		for key := range e.schema.Keys {
			if e.selected != nil && !e.selected[key] {
				continue
			}
			k := &rowKey{engine: e, row: row, rec: rec, key: key}
			if all = append(all, k); rec == nil {
				k.err = fmt.Errorf("the row is a nil pointer: %w", kms.ErrInvalidRequest)
				break
			}
			k.dk = rec.key(key)
			k.err = visit(k)
		}
	}
	return all
}

// runJobs asks the KMS for the keys that the work needs: wrapped keys are opened, new ones wrapped.
func (e *engine) runJobs(ctx context.Context, work []*rowKey) {
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
		*k.dk = k.dk.replace(column{kind: isNull}, nil)
		for _, i := range k.fieldsOf[k.key] {
			cell, _ := k.rec.field(i)
			cell.SetNull()
		}
		return nil
	})
}

func (e *engine) wipe(records []record) {
	e.each(records, func(k *rowKey) error {
		k.dk.Wipe()
		for _, i := range k.fieldsOf[k.key] {
			cell, _ := k.rec.field(i)
			cell.forget()
		}
		return nil
	})
}

// batchError is nil if no key of any row has an error.
func (e *engine) batchError(work []*rowKey, of int) error {
	b := &BatchError{Of: of}
	for _, k := range work {
		if k.err == nil {
			continue
		}
		if placed := (*Error)(nil); !errors.As(k.err, &placed) {
			k.err = k.at(k.schema.Keys[k.key].Column, k.err)
		}
		b.Rows = append(b.Rows, RowError{Index: k.row, Err: k.err})
	}
	if len(b.Rows) == 0 {
		return nil
	}
	return b
}
