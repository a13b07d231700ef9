package rowseal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// merging is a row on its way to what the database holds now.
type merging struct {
	now map[string]any
}

// column is what the database holds in a sealed column.
func (m merging) column(name string) (column, error) {
	v, asked := m.now[name]
	if !asked {
		return column{}, fmt.Errorf("column %s is not among what the database was asked for: %w", name, kms.ErrInvalidRequest)
	}
	return scanColumn(v)
}

// merge: find out for each key whether it is still the one that the row knows, and then what each column is to be.
func (e *engine) merge(ctx context.Context, rec record, now map[string]any) error {
	m := merging{now}
	var plans []*keyMerge
	work := e.each([]record{rec}, func(k *rowKey) error {
		p, err := k.planMerge(m)
		plans = append(plans, p)
		return err
	})
	var theirs []*rowKey
	for _, p := range plans {
		if p != nil && p.theirs != nil {
			theirs = append(theirs, p.theirs)
		}
	}
	runJobs(ctx, theirs)
	for i, k := range work {
		if k.err == nil {
			k.err = k.finishMerge(m, plans[i])
		}
	}
	if err := batchError(work, 1); err != nil {
		return err
	}
	return e.mergeIndexes(rec, m)
}

// keyMerge says what becomes of one key.
type keyMerge struct {
	stored column  // what the database holds
	moved  bool    // it is another wrapped key than those that the row knows
	theirs *rowKey // with a job that opens it; nil: that is not needed
}

// planMerge compares the key column, and refuses what cannot be merged.
func (k *rowKey) planMerge(m merging) (*keyMerge, error) {
	if k.isMaster() {
		return nil, nil
	}
	stored, err := m.column(k.keyColumn())
	if err != nil {
		return nil, err
	}
	p := &keyMerge{stored: stored}
	known := k.dk.h.inDatabase()
	p.moved = !stored.isSame(known) && !stored.isSame(k.dk.h.written()) && (stored.filled() || known.filled())
	if err := k.sameContext(m, stored); err != nil {
		return nil, err
	}
	switch {
	case p.moved && k.dk.h.wasInserted():
		return nil, fmt.Errorf("the row was inserted in a transaction whose end is not known, and has another data key now: it is another row, or "+
			"was changed since; load it, or Create it anew: %w", ErrConflict)
	case k.dk.h.loses() && known.filled():
		return p, k.untouched(m)
	case !p.moved:
		return p, nil
	case !k.hasChanged() && (k.unwrapped() == nil || !stored.filled()):
		return p, nil
	case !stored.filled():
		return nil, fmt.Errorf("someone else has removed the data key: %w", ErrConflict)
	case k.sealOnly:
		return nil, fmt.Errorf("the row has another data key now, and a Sealer opens nothing; load the row again, Clear it and set "+
			"its values: %w", ErrConflict)
	}
	var dk DataKey
	if err := dk.Scan(stored.value()); err != nil {
		return nil, err
	}
	p.theirs = &rowKey{engine: k.engine, row: k.row, rec: k.rec, key: k.key, dk: &dk}
	p.theirs.job, err = p.theirs.newJob()
	return p, err
}

// sameContext refuses a row whose columns no longer name what the key is bound to.
func (k *rowKey) sameContext(m merging, stored column) error {
	if !stored.filled() || k.dk.h.loses() {
		return nil
	}
	ring, err := k.keyring()
	if err != nil {
		return err
	}
	version, err := ring.VersionOf(stored.text)
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(k.keys[k.key].rule(version).columns, k.keys[k.key].columns) {
		ours, err := k.rowView().text(name)
		if err != nil {
			return err
		}
		theirs, asked := m.now[name]
		if asked && theirs != ours {
			return fmt.Errorf("column %s, which the encryption context uses, has another value in the database than in the row; to change it, "+
				"Clear the row, set its values anew and write both in one statement: %w", name, ErrContextChanged)
		}
	}
	return nil
}

// untouched refuses a new data key for a row whose columns others have changed: their values would be lost.
func (k *rowKey) untouched(m merging) error {
	check := func(name string, stored, current column) error {
		now, err := m.column(name)
		if err == nil && stored.kind != notLoaded && !now.isSame(stored) && !now.isSame(current) {
			err = fmt.Errorf("someone else has changed the column since the row was loaded, and the new data key would replace that value: %w", ErrConflict)
		}
		if err != nil {
			return k.at(name, err)
		}
		return nil
	}
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		if err := check(k.schema.Fields[i].Column, cell.past().stored, cell.sealed()); err != nil {
			return err
		}
	}
	for _, i := range k.files() {
		file := k.rec.file(i)
		if err := check(k.schema.Files[i].Column, file.stored(), file.sealed()); err != nil {
			return err
		}
	}
	return nil
}

// hasChanged tells whether something is to be written that is sealed under the key.
func (k *rowKey) hasChanged() bool {
	return slices.ContainsFunc(k.fields(), func(i int) bool {
		cell, _ := k.rec.field(i)
		return cell.isSet() || cell.sealed().filled() && !cell.past().isKept(cell.sealed())
	}) || slices.ContainsFunc(k.files(), func(i int) bool { return k.fileChanged(i) })
}

func (k *rowKey) fileChanged(i int) bool {
	file := k.rec.file(i)
	return file.isSet() || file.sealed().kind != notLoaded && !file.sealed().isSame(file.stored())
}

// finishMerge changes the row.
func (k *rowKey) finishMerge(m merging, p *keyMerge) error {
	if k.isMaster() {
		return k.mergeCells(m, false)
	}
	if k.dk.h.loses() && k.dk.h.inDatabase().filled() {
		k.dk.h.found(p.stored)
		return k.knowCells(m)
	}
	if !p.moved {
		return k.mergeCells(m, false)
	}
	if p.theirs == nil {
		k.takeKey(p.stored, nil)
		return k.mergeCells(m, true)
	}
	if err := p.theirs.err; err != nil {
		if errors.Is(err, kms.ErrAccessDenied) {
			err = fmt.Errorf("%w: the row has another wrapped key now, and only who may open it can tell whether it is the same data key: %w", ErrConflict, err)
		}
		return err
	}
	ours := k.unwrapped()
	same := ours != nil && ours.print.isSame(p.theirs.opened.print)
	k.takeKey(p.stored, p.theirs.opened)
	return k.mergeCells(m, !same)
}

// found tells what the database holds of a key that is to be replaced.
func (h *handle) found(stored column) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored = stored
}

// takeKey makes the database's wrapped key the row's.
func (k *rowKey) takeKey(stored column, opened *openedKey) {
	before := k.dk.h
	*k.dk = DataKey{&handle{stored: stored, current: stored, opened: opened, print: opened.fingerprint(), before: before, rows: before.boundTo()}}
}

// mergeCells makes each column what the database has, or what it is to be; resealed tells that the key is another one.
func (k *rowKey) mergeCells(m merging, resealed bool) error {
	for _, i := range k.fields() {
		if err := k.mergeField(m, i, resealed); err != nil {
			return k.at(k.schema.Fields[i].Column, err)
		}
	}
	for _, i := range k.files() {
		name := k.schema.Files[i].Column
		now, err := m.column(name)
		switch {
		case err != nil:
			return k.at(name, err)
		case !k.fileChanged(i):
			if k.rec.file(i).stored().kind != notLoaded {
				err = k.rec.file(i).Scan(now.value())
			}
		case resealed && k.rec.file(i).sealed().filled():
			err = fmt.Errorf("the row has another data key now, and the file is stored under the old one; load the row again and set the file: %w", ErrConflict)
		}
		if err != nil {
			return k.at(name, err)
		}
	}
	if k.opened = k.unwrapped(); k.opened != nil {
		k.attach()
	}
	return nil
}

func (k *rowKey) mergeField(m merging, i int, resealed bool) error {
	cell, _ := k.rec.field(i)
	now, err := m.column(k.schema.Fields[i].Column)
	if err != nil {
		return err
	}
	past, current := cell.past(), cell.sealed()
	switch {
	case past.remade:
		return fmt.Errorf("the row has changed since its indexes were made; load it again: %w", ErrConflict)
	case !cell.isSet() && past.isKept(current):
		if past.stored.kind == notLoaded {
			return nil
		}
		return k.adopt(m, i, now)
	case past.sent && !now.isSame(current) && !past.mayBe(now):
		return fmt.Errorf("it was written in a transaction whose end is not known, and holds something else now: %w", ErrConflict)
	}
	if now.isSame(current) && !resealed {
		return nil // it was written already
	}
	if current.filled() && !cell.setAgain() {
		return fmt.Errorf("the row has changed, and the value to be written is not known any more; load it again: %w", ErrConflict)
	}
	past.earlier = append(slices.Clip(past.earlier), past.stored)
	past.stored, past.sent = now, false
	cell.keepPast(past)
	return nil
}

// adopt loads a field and its parts anew.
func (k *rowKey) adopt(m merging, i int, now column) error {
	cell, _ := k.rec.field(i)
	if err := cell.Scan(now.value()); err != nil {
		return err
	}
	f := &k.schema.Fields[i]
	parts := cells{}
	var err error
	if f.IV != "" {
		if parts.iv, err = m.column(f.IV); err != nil {
			return err
		}
	}
	if f.Salt != "" {
		if parts.salt, err = m.column(f.Salt); err != nil {
			return err
		}
	}
	k.setParts(i, parts)
	return nil
}

// knowCells notes what the database holds where the cells stay as they are.
func (k *rowKey) knowCells(m merging) error {
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		now, err := m.column(k.schema.Fields[i].Column)
		if err != nil {
			return err
		}
		if past := cell.past(); past.stored.kind != notLoaded {
			past.stored = now
			cell.keepPast(past)
		}
	}
	return nil
}

// mergeIndexes loads the indexes anew, but those of fields that are sealed and still to be written; Seal makes those of the
// fields that are set again.
func (e *engine) mergeIndexes(rec record, m merging) error {
	sealed := func(field int) bool {
		cell, _ := rec.field(field)
		now, err := m.column(e.schema.Fields[field].Column)
		return err == nil && !cell.isSet() && !cell.past().isKept(cell.sealed()) && !cell.sealed().isSame(now)
	}
	for i, ix := range e.schema.Indexes {
		if now, asked := m.now[ix.Column]; asked && rec.index(i).IsLoaded() && !slices.ContainsFunc(e.indexes[i].fields, sealed) {
			if err := rec.index(i).Scan(now); err != nil {
				return err
			}
		}
	}
	return nil
}
