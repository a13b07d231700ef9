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
	work := e.each(records, (*rowKey).planOpen)
	e.runJobs(ctx, work)
	for _, k := range work {
		if k.err != nil {
			continue
		}
		if k.job != nil {
			k.dk.h.keep(k.opened)
		}
		k.attach()
	}
	return e.batchError(work, len(records))
}

func (k *rowKey) planOpen() (err error) {
	if k.opened = k.dk.h.unwrapped(); k.opened != nil {
		return k.checkContext()
	}
	for _, i := range k.fieldsOf[k.key] {
		cell, _ := k.rec.field(i)
		if !cell.sealed().filled() {
			continue
		}
		if k.dk.IsNull() {
			return k.orphan(i)
		}
		k.job, err = k.newJob()
		return err
	}
	return nil
}

// attach gives each field what it needs to open itself when it is asked.
func (k *rowKey) attach() {
	for _, i := range k.fieldsOf[k.key] {
		cell, codec := k.rec.field(i)
		if !cell.isSet() && !cell.sealed().isNone() {
			cell.attach(codec, k.opener(i, cell.sealed().text))
		}
	}
}

func (k *rowKey) opener(field int, ciphertext string) opener {
	f, h := k.schema.Fields[field], k.dk.h
	ad, adErr := k.schema.associatedData(f, k.id)
	place := k.where() // now: the row's struct may hold another row when Get is called
	return func(decode func([]byte) error) error {
		plaintext, err := openField(h, f, ciphertext, ad, adErr)
		if err != nil {
			return place.at(f.Column, err)
		}
		if err := decode(plaintext); err != nil {
			return place.at(f.Column, fmt.Errorf("%w: %w", ErrDecryptionFailed, err))
		}
		return nil
	}
}

func openField(h *handle, f Field, ciphertext string, ad []byte, adErr error) ([]byte, error) {
	if adErr != nil {
		return nil, adErr
	}
	if ciphertext == "" {
		if f.Format.Padding > 0 {
			return nil, ErrDecryptionFailed
		}
		return []byte{}, nil
	}
	key := h.unwrapped()
	if key == nil {
		return nil, ErrNotOpened // wiped since
	}
	return key.open(f, ciphertext, ad)
}
