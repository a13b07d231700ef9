package rowseal

import (
	"context"
	"errors"
	"fmt"

	"github.com/rowseal/rowseal/kms"
)

// hintClear is for those who have no right to open.
const hintClear = "to seal under the data key that the row has needs the right to decrypt; after Model.Clear it gets a new one"

// seal: collect what was set, get the data keys, seal, and only then change the rows.
func (e *engine) seal(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, (*rowKey).planSeal)
	e.runJobs(ctx, work)
	for _, k := range work {
		switch {
		case k.err == nil:
			k.err = k.sealValues()
		case errors.Is(k.err, kms.ErrAccessDenied) && !k.fresh:
			k.err = fmt.Errorf("%w (%s)", k.err, hintClear)
		}
	}
	failed := failedRows(work)
	for _, k := range work {
		if !failed[k.row] {
			k.commitSeal()
		}
		for _, v := range k.values {
			clear(v.plaintext)
		}
	}
	return e.batchError(work, len(records))
}

// sealedValue is a field that was set, on its way to its column.
type sealedValue struct {
	field      int
	cell       sealedColumn
	plaintext  []byte
	ciphertext column
}

// planSeal finds out what the key has to seal and which job that needs.
func (k *rowKey) planSeal() error {
	if err := k.checkContext(); err != nil {
		return err
	}
	needsKey, err := k.collect()
	if err != nil {
		return err
	}
	if k.opened = k.dk.h.unwrapped(); k.opened != nil || !needsKey {
		return nil
	}
	if k.fresh = k.dk.IsNull(); k.fresh {
		if err := k.refuseOrphans(); err != nil {
			return err
		}
	} else if k.sealOnly {
		return fmt.Errorf("a Sealer opens nothing: %w", kms.ErrAccessDenied)
	}
	k.job, err = k.newJob()
	return err
}

// collect gathers the values that were set, and tells whether any of them needs the data key.
func (k *rowKey) collect() (needsKey bool, err error) {
	for _, i := range k.fieldsOf[k.key] {
		cell, codec := k.rec.field(i)
		if !cell.isSet() {
			continue
		}
		plaintext, err := cell.plaintext(codec)
		if err != nil {
			return false, k.at(k.schema.Fields[i].Column, err)
		}
		k.values = append(k.values, sealedValue{field: i, cell: cell, plaintext: plaintext})
		needsKey = needsKey || !staysEmpty(plaintext, k.schema.Fields[i])
	}
	return needsKey, nil
}

// staysEmpty is Lockbox's rule that "" is stored as "" unless it is padded (lockbox lib/lockbox/model.rb).
func staysEmpty(text []byte, f Field) bool { return len(text) == 0 && f.Format.Padding == 0 }

// refuseOrphans refuses to make a new key for a row that has ciphertexts and no key: the new key would hide that they
// are lost, or lose them if only the key column was not loaded.
func (k *rowKey) refuseOrphans() error {
	for _, i := range k.fieldsOf[k.key] {
		cell, _ := k.rec.field(i)
		if cell.sealed().filled() {
			return k.orphan(i)
		}
	}
	return nil
}

// checkNeighbours opens the fields that stay as they are. One that does not open under this key came from another row,
// or from before the key was replaced: saved beside it, it would be lost.
func (k *rowKey) checkNeighbours() error {
	if k.opened == nil {
		return nil
	}
	for _, i := range k.fieldsOf[k.key] {
		cell, _ := k.rec.field(i)
		if cell.isSet() || !cell.sealed().filled() {
			continue
		}
		f := k.schema.Fields[i]
		ad, err := k.schema.associatedData(f, k.id)
		if err == nil {
			_, err = k.opened.open(f, cell.sealed().text, ad)
		}
		if err != nil {
			return k.at(f.Column, fmt.Errorf("it is not sealed under the row's data key; load the row again, or set the field too: %w", err))
		}
	}
	return nil
}

func (k *rowKey) sealValues() error {
	if err := k.checkNeighbours(); err != nil {
		return err
	}
	for n := range k.values {
		v := &k.values[n]
		f := k.schema.Fields[v.field]
		if v.ciphertext.kind = isText; f.Format.Raw {
			v.ciphertext.kind = isBytes
		}
		if staysEmpty(v.plaintext, f) {
			continue
		}
		ad, err := k.schema.associatedData(f, k.id)
		if err != nil {
			return k.at(f.Column, err)
		}
		sealed, err := k.opened.box.WithFormat(f.Format).Encrypt(v.plaintext, ad)
		if err != nil {
			return k.at(f.Column, err)
		}
		v.ciphertext.text = string(sealed)
	}
	return nil
}

// commitSeal changes the row. It cannot fail.
func (k *rowKey) commitSeal() {
	for _, v := range k.values {
		v.cell.adopt(v.ciphertext)
	}
	switch {
	case k.fresh:
		*k.dk = k.dk.rewrapped(k.job.wrapped, k.opened)
	case k.job != nil:
		k.dk.h.keep(k.opened)
	case k.dk.h == nil && k.refuseOrphans() == nil:
		*k.dk = k.dk.replace(column{kind: isNull}, nil)
	}
}

func failedRows(work []*rowKey) map[int]bool {
	failed := map[int]bool{}
	for _, k := range work {
		if k.err != nil {
			failed[k.row] = true
		}
	}
	return failed
}
