package rowseal

import (
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal/kms"
)

// Change is what the UPDATE of one row must write and compare, so that no ciphertext is written without the data key that
// opens it, no data key is replaced while something is sealed under it, and nothing is written that was made of columns
// which others have changed since. The statement names the row by its full primary key. Where it changes no row, ask the
// database what it holds, and Merge.
//
// Values that were set are written over whatever others have set there, as by any UPDATE; columns that stay are not
// written.
type Change struct {
	Set   []Assignment // empty: nothing sealed has changed
	Match []Match
	// Replaces lists the key columns whose data keys are given up. Before the statement is run, somebody must make sure
	// that the table has no column which is sealed and not in the Schema: it would be lost.
	Replaces []string
	// Unsure: some of it has been written before, in a transaction whose end is not known. Ask the database what it holds,
	// and call Change again with that.
	Unsure bool
}

// Assignment is a column and what to write into it.
type Assignment struct {
	Column string
	Value  driver.Value
}

// Match is a condition of an UPDATE: the column holds Value, bytewise, or NULL where Value is nil.
type Match struct {
	Column string
	Value  driver.Value
	// Text: the column is not sealed, and what is compared is its value as text, as it stands in the encryption context.
	Text bool
}

// write is a Change in the making.
type write struct {
	set      []Assignment
	match    []Match
	replaces []string
	unsure   bool
	now      map[string]any
	writes   []string
}

func (w *write) assign(name string, c column) { w.set = append(w.set, Assignment{name, c.value()}) }

// compare adds a condition, once.
func (w *write) compare(name string, c column) {
	if !slices.ContainsFunc(w.match, func(m Match) bool { return m.Column == name && !m.Text }) {
		w.match = append(w.match, Match{Column: name, Value: c.value()})
	}
}

// base is what the database holds: what it said, or else what is known of it.
func (w *write) base(name string, stored column) (column, error) {
	v, asked := w.now[name]
	if !asked {
		return stored, nil
	}
	return scanColumn(v)
}

// isSame tells whether two contents are the same in the database; a column that was not loaded has none.
func (c column) isSame(other column) bool {
	return c.isNone() == other.isNone() && c.text == other.text && (c.kind == notLoaded) == (other.kind == notLoaded)
}

func (e *engine) change(rec record, writes []string, now map[string]any) (Change, error) {
	w := write{now: now, writes: writes}
	work := e.each([]record{rec}, func(k *rowKey) error { return k.planChange(&w) })
	if err := batchError(work, 1); err != nil {
		return Change{}, err
	}
	if err := e.changeIndexes(work, &w); err != nil {
		return Change{}, err
	}
	return Change{Set: w.set, Match: w.match, Replaces: w.replaces, Unsure: w.unsure && now == nil}, nil
}

// planChange adds what is to be written and compared for one key.
func (k *rowKey) planChange(w *write) error {
	changed, err := k.changedCells(w)
	if err != nil || k.isMaster() {
		for _, c := range changed {
			c.assign(w)
		}
		return err
	}
	current, stored := k.dk.current(), k.dk.h.inDatabase()
	base, err := w.base(k.keyColumn(), stored)
	if err != nil {
		return err
	}
	if w.now != nil && !base.isSame(stored) && !base.isSame(k.dk.h.written()) {
		return fmt.Errorf("the row has another wrapped key now: %w", ErrConflict)
	}
	if sent := k.dk.h.written(); sent.kind != notLoaded || k.dk.h.wasInserted() {
		w.unsure = true
	}
	keyChanged := !current.isSame(base) && (base.kind != notLoaded || current.filled())
	if !keyChanged && len(changed) == 0 && !k.hasRemade() {
		return k.keepContext(w, base)
	}
	if base.kind == notLoaded {
		return fmt.Errorf("the key column was not loaded, so nobody knows what the row has; load the key column with the others, or INSERT "+
			"a row that is new: %w", ErrNoKey)
	}
	w.compare(k.keyColumn(), base)
	if keyChanged && !current.filled() {
		if err := k.refuseOrphans(); err != nil {
			return err
		}
	}
	replaced := keyChanged && (k.dk.h.loses() || !base.filled())
	switch {
	case replaced && base.filled():
		w.replaces = append(w.replaces, k.keyColumn())
		if err := k.replaceAll(w); err != nil {
			return err
		}
	case replaced:
		if err := k.compareAll(w, true); err != nil {
			return err
		}
		fallthrough
	default:
		if keyChanged {
			w.assign(k.keyColumn(), current)
		}
		for _, c := range changed {
			c.assign(w)
		}
	}
	return k.compareContext(w, replaced)
}

// changedCell is a field or file whose columns are to be written.
type changedCell struct {
	names  []string
	values []column
}

func (c changedCell) assign(w *write) {
	for i, name := range c.names {
		w.assign(name, c.values[i])
	}
}

// changedCells lists what differs from what the database holds.
func (k *rowKey) changedCells(w *write) (changed []changedCell, err error) {
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		f, past := &k.schema.Fields[i], cell.past()
		if cell.isSet() {
			return nil, k.at(f.Column, fmt.Errorf("the value is not sealed; call Seal first: %w", ErrUnsealed))
		}
		if err := k.checkOwn(i); err != nil {
			return nil, k.at(f.Column, err)
		}
		base, err := w.base(f.Column, past.stored)
		if err != nil {
			return nil, k.at(f.Column, err)
		}
		there := past
		there.stored = base
		if past.isKept(cell.sealed()) || there.isKept(cell.sealed()) { // it is not this row's to write, or is there already
			continue
		}
		if past.sent {
			w.unsure = true
		}
		if past.sent && w.now != nil && !past.mayBe(base) {
			return nil, k.at(f.Column, fmt.Errorf("it was written in a transaction whose end is not known, and holds something else now: %w", ErrConflict))
		}
		changed = append(changed, k.fieldCell(i))
	}
	for _, i := range k.files() {
		file := k.rec.file(i)
		if file.isSet() {
			return nil, k.at(k.schema.Files[i].Column, fmt.Errorf("the file is not sealed; call Seal first: %w", ErrUnsealed))
		}
		if current := file.sealed(); current.kind != notLoaded && !current.isSame(file.stored()) {
			changed = append(changed, k.fileCell(i))
		}
	}
	return changed, nil
}

// checkOwn refuses a field that is sealed under another data key than the row's: that of another row was assigned to it.
func (k *rowKey) checkOwn(field int) error {
	cell, _ := k.rec.field(field)
	if k.isMaster() || !cell.sealed().filled() {
		return nil
	}
	switch under, _ := cell.sealedUnder(); {
	case under.isSame(k.dk.h.fingerprint()):
		return nil
	case under == nil: // loaded since the row was opened
		if k.opened = k.unwrapped(); k.opened == nil {
			return nil
		}
		plaintext, err := k.openNow(field, func(string) {})
		if clear(plaintext); err == nil {
			return nil
		}
	}
	return fmt.Errorf("it is not sealed under the row's data key, as if it were another row's; Get the value there and Set it here: %w", kms.ErrInvalidRequest)
}

// fieldCell are the columns of a field.
func (k *rowKey) fieldCell(i int) changedCell {
	f, c := &k.schema.Fields[i], k.cells(i)
	all := changedCell{[]string{f.Column}, []column{c.value}}
	if f.IV != "" {
		all.names, all.values = append(all.names, f.IV), append(all.values, c.iv)
	}
	if f.Salt != "" {
		all.names, all.values = append(all.names, f.Salt), append(all.values, c.salt)
	}
	return all
}

func (k *rowKey) fileCell(i int) changedCell {
	return changedCell{[]string{k.schema.Files[i].Column}, []column{k.rec.file(i).sealed()}}
}

// everything adds all columns of a key, as an INSERT writes them; those of indexes go with the last key.
func (k *rowKey) everything(w *write) error {
	if _, err := k.changedCells(&write{}); err != nil {
		return err
	}
	if !k.isMaster() {
		w.assign(k.keyColumn(), k.dk.current())
	}
	k.assignCells(w)
	for i, x := range k.engine.indexes {
		if slices.Contains(k.fields(), x.fields[len(x.fields)-1]) {
			if err := k.assignIndex(w, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *rowKey) assignCells(w *write) {
	for _, i := range k.fields() {
		k.fieldCell(i).assign(w)
	}
	for _, i := range k.files() {
		k.fileCell(i).assign(w)
	}
}

// replaceAll writes every column under a key whose data key is given up.
func (k *rowKey) replaceAll(w *write) error {
	w.assign(k.keyColumn(), k.dk.current())
	k.assignCells(w)
	return k.compareAll(w, false)
}

// compareAll compares the columns under the key with what was loaded: they are given up, or were read to be sealed anew.
// One that was not loaded must be NULL where that is asked for.
func (k *rowKey) compareAll(w *write, orNull bool) error {
	compare := func(name string, stored column) error {
		base, err := w.base(name, stored)
		if err == nil && (base.kind != notLoaded || orNull) {
			w.compare(name, base)
		}
		return err
	}
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		if err := compare(k.schema.Fields[i].Column, cell.past().stored); err != nil {
			return err
		}
	}
	for _, i := range k.files() {
		if err := compare(k.schema.Files[i].Column, k.rec.file(i).stored()); err != nil {
			return err
		}
	}
	return nil
}

// contextOf lists the columns by which the wrapped key, and what is sealed under it, is bound to its row.
func (k *rowKey) contextOf() ([]string, error) {
	version, err := k.version()
	if err != nil {
		return nil, err
	}
	all := slices.Concat(k.keys[k.key].rule(version).columns, k.keys[k.key].columns)
	if k.schema.Binding == BindRow {
		all = append(all, k.schema.PrimaryKey)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// compareContext compares the columns of the context, but those that the statement writes together with a key that was
// wrapped for them.
func (k *rowKey) compareContext(w *write, wrappedAnew bool) error {
	if k.dk.IsNull() {
		return nil
	}
	columns, err := k.contextOf()
	if err != nil {
		return err
	}
	for _, name := range columns {
		if wrappedAnew && slices.Contains(w.writes, name) {
			continue
		}
		if err := k.compareText(w, name); err != nil {
			return err
		}
	}
	return nil
}

func (k *rowKey) compareText(w *write, name string) error {
	text, err := k.rowView().text(name)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(w.match, func(m Match) bool { return m.Column == name && m.Text }) {
		w.match = append(w.match, Match{Column: name, Value: text, Text: true})
	}
	return nil
}

// keepContext compares the columns of the context that a statement writes and that a key, which stays, is bound to.
func (k *rowKey) keepContext(w *write, base column) error {
	for _, name := range k.contextColumns(k.key) {
		if !slices.Contains(w.writes, name) {
			continue
		}
		if base.kind == isNull {
			w.compare(k.keyColumn(), base)
			continue
		}
		if err := k.compareText(w, name); err != nil {
			return err
		}
	}
	return nil
}

func (k *rowKey) hasRemade() bool {
	return slices.ContainsFunc(k.fields(), func(i int) bool { cell, _ := k.rec.field(i); return cell.past().remade })
}

// changeIndexes writes the indexes of the fields that are written, and compares the fields that they were made of and
// that are not.
func (e *engine) changeIndexes(work []*rowKey, w *write) error {
	written := func(column string) bool {
		return slices.ContainsFunc(w.set, func(a Assignment) bool { return a.Column == column })
	}
	for number, x := range e.indexes {
		var owner *rowKey
		for _, field := range x.fields {
			k := ownerOf(work, field)
			if k == nil {
				continue // Only has left it out
			}
			cell, _ := k.rec.field(field)
			if written(e.schema.Fields[field].Column) || cell.past().remade {
				owner = k
			}
		}
		if owner == nil {
			continue
		}
		if err := owner.assignIndex(w, number); err != nil {
			return err
		}
		for _, field := range x.fields {
			if k := ownerOf(work, field); k != nil && !written(e.schema.Fields[field].Column) {
				cell, _ := k.rec.field(field)
				base, err := w.base(e.schema.Fields[field].Column, cell.past().stored)
				if err != nil {
					return err
				}
				w.compare(e.schema.Fields[field].Column, base)
			}
		}
	}
	return nil
}

func ownerOf(work []*rowKey, field int) *rowKey {
	for _, k := range work {
		if slices.Contains(k.fields(), field) {
			return k
		}
	}
	return nil
}

func (k *rowKey) assignIndex(w *write, number int) error {
	value, err := k.rec.index(number).Value()
	if err != nil {
		return k.at(k.schema.Indexes[number].Column, err)
	}
	w.set = append(w.set, Assignment{k.schema.Indexes[number].Column, value})
	return nil
}

// wrote tells the cells that they were written, and that nobody knows yet whether the transaction is committed.
func (k *rowKey) wrote() {
	if !k.isMaster() {
		k.dk.h.wrote()
	}
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		if past := cell.past(); !cell.isSet() && !past.isKept(cell.sealed()) {
			past.sent = true
			past.earlier = append(slices.Clip(past.earlier), cell.sealed())
			cell.keepPast(past)
		}
	}
}

// committed tells the cells that the database has what they have.
func (k *rowKey) committed() {
	if !k.isMaster() {
		k.dk.h.committed()
	}
	for _, i := range k.fields() {
		if cell, _ := k.rec.field(i); !cell.isSet() && cell.sealed().kind != notLoaded {
			cell.keepPast(history{stored: cell.sealed()})
		}
	}
}

// inserted tells the cells that the row is new and the database has what they have, with NULL for what was never set.
func (k *rowKey) inserted() {
	if !k.isMaster() {
		if k.dk.h == nil {
			*k.dk = k.dk.replace(column{kind: isNull}, nil)
		}
		k.dk.h.insert(k.primary())
	}
	for _, i := range k.fields() {
		cell, _ := k.rec.field(i)
		switch {
		case cell.isSet():
			cell.keepPast(history{stored: column{kind: isNull}})
		case cell.sealed().kind == notLoaded:
			_ = cell.Scan(nil) // which cannot fail
		default:
			cell.keepPast(history{stored: cell.sealed()})
		}
	}
}
