package rowseal

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// makeIndexes makes the Indexers of every index, each with its own key.
func (e *engine) makeIndexes(opts *Options) error {
	for _, ix := range e.schema.Indexes {
		made := engineIndex{join: cmp.Or(ix.Join, "\x1f")}
		for _, column := range ix.Of {
			made.fields = append(made.fields, slices.IndexFunc(e.schema.Fields, func(f Field) bool { return f.Column == column }))
		}
		own := ix.Options
		own.Normalizers = opts.Normalizers
		for _, k := range append([]IndexKey{ix.IndexKey}, ix.Previous...) {
			indexer, err := e.newIndexer(ix, k, own, opts)
			if err != nil {
				return e.schema.invalid("%s: %w", ix.Column, err)
			}
			made.indexers = append(made.indexers, indexer)
		}
		e.indexes = append(e.indexes, made)
	}
	return nil
}

func (e *engine) newIndexer(ix Index, k IndexKey, own blindindex.Options, opts *Options) (*blindindex.Indexer, error) {
	master, err := opts.master(k.name())
	if err != nil {
		return nil, err
	}
	key, err := master.indexKey(cmp.Or(k.KeyTable, e.schema.Table), cmp.Or(k.KeyColumn, ix.Column))
	if err != nil {
		return nil, err
	}
	return blindindex.New(key, &own)
}

// indexable tells whether values of a type have one text, the same in Ruby and Go.
func indexable(t lockbox.Type) bool {
	switch t {
	case "", lockbox.String, lockbox.Binary, lockbox.Integer, lockbox.Date, lockbox.Boolean:
		return true
	}
	return false
}

// indexText is the text of a sealed plaintext, which Ruby's to_s makes of the value.
func indexText(t lockbox.Type, plaintext []byte) string {
	switch {
	case t == lockbox.Integer && len(plaintext) == 8:
		return strconv.FormatInt(int64(binary.BigEndian.Uint64(plaintext)), 10)
	case t == lockbox.Boolean:
		return strconv.FormatBool(string(plaintext) == "t")
	}
	return string(plaintext)
}

// input is what an index is made of: the texts of its fields, normalized. Where a normalizer leaves a value out, it is
// blindindex.ErrNull.
func (x engineIndex) input(texts []string) (string, error) {
	parts := make([]string, len(texts))
	for i, text := range texts {
		part, err := x.indexers[0].Normalize(text)
		if err != nil {
			return "", err
		}
		if len(texts) > 1 && strings.Contains(part, x.join) {
			return "", fmt.Errorf("a value contains the text that joins the fields of the index: %w", kms.ErrInvalidRequest)
		}
		parts[i] = part
	}
	return strings.Join(parts, x.join), nil
}

// newIndex is the new value of an index of one row.
type newIndex struct {
	row    int
	column *blindindex.Index
	value  blindindex.Index
}

func (n newIndex) commit() { *n.column = n.value }

// indexValues makes the indexes of the fields that were set. What goes wrong is the error of the field's key.
func (e *engine) indexValues(ctx context.Context, work []*rowKey) []newIndex {
	var all []newIndex
	for i := range e.indexes {
		all = append(all, e.indexColumn(ctx, i, work)...)
	}
	return all
}

// planIndexes has the keys opened of fields that stay, where an index is made of them and of a field that was set under
// another key.
func (e *engine) planIndexes(work []*rowKey) {
	for row := range byRow(work) {
		for _, x := range e.indexes {
			set := func(field int) bool {
				return slices.ContainsFunc(row, func(k *rowKey) bool { return k.valueOf(field) != nil })
			}
			if !slices.ContainsFunc(x.fields, set) {
				continue
			}
			for _, k := range row {
				if k.opened == nil && k.job == nil && k.err == nil && k.holds(x.fields) {
					k.err = k.needKey()
				}
			}
		}
	}
}

// holds tells whether one of the fields is sealed under the row's data key.
func (k *rowKey) holds(fields []int) bool {
	return !k.isMaster() && !k.dk.IsNull() && slices.ContainsFunc(fields, func(field int) bool {
		if !slices.Contains(k.fields(), field) {
			return false
		}
		cell, _ := k.rec.field(field)
		return cell.sealed().filled()
	})
}

// indexColumn makes one index, for all rows that need it.
func (e *engine) indexColumn(ctx context.Context, number int, work []*rowKey) []newIndex {
	x := e.indexes[number]
	var made []newIndex
	var inputs []string
	var keys []*rowKey
	var places []int // of inputs, in made
	for row := range byRow(work) {
		k, texts, err := e.indexTexts(x, row)
		if k == nil {
			continue
		}
		n := newIndex{row: k.row, column: k.rec.index(number)}
		n.value.SetNull()
		var input string
		if err == nil && texts != nil {
			input, err = x.input(texts)
		}
		switch {
		case errors.Is(err, blindindex.ErrNull), err == nil && texts == nil:
		case err != nil:
			k.err = k.at(e.schema.Indexes[number].Column, err)
			continue
		default:
			inputs, keys, places = append(inputs, input), append(keys, k), append(places, len(made))
		}
		made = append(made, n)
	}
	values, err := x.indexers[0].ComputeNormalized(ctx, inputs)
	for i, k := range keys {
		if err != nil {
			k.err = k.at(e.schema.Indexes[number].Column, err)
			continue
		}
		made[places[i]].value = values[i]
	}
	return made
}

// byRow yields the work on each row whose keys all succeeded so far.
func byRow(work []*rowKey) func(yield func([]*rowKey) bool) {
	return func(yield func([]*rowKey) bool) {
		for len(work) > 0 {
			n := slices.IndexFunc(work, func(k *rowKey) bool { return k.row != work[0].row })
			if n < 0 {
				n = len(work)
			}
			row := work[:n]
			work = work[n:]
			if !slices.ContainsFunc(row, func(k *rowKey) bool { return k.err != nil }) && !yield(row) {
				return
			}
		}
	}
}

// indexTexts returns the texts of an index's fields in one row, nil if one is NULL; and the key that answers for the
// index, nil if none of the fields has changed.
func (e *engine) indexTexts(x engineIndex, row []*rowKey) (changed *rowKey, texts []string, err error) {
	null := false
	for _, field := range x.fields {
		for _, k := range row {
			if slices.Contains(k.nulled, field) {
				changed, null = cmp.Or(changed, k), true
			}
			if v := k.valueOf(field); v != nil && !v.kept || k.reindex && slices.Contains(k.fields(), field) {
				changed = cmp.Or(changed, k)
			}
		}
	}
	if changed == nil || null {
		return changed, nil, nil
	}
	for _, field := range x.fields {
		plaintext, ok, err := e.plaintextOf(field, row)
		if err != nil || !ok {
			return changed, nil, err
		}
		texts = append(texts, indexText(e.schema.Fields[field].Type, plaintext))
	}
	return changed, texts, nil
}

// plaintextOf is the plaintext of a field of the row: of the value that was set, else of the column. ok is false for NULL.
func (e *engine) plaintextOf(field int, row []*rowKey) (plaintext []byte, ok bool, err error) {
	f := &e.schema.Fields[field]
	for _, k := range row {
		if !slices.Contains(k.fields(), field) {
			continue
		}
		if v := k.valueOf(field); v != nil {
			return v.plaintext, true, nil
		}
		cell, _ := k.rec.field(field)
		if cell.isSet() {
			return nil, false, fmt.Errorf("it is made of %s, which was set; call Seal, which makes the index: %w", f.Column, ErrUnsealed)
		}
		switch cell.sealed().kind {
		case isNull:
			return nil, false, nil
		case notLoaded:
			if k.wasLoaded() {
				return nil, false, fmt.Errorf("it is made of %s, which was not loaded: %w", f.Column, kms.ErrInvalidRequest)
			}
			return nil, false, nil // of a new row
		}
		reader := *k
		if reader.opened == nil && k.opensEarly(field) != nil {
			reader.opened = k.keys[k.key].early
		}
		if reader.opened == nil && cell.sealed().filled() {
			return nil, false, fmt.Errorf("it is made of %s too, which is sealed; open the row first: %w", f.Column, ErrNotOpened)
		}
		plaintext, err = reader.openNow(field, k.reporter(field))
		return plaintext, true, err
	}
	return nil, false, fmt.Errorf("it is made of %s too, which Only has left out: %w", f.Column, kms.ErrInvalidRequest)
}

// wasLoaded tells whether the row was in the database before, as far as its columns show that.
func (k *rowKey) wasLoaded() bool {
	if k.dk != nil {
		return k.dk.h.inDatabase().filled()
	}
	return slices.ContainsFunc(k.fields(), func(i int) bool {
		cell, _ := k.rec.field(i)
		return cell.past().stored.kind != notLoaded
	})
}

// reindex makes every index of rows that are open.
func (e *engine) reindex(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, func(k *rowKey) error {
		k.reindex, k.opened = true, k.unwrapped()
		if k.opened == nil && k.dk.current().kind == notLoaded {
			return k.refuseOrphans()
		}
		return nil
	})
	indexes := e.indexValues(ctx, work)
	failed := failedRows(work)
	for _, ix := range indexes {
		if !failed[ix.row] {
			ix.commit()
		}
	}
	for _, k := range work {
		if !failed[k.row] {
			k.remade()
		}
	}
	return batchError(work, len(records))
}

// remade notes that the indexes of the key's fields are to be written though the fields stay.
func (k *rowKey) remade() {
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		past := cell.past()
		past.remade = true
		cell.keepPast(past)
	}
}

// valueOf is the value of a field that was set, nil if it was not.
func (k *rowKey) valueOf(field int) *sealing {
	for _, v := range k.values {
		if v.field == field {
			return v
		}
	}
	return nil
}

// lookup returns what an index column holds for values: of the index's key, and of its previous ones.
func (e *engine) lookup(ctx context.Context, column string, values []any) ([]driver.Value, error) {
	if e.err != nil {
		return nil, e.err
	}
	number := slices.IndexFunc(e.schema.Indexes, func(ix Index) bool { return ix.Column == column })
	if number < 0 {
		var known []string
		for _, ix := range e.schema.Indexes {
			known = append(known, ix.Column)
		}
		return nil, e.schema.invalid("%s is no index; there are %s", column, strings.Join(known, ", "))
	}
	x := e.indexes[number]
	if len(values) != len(x.fields) {
		return nil, e.schema.invalid("index %s is of %d field(s), and %d value(s) were given", column, len(x.fields), len(values))
	}
	texts := make([]string, len(values))
	for i, v := range values {
		text, err := valueText(e.schema.Fields[x.fields[i]].Type, v)
		if err != nil {
			return nil, fmt.Errorf("rowseal: index %s: %w", column, err)
		}
		texts[i] = text
	}
	input, err := x.input(texts)
	if errors.Is(err, blindindex.ErrNull) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("rowseal: index %s: %w", column, err)
	}
	return x.find(ctx, input)
}

// valueText is the text of a value that is looked for: that of the value once it is sealed.
func valueText(t lockbox.Type, v any) (string, error) {
	if v == nil {
		return "", fmt.Errorf("NULL has no index; the query for it is IS NULL: %w", kms.ErrInvalidRequest)
	}
	codec, err := lockbox.CodecOf[any](t)
	if err != nil {
		return "", err
	}
	plaintext, err := codec.Append(nil, v)
	if err != nil {
		return "", err
	}
	return indexText(t, plaintext), nil
}

// find makes the index under every key. It does not wait for the indexes of a batch.
func (x engineIndex) find(ctx context.Context, input string) ([]driver.Value, error) {
	found := make([]driver.Value, len(x.indexers))
	for i, indexer := range x.indexers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		index, err := indexer.IndexNormalized(input)
		if err != nil {
			return nil, named(err)
		}
		if found[i], err = index.Value(); err != nil {
			return nil, named(err)
		}
	}
	return found, nil
}
