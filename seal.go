package rowseal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// hintClear is for those who have no right to open.
const hintClear = "to seal under the data key that the row has needs the right to decrypt; after Model.Clear it gets a new one"

var errSealOnly = fmt.Errorf("a Sealer opens nothing: %w", kms.ErrAccessDenied)

// seal: collect what was set, get the data keys, seal, and only then change the rows.
func (e *engine) seal(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, (*rowKey).planSeal)
	e.planIndexes(work)
	runJobs(ctx, work)
	e.sealAndCommit(ctx, work)
	return batchError(work, len(records))
}

// sealAndCommit seals what the work has collected: fields, the indexes of those that were set, and files, whose objects
// are stored before any row refers to them.
func (e *engine) sealAndCommit(ctx context.Context, work []*rowKey) {
	for _, k := range work {
		switch {
		case k.err == nil:
			k.err = k.sealValues()
		case errors.Is(k.err, kms.ErrAccessDenied) && !k.fresh && !k.hasAttachments():
			k.err = fmt.Errorf("%w (%s)", k.err, hintClear)
		}
	}
	indexes := e.indexValues(ctx, work)
	e.putFiles(ctx, work)
	failed := failedRows(work)
	for _, k := range work {
		if !failed[k.row] {
			k.commitSeal()
		}
		for _, v := range k.values {
			clear(v.plaintext)
		}
		for _, w := range k.loads {
			if w.kept { // what was set may be sealed again
				clear(w.content)
			}
		}
	}
	for _, ix := range indexes {
		if !failed[ix.row] {
			ix.commit()
		}
	}
}

// sealing is a field that was set, on its way to its columns.
type sealing struct {
	field     int
	cell      sealedColumn
	plaintext []byte
	kept      bool // the value is the one that the row had
	sealed    cells
}

// planSeal finds out what the key has to seal and which job that needs.
func (k *rowKey) planSeal() error {
	if !k.isMaster() {
		if err := k.checkKey(); err != nil {
			return err
		}
	}
	needsKey, err := k.collect()
	if err != nil {
		return err
	}
	if k.dk != nil && k.dk.h.isPending() {
		k.fresh = true
		k.job, err = k.newJob()
		return err
	}
	if k.opened = k.unwrapped(); k.opened != nil || !needsKey {
		return nil
	}
	return k.needKey()
}

// needKey plans the job that opens the row's data key or makes its first one.
func (k *rowKey) needKey() (err error) {
	if k.fresh = k.dk.IsNull(); k.fresh {
		if err := k.refuseOrphans(); err != nil {
			return err
		}
		if k.hasAttachments() && k.dk.h.forgetsAttachments() {
			return fmt.Errorf("attachments are sealed under the key that the row has in the database, and a new one would lose them; "+
				"purge them and tell so with AttachmentsPurged, or use RekeyWith: %w", kms.ErrInvalidRequest)
		}
	} else if k.sealOnly {
		return errSealOnly
	}
	k.job, err = k.newJob()
	return err
}

// collect gathers the values that were set, and tells whether any of them needs the data key.
func (k *rowKey) collect() (needsKey bool, err error) {
	for _, i := range k.fields() {
		cell, codec := k.rec.field(i)
		if !cell.isSet() {
			if cell.sealed().kind == isNull {
				k.nulled = append(k.nulled, i)
			}
			continue
		}
		f := &k.schema.Fields[i]
		plaintext, err := cell.plaintext(codec)
		if err != nil {
			return false, k.at(f.Column, err)
		}
		k.values = append(k.values, &sealing{field: i, cell: cell, plaintext: plaintext})
		needsKey = needsKey || !f.staysEmpty(plaintext)
	}
	for _, i := range k.files() {
		if !k.rec.file(i).isSet() {
			continue
		}
		w, err := k.readFile(i)
		if err != nil {
			return false, k.at(k.schema.Files[i].Column, err)
		}
		k.loads, needsKey = append(k.loads, w), true
	}
	return needsKey, nil
}

// refuseOrphans refuses to make a new key for a row that has ciphertexts and no key: the new key would hide that they
// are lost, or lose them if only the key column was not loaded.
func (k *rowKey) refuseOrphans() error {
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		if cell.sealed().filled() && k.opensEarly(i) == nil {
			return k.orphan(k.schema.Fields[i].Column)
		}
	}
	for _, i := range k.files() {
		if k.rec.file(i).sealed().filled() {
			return k.orphan(k.schema.Files[i].Column)
		}
	}
	return nil
}

// opensEarly is the box of a field in a row whose key column is NULL, as it was before the table had data keys. A column
// that was only not loaded is no NULL.
func (k *rowKey) opensEarly(field int) fieldBox {
	if k.dk.current().kind == notLoaded {
		return nil
	}
	return k.keys[k.key].early.box(k.boxOf.field[field])
}

// checkNeighbours opens the fields that stay as they are. One that does not open under this key came from another row,
// or from before the key was replaced: saved beside it, it would be lost.
func (k *rowKey) checkNeighbours() error {
	if k.opened == nil || k.isMaster() && k.schema.Binding != BindRow { // a master key is that of every row
		return nil
	}
	const hint = "it is not sealed under the row's data key; load the row again, or set the field too: %w"
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		if k.valueOf(i) != nil || !cell.sealed().filled() {
			continue
		}
		if under, made := cell.sealedUnder(); made && under.isSame(k.opened.fingerprint()) {
			continue
		}
		plaintext, err := k.openNow(i, func(string) {})
		if err != nil {
			return k.at(k.schema.Fields[i].Column, fmt.Errorf(hint, err))
		}
		clear(plaintext)
	}
	for _, i := range k.files() {
		writes := func(w *fileWrite) bool { return w.file == i }
		if slices.ContainsFunc(k.loads, writes) || !k.rec.file(i).sealed().filled() {
			continue
		}
		if _, err := k.fileOf(i, k.opened).describe(); err != nil {
			return k.at(k.schema.Files[i].Column, fmt.Errorf(hint, err))
		}
	}
	return nil
}

// openNow opens a field under k.opened.
func (k *rowKey) openNow(field int, report func(form string)) ([]byte, error) {
	f := &k.schema.Fields[field]
	ad, err := k.bound(f)
	if err != nil {
		return nil, err
	}
	return openField(f, k.opened.box(k.boxOf.field[field]), k.cells(field), ad, report)
}

func (k *rowKey) sealValues() error {
	if err := k.checkNeighbours(); err != nil {
		return err
	}
	for _, v := range k.values {
		f := &k.schema.Fields[v.field]
		if f.staysEmpty(v.plaintext) {
			null := column{kind: isNull}
			v.sealed = cells{value: f.cell(""), iv: null, salt: null}
			continue
		}
		ad, err := k.bound(f)
		if err != nil {
			return k.at(f.Column, err)
		}
		if v.sealed, err = k.opened.box(k.boxOf.field[v.field]).seal(f, v.plaintext, ad); err != nil {
			return k.at(f.Column, err)
		}
	}
	for _, w := range k.loads {
		if err := k.sealFile(w); err != nil {
			return k.at(k.schema.Files[w.file].Column, err)
		}
	}
	return nil
}

// commitSeal changes the row. It cannot fail.
func (k *rowKey) commitSeal() {
	for _, i := range k.files() {
		file := k.rec.file(i)
		k.showOwner(i, k.keyOfRow())
		if !file.isSet() {
			file.sure()
		}
	}
	for _, v := range k.values {
		v.cell.adopt(v.sealed.value, k.opened.fingerprint())
		k.setParts(v.field, v.sealed)
	}
	for _, i := range k.nulled {
		k.setParts(i, cells{iv: column{kind: isNull}, salt: column{kind: isNull}})
	}
	switch {
	case k.isMaster():
	case k.local:
		*k.dk = k.dk.replace(column{kind: isNull}, k.opened)
		secret := k.job.plaintext
		k.dk.h.secret = func() []byte { return secret }
	case k.fresh:
		moved := k.attachmentsUnder()
		k.dk.h.spend()
		*k.dk = k.dk.replace(k.wrappedAnew(), k.opened)
		k.dk.h.movedFrom = moved
	case k.job != nil:
		k.dk.h.keep(k.opened)
	case k.dk.h == nil && k.refuseOrphans() == nil: // a new row with nothing under the key, which may be written as NULL
		*k.dk = k.dk.replace(column{kind: isNull}, nil)
	}
	for _, w := range k.loads {
		k.rec.file(w.file).adopt(w, k.fileOf(w.file, nil))
	}
}

// keyOfRow is the opened key that the row had before; nil if it had none, or did not open it.
func (k *rowKey) keyOfRow() *openedKey {
	if k.fresh {
		return k.before
	}
	return k.opened
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
