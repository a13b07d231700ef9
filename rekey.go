package rowseal

import (
	"context"
	"fmt"

	"github.com/rowseal/rowseal/kms"
)

// rekey: open everything under the keys that the rows have, and seal it anew under fresh ones. attachments moves what the
// rows' columns do not hold; nil where there is nothing of the kind.
func (e *engine) rekey(ctx context.Context, records []record, attachments func(k *rowKey) error) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, func(k *rowKey) error { return k.planRekey(attachments != nil) })
	runJobs(ctx, work)
	rekeyed := func(do func(*rowKey) error) {
		for _, k := range work {
			if k.err == nil && k.rekeys {
				k.err = do(k)
			}
		}
	}
	atOnce(len(work), filesAtOnce, func(i int) {
		if k := work[i]; k.err == nil && k.rekeys {
			k.err = k.collectKept(ctx)
		}
	})
	rekeyed(func(k *rowKey) (err error) {
		k.before, k.fresh = k.opened, true
		k.job, err = k.newJob()
		return err
	})
	runJobs(ctx, work)
	rekeyed(func(k *rowKey) error { k.place = nil; return nil }) // which names the version of the old key
	if attachments != nil {
		rekeyed(attachments)
	}
	e.sealAndCommit(ctx, work)
	rekeyed(func(k *rowKey) error { k.attach(); return nil })
	return batchError(work, len(records))
}

// planRekey finds out whether the row has anything under the key, and how it opens. A row without a data key gets one if
// its fields open under the master keys of their Previous.
func (k *rowKey) planRekey(attachments bool) (err error) {
	switch {
	case k.isMaster():
		return k.planSeal()
	case !attachments && k.hasAttachments():
		return fmt.Errorf("attachments are sealed under the key too, and would be lost; use Model.RekeyWith: %w", kms.ErrInvalidRequest)
	}
	if err := k.checkContext(); err != nil {
		return err
	}
	if err := k.refusePartial(); err != nil {
		return err
	}
	if _, err := k.collect(); err != nil {
		return err
	}
	if k.hadNoKey = k.dk.IsNull(); k.hadNoKey {
		k.opened = k.keys[k.key].early
		k.rekeys = k.hasSealed() || len(k.values)+len(k.loads) > 0
		return k.refuseOrphans()
	}
	k.rekeys = true
	if k.opened = k.dk.h.unwrapped(); k.opened == nil {
		k.job, err = k.newJob()
	}
	return err
}

// refusePartial refuses a row whose columns under the key were not all loaded: saved with the new key, they would be lost.
func (k *rowKey) refusePartial() error {
	if k.dk.IsNull() {
		return nil
	}
	const missing = "the column was not loaded, and would be lost under a new key; load the whole row: %w"
	for _, i := range k.fields() {
		f := &k.schema.Fields[i]
		c := k.cells(i)
		cell, _ := k.rec.field(i)
		parts := f.IV != "" && c.iv.kind == notLoaded || f.Salt != "" && c.salt.kind == notLoaded
		if !cell.isSet() && (c.value.kind == notLoaded || c.value.kind != isNull && parts) {
			return k.at(f.Column, fmt.Errorf(missing, kms.ErrInvalidRequest))
		}
	}
	for _, i := range k.files() {
		if file := k.rec.file(i); !file.isSet() && file.sealed().kind == notLoaded {
			return k.at(k.schema.Files[i].Column, fmt.Errorf(missing, kms.ErrInvalidRequest))
		}
	}
	return nil
}

// hasAttachments tells whether the Schema has attachments under the key.
func (k *rowKey) hasAttachments() bool {
	for _, a := range k.schema.Attachments {
		if a.Key == k.keys[k.key].name {
			return true
		}
	}
	return false
}

// collectKept opens the fields and files that were not set, so that they are sealed anew with the others.
func (k *rowKey) collectKept(ctx context.Context) error {
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		if cell.isSet() || !cell.sealed().filled() {
			continue
		}
		plaintext, err := k.openNow(i, k.reporter(i))
		if err != nil {
			return k.at(k.schema.Fields[i].Column, err)
		}
		k.values = append(k.values, &sealing{field: i, cell: cell, plaintext: plaintext, kept: true})
	}
	for _, i := range k.files() {
		file := k.rec.file(i)
		if file.isSet() || !file.sealed().filled() {
			continue
		}
		w, err := k.keptFile(ctx, i)
		if err != nil {
			return k.at(k.schema.Files[i].Column, err)
		}
		k.loads = append(k.loads, w)
	}
	return nil
}

func (k *rowKey) keptFile(ctx context.Context, i int) (*fileWrite, error) {
	s := k.fileOf(i, k.opened)
	info, err := s.describe()
	if err != nil {
		return nil, err
	}
	content, err := s.read(ctx)
	return &fileWrite{file: i, kept: true, info: info, content: content}, err
}
