package rowseal

import (
	"context"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// ready: evaluate the contexts under which new data keys would be wrapped.
func (e *engine) ready(rec record) error {
	for _, k := range e.each([]record{rec}, (*rowKey).checkReady) {
		if k.err != nil {
			return k.at(k.keyColumn(), k.err)
		}
	}
	return nil
}

func (k *rowKey) checkReady() error {
	if !k.hasNew() {
		return nil
	}
	if k.schema.Binding == BindRow {
		if _, err := k.id(); err != nil {
			return err
		}
	}
	if k.isMaster() || !k.dk.IsNull() {
		return nil
	}
	ring, err := k.keyring()
	if err != nil || len(ring.versions) == 0 {
		return err
	}
	_, err = k.context(ring.versions[0].Number)
	return err
}

// hasNew tells whether anything was set that is to be sealed, or was sealed under a key that is not wrapped yet.
func (k *rowKey) hasNew() bool {
	return k.dk != nil && k.dk.h.isPending() ||
		slices.ContainsFunc(k.fields(), func(i int) bool { cell, _ := k.rec.field(i); return cell.isSet() }) ||
		slices.ContainsFunc(k.files(), func(i int) bool { return k.rec.file(i).isSet() })
}

// prepare: seal under new data keys, and let Seal wrap them.
func (e *engine) prepare(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, (*rowKey).planPrepare)
	e.sealAndCommit(ctx, work)
	return batchError(work, len(records))
}

func (k *rowKey) planPrepare() error {
	if k.schema.Binding == BindRow || len(k.schema.Files) > 0 {
		return fmt.Errorf("fields or files are bound to an id that the row does not have yet: %w", ErrNotReady)
	}
	if k.dk != nil && k.dk.h.isPending() { // prepared before, and not inserted
		k.fresh = true
	}
	if err := k.planSeal(); err != nil || k.job == nil {
		return err
	}
	if !k.fresh {
		return fmt.Errorf("the row has a data key already; call Seal: %w", kms.ErrInvalidRequest)
	}
	k.local = true
	var err error
	k.opened, err = newOpenedKey(k.job.plaintext, k.keys[k.key].schemes, identity{})
	return err
}
