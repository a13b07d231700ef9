package rowseal

import (
	"context"
	"fmt"
)

// open: unwrap the keys that have something to open, and let the fields open themselves.
func (e *engine) open(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	return openAll(ctx, e.each(records, (*rowKey).planOpen), len(records))
}

// openAll opens what was planned, of any number of tables.
func openAll(ctx context.Context, work []*rowKey, rows int) error {
	runJobs(ctx, work)
	for _, k := range work {
		if k.err != nil {
			continue
		}
		if k.job != nil {
			k.dk.h.keep(k.opened)
		}
		k.attach()
	}
	return batchError(work, rows)
}

func (k *rowKey) planOpen() (err error) {
	if k.isMaster() {
		return nil
	}
	if k.opened = k.dk.h.unwrapped(); k.opened != nil {
		return k.checkContext()
	}
	if k.dk.IsNull() {
		return k.refuseOrphans()
	}
	switch {
	case !k.hasSealed():
		return nil
	case k.sealOnly:
		return errSealOnly
	}
	k.job, err = k.newJob()
	return err
}

// hasSealed tells whether there is anything to open under the key.
func (k *rowKey) hasSealed() bool {
	for _, i := range k.fields() {
		if cell, _ := k.rec.field(i); cell.sealed().filled() {
			return true
		}
	}
	for _, i := range k.files() {
		if k.rec.file(i).sealed().filled() {
			return true
		}
	}
	return false
}

// attach gives each field what it needs to open itself when it is asked.
func (k *rowKey) attach() {
	under := k.unwrapped().fingerprint()
	for _, i := range k.fields() {
		cell, codec := k.rec.field(i)
		if !cell.isSet() && !cell.sealed().isNone() {
			cell.attach(codec, under, k.opener(i))
		}
	}
	for _, i := range k.files() {
		file := k.rec.file(i)
		if !file.isSet() && file.sealed().filled() {
			file.attach(k.fileOf(i, nil))
		}
	}
}

// source finds a key when a value is asked for, because the key may be wiped until then.
func (k *rowKey) source() func() *openedKey {
	switch {
	case k.isMaster():
		master := k.keys[k.key].master
		return func() *openedKey { return master }
	case k.dk.IsNull():
		early := k.keys[k.key].early
		return func() *openedKey { return early }
	}
	h := k.dk.h
	return h.unwrapped
}

func (k *rowKey) opener(field int) opener {
	f, number, c := &k.schema.Fields[field], k.boxOf.field[field], k.cells(field)
	ad, adErr := k.bound(f)
	source := k.source()
	place := k.where() // now: the row's struct may hold another row when Get is called
	report := k.reporter(field)
	open := func() ([]byte, error) {
		if adErr != nil {
			return nil, adErr
		}
		if c.value.text == "" {
			return f.openEmpty()
		}
		key := source()
		if key == nil {
			return nil, ErrNotOpened // wiped since
		}
		return openField(f, key.box(number), c, ad, report)
	}
	return func(decode func([]byte) error) error {
		plaintext, err := open()
		if err != nil {
			return place.at(f.Column, err)
		}
		if err := decode(plaintext); err != nil {
			return place.at(f.Column, fmt.Errorf("it opened, and is no value of its type; is the type right?: %w: %w", ErrDecryptionFailed, err))
		}
		return nil
	}
}

// reporter tells Options.OnInsecure of a form in which a field opened.
func (k *rowKey) reporter(field int) func(form string) {
	tell, place, column := k.report, k.where(), k.schema.Fields[field].Column
	return func(form string) {
		tell(InsecureForm{Table: place.Table, ID: place.ID, Column: column, Form: form})
	}
}

func openField(f *Field, box fieldBox, c cells, ad []byte, report func(string)) ([]byte, error) {
	switch {
	case c.value.text == "":
		return f.openEmpty()
	case box == nil:
		return nil, ErrNoKey
	}
	return box.open(f, c, ad, report)
}

// openEmpty is the value of an empty column: "", which the gems store as it is, unless Lockbox pads the field.
func (f *Field) openEmpty() ([]byte, error) {
	if f.AttrEncrypted == nil && f.Format.Padding > 0 {
		return nil, ErrDecryptionFailed
	}
	return []byte{}, nil
}
