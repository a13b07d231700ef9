package rowseal

import (
	"context"
	"fmt"
	"slices"
)

// Verify opens everything that the rows hold: each data key, each field, whose plaintext must be a value of its type, and each file,
// which is read from its store. It keeps nothing of that; the rows stay closed. The error is a *BatchError with a RowError for every
// column that is not in order, so that a row may be in it several times. Data keys cost requests to the KMS as Open's do, also those
// with nothing under them. Attachments, which are not among a row's columns, it does not look at.
func (r *Rows) Verify(ctx context.Context, rows ...any) error {
	return r.verify(ctx, r.all(rows))
}

// Unused lists the key columns of a row that have a wrapped key and nothing that is sealed under it.
func (r *Rows) Unused(row any) (columns []string) {
	r.each(r.all([]any{row}), func(k *rowKey) error {
		if !k.isMaster() && !k.dk.IsNull() && !k.hasSealed() && !k.hasAttachments() {
			columns = append(columns, k.keyColumn())
		}
		return nil
	})
	return columns
}

func (e *engine) verify(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, (*rowKey).planVerify)
	runJobs(ctx, work)
	found := make([][]error, len(work))
	atOnce(len(work), filesAtOnce, func(i int) {
		if work[i].err == nil && work[i].opened != nil {
			found[i] = work[i].wrongColumns(ctx)
		}
	})
	var all []*rowKey
	for i, k := range work {
		if all = append(all, k); k.err != nil {
			continue
		}
		for _, err := range found[i] {
			all = append(all, &rowKey{engine: e, row: k.row, rec: k.rec, key: k.key, dk: k.dk, err: err})
		}
	}
	return batchError(all, len(records))
}

func (k *rowKey) planVerify() (err error) {
	switch {
	case k.isMaster():
		k.opened = k.unwrapped()
		return nil
	case k.dk.IsNull():
		k.opened = k.keys[k.key].early
		return k.refuseOrphans()
	}
	k.job, err = k.newJob()
	return err
}

// wrongColumns opens the fields and files under the key.
func (k *rowKey) wrongColumns(ctx context.Context) (all []error) {
	for _, i := range k.fields() {
		if err := k.verifyField(i); err != nil {
			all = append(all, k.at(k.schema.Fields[i].Column, err))
		}
	}
	for _, i := range k.files() {
		file := k.rec.file(i)
		if file.isSet() || !file.sealed().filled() {
			continue
		}
		content, err := k.fileOf(i, k.opened).read(ctx)
		if clear(content); err != nil {
			all = append(all, k.at(k.schema.Files[i].Column, err))
		}
	}
	return slices.Clip(all)
}

func (k *rowKey) verifyField(i int) error {
	cell, codec := k.rec.field(i)
	if cell.isSet() || cell.sealed().isNone() {
		return nil
	}
	plaintext, err := k.openNow(i, k.reporter(i))
	if err != nil {
		return err
	}
	defer clear(plaintext)
	if err := cell.decodes(codec, plaintext); err != nil {
		return fmt.Errorf("it opens, and is no value of its type (%s): %w", k.schema.Fields[i].Type, ErrDecryptionFailed)
	}
	return nil
}
