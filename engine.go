package rowseal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
)

// engine seals and opens records by a Schema. It knows no Go struct.
type engine struct {
	schema   *Schema
	rings    []keyringChoice // in the order of schema.Keys
	fieldsOf [][]int         // the indexes of the fields under each key
	selected []bool          // the keys that are seen; nil: all
	sealOnly bool            // of a Sealer: no data key is unwrapped
	err      error           // of Only
}

// keyringChoice is the keyring of a key column, or how a row chooses one.
type keyringChoice struct {
	ring    *Keyring
	choose  func(Row) (*Keyring, error)
	columns []string
}

// record is one row: its columns, data keys and sealed fields. A nil record stands for a nil row.
type record interface {
	value(column string) (any, error)
	key(i int) *DataKey
	field(i int) (sealedColumn, any) // and its codec
}

func newEngine(s *Schema, ring *Keyring, options map[string]KeyOptions) (*engine, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	e := &engine{schema: s}
	for _, k := range s.Keys {
		o := options[k.Name]
		c := keyringChoice{ring: o.Keyring, choose: o.KeyringFor, columns: o.KeyringColumns}
		switch {
		case c.ring != nil && c.choose != nil:
			return nil, s.invalid("%s has a Keyring and a KeyringFor, and can have one", k.Column)
		case c.ring == nil && c.choose == nil:
			c.ring = ring
		}
		if c.ring == nil && c.choose == nil {
			return nil, s.invalid("%s has no keyring", k.Column)
		}
		if c.ring != nil {
			if err := s.checkEnforced(k, c.ring); err != nil {
				return nil, err
			}
		}
		e.rings = append(e.rings, c)
		var fields []int
		for i, f := range s.Fields {
			if f.Key == k.Name {
				fields = append(fields, i)
			}
		}
		e.fieldsOf = append(e.fieldsOf, fields)
	}
	return e, nil
}

// checkEnforced demands that fields are bound to their rows where the KMS would open any row's key for any other.
func (s *Schema) checkEnforced(k KeyColumn, ring *Keyring) error {
	unbound := func(f Field) bool { return f.Key == k.Name && (s.Binding != BindRow || f.AssociatedData != "") }
	i := slices.IndexFunc(s.Fields, unbound)
	if i < 0 {
		return nil
	}
	for _, v := range ring.versions {
		if !v.Key.Info().ContextEnforced {
			return s.invalid("%s does not enforce the encryption context, so that a stolen %s would open in another row; "+
				"use BindRow, and no associated data of the field's own", v.Key.ID(), s.Fields[i].Column)
		}
	}
	return nil
}

func (e *engine) only(keys []string) *engine {
	narrowed := *e
	narrowed.selected = make([]bool, len(e.schema.Keys))
	for _, name := range keys {
		i := slices.IndexFunc(e.schema.Keys, func(k KeyColumn) bool { return k.Name == name || k.Column == name })
		if i < 0 {
			narrowed.err = e.schema.invalid("Only(%q) names a key that no key column has; name one of %s", name, e.schema.keyNames())
			continue
		}
		narrowed.selected[i] = e.selected == nil || e.selected[i]
	}
	return &narrowed
}

func (e *engine) sealer() *engine {
	sealing := *e
	sealing.sealOnly = true
	return &sealing
}

// rowKey is the work on one key column of one row.
type rowKey struct {
	*engine
	row int // its index in the call
	rec record
	key int // its index in the schema
	dk  *DataKey
	err error

	job    *job          // of the KMS; nil: none is needed
	fresh  bool          // the job wraps a new data key
	opened *openedKey    // the unwrapped key, once known
	values []sealedValue // to seal
	place  *Error        // where this is; see at
}

// sealedValue is a field that was set, on its way to its column.
type sealedValue struct {
	field      int
	cell       sealedColumn
	plaintext  []byte
	ciphertext column
}

// each visits every selected key of every row; what visit returns is the key's error.
func (e *engine) each(records []record, visit func(*rowKey) error) []*rowKey {
	var all []*rowKey
	for row, rec := range records {
		for key := range e.schema.Keys {
			if e.selected != nil && !e.selected[key] {
				continue
			}
			k := &rowKey{engine: e, row: row, rec: rec, key: key}
			if all = append(all, k); rec == nil {
				k.err = fmt.Errorf("the row is a nil pointer: %w", kms.ErrInvalidRequest)
				break
			}
			k.dk = rec.key(key)
			k.err = visit(k)
		}
	}
	return all
}

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

// runJobs asks the KMS for the keys that the work needs: wrapped keys are opened, new ones wrapped.
func (e *engine) runJobs(ctx context.Context, work []*rowKey) {
	var unwraps, wraps []*job
	var waiting []*rowKey
	for _, k := range work {
		switch {
		case k.err != nil || k.job == nil:
			continue
		case k.fresh:
			wraps = append(wraps, k.job)
		default:
			unwraps = append(unwraps, k.job)
		}
		waiting = append(waiting, k)
	}
	unwrapAll(ctx, unwraps)
	wrapAll(ctx, wraps)
	for _, k := range waiting {
		k.opened, k.err = k.openedByJob()
		clear(k.job.plaintext)
	}
}

func (k *rowKey) openedByJob() (*openedKey, error) {
	if k.job.err != nil {
		return nil, k.job.err
	}
	row, err := k.identity(k.job.ec)
	if err != nil {
		return nil, err
	}
	return newOpenedKey(k.job.plaintext, row)
}

// identity is that of the row as it is now.
func (k *rowKey) identity(ec kms.Context) (i identity, err error) {
	i.ec = ec
	if k.schema.Binding == BindRow {
		if i.id, err = k.id(); err != nil {
			return i, err
		}
	}
	row := k.rowView()
	row.allowed = k.rings[k.key].columns
	for _, c := range row.allowed {
		value, err := row.Column(c)
		if err != nil {
			return i, err
		}
		i.ring += strconv.Quote(value)
	}
	return i, nil
}

// planSeal finds out what the key has to seal and which job that needs.
func (k *rowKey) planSeal() error {
	if err := k.checkContext(); err != nil {
		return err
	}
	needsKey, err := k.collect()
	if err != nil || !needsKey {
		return err
	}
	if k.opened = k.dk.h.unwrapped(); k.opened != nil {
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

// checkContext refuses a row that is no longer the one that its opened key is bound to: saved so, it could not be opened again.
func (k *rowKey) checkContext() error {
	opened := k.dk.h.unwrapped()
	if opened == nil {
		return nil
	}
	version, err := k.version()
	if err != nil {
		return err
	}
	ec, err := k.context(version)
	if err != nil {
		return err
	}
	now, err := k.identity(ec)
	if err == nil && !now.equal(opened.row) {
		err = fmt.Errorf("a column that names the row has changed since its data key was opened: %w", ErrContextChanged)
	}
	return err
}

func (k *rowKey) version() (int, error) {
	ring, err := k.keyring()
	if err != nil {
		return 0, err
	}
	return ring.VersionOf(k.dk.Wrapped())
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

// refuseOrphans refuses to make a new key for a row that has ciphertexts and no key: the new key would hide that they are lost, or
// lose them if only the key column was not loaded.
func (k *rowKey) refuseOrphans() error {
	for _, i := range k.fieldsOf[k.key] {
		cell, _ := k.rec.field(i)
		if cell.sealed().filled() {
			return k.orphan(i)
		}
	}
	return nil
}

func (k *rowKey) orphan(field int) error {
	why := "is NULL"
	switch stored := k.dk.current(); {
	case stored.kind == notLoaded:
		why = "was not loaded"
	case stored.kind != isNull:
		why = "is empty"
	}
	return k.at(k.schema.Fields[field].Column, fmt.Errorf("key column %s %s beside a ciphertext: %w", k.schema.Keys[k.key].Column, why, ErrNoKey))
}

// checkNeighbours opens the fields that stay as they are. One that does not open under this key came from another row, or from
// before the key was replaced: saved beside it, it would be lost.
func (k *rowKey) checkNeighbours() error {
	if k.opened == nil || k.fresh {
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
		return nil
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

func (e *engine) rewrap(ctx context.Context, records []record) error {
	if e.err != nil {
		return e.err
	}
	work := e.each(records, (*rowKey).planRewrap)
	var jobs []*job
	for _, k := range work {
		if k.err == nil && k.job != nil {
			jobs = append(jobs, k.job)
		}
	}
	rewrapAll(ctx, jobs)
	for _, k := range work {
		if k.err == nil && k.job != nil {
			k.err = k.commitRewrap()
		}
	}
	return e.batchError(work, len(records))
}

func (k *rowKey) planRewrap() (err error) {
	if k.dk.IsNull() {
		return nil
	}
	if err := k.checkContext(); err != nil {
		return err
	}
	k.job, err = k.newJob()
	return err
}

func (k *rowKey) commitRewrap() error {
	if k.job.err != nil {
		return k.job.err
	}
	opened := k.dk.h.unwrapped()
	if opened != nil {
		row, err := k.identity(k.job.ec)
		if err != nil {
			return err
		}
		opened = &openedKey{box: opened.box, row: row}
	}
	dk := k.dk.rewrapped(k.job.wrapped, opened)
	dk.h.before = k.dk.h
	*k.dk = dk
	return nil
}

func (e *engine) clear(records []record) {
	e.each(records, func(k *rowKey) error {
		*k.dk = k.dk.replace(column{kind: isNull}, nil)
		for _, i := range k.fieldsOf[k.key] {
			cell, _ := k.rec.field(i)
			cell.SetNull()
		}
		return nil
	})
}

func (e *engine) wipe(records []record) {
	e.each(records, func(k *rowKey) error {
		k.dk.Wipe()
		for _, i := range k.fieldsOf[k.key] {
			cell, _ := k.rec.field(i)
			cell.forget()
		}
		return nil
	})
}

// newJob is the KMS's work for the key: to wrap a fresh one, or to unwrap or rewrap the one that the row has.
func (k *rowKey) newJob() (*job, error) {
	ring, err := k.keyring()
	if err != nil {
		return nil, err
	}
	j := &job{ring: ring, context: k.context}
	if !k.fresh {
		j.wrapped = k.dk.Wrapped()
		return j, nil
	}
	j.plaintext = make([]byte, lockbox.KeySize)
	rand.Read(j.plaintext) // never fails: crypto/rand ends the program instead
	return j, nil
}

func (k *rowKey) keyring() (*Keyring, error) {
	c := k.rings[k.key]
	if c.choose == nil {
		return c.ring, nil
	}
	row := k.rowView()
	row.allowed = c.columns
	ring, err := c.choose(row)
	switch {
	case err != nil:
		return nil, err
	case ring == nil:
		return nil, fmt.Errorf("KeyringFor chose none: %w", kms.ErrInvalidRequest)
	}
	return ring, k.schema.checkEnforced(k.schema.Keys[k.key], ring)
}

func (k *rowKey) context(version int) (kms.Context, error) {
	return k.schema.Keys[k.key].rule(k.schema, version).context(k.rowView())
}

func (k *rowKey) rowView() Row { return Row{value: k.rec.value, primaryKey: k.schema.PrimaryKey} }

func (k *rowKey) id() (string, error) { return k.rowView().Column(k.schema.PrimaryKey) }

// at puts the place before an error.
func (k *rowKey) at(column string, err error) *Error { return k.where().at(column, err) }

// where is the place of this key, without a column.
func (k *rowKey) where() *Error {
	if k.place != nil {
		return k.place
	}
	k.place = &Error{Table: k.schema.Table}
	if k.rec != nil {
		k.place.ID, _ = k.id()
		k.place.Version = versionIn(k.dk.Wrapped())
	}
	if k.job != nil && k.job.version != 0 {
		k.place.Version = k.job.version
	}
	return k.place
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

// batchError is nil if no key of any row has an error.
func (e *engine) batchError(work []*rowKey, of int) error {
	b := &BatchError{Of: of}
	for _, k := range work {
		if k.err == nil {
			continue
		}
		if placed := (*Error)(nil); !errors.As(k.err, &placed) {
			k.err = k.at(k.schema.Keys[k.key].Column, k.err)
		}
		b.Rows = append(b.Rows, RowError{Index: k.row, Err: k.err})
	}
	if len(b.Rows) == 0 {
		return nil
	}
	return b
}
