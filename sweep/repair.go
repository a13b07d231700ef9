package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal"
)

// repair makes the columns of a row open again under data keys that the journal has kept of it. Where that does not succeed the row's
// Err stays.
func (s *VerifyStep) repair(ctx context.Context, row *Row, entries []Replaced) error {
	wrong := columnsOf(row.Err)
	for column, candidates := range candidatesOf(entries) {
		if !slices.ContainsFunc(wrong, func(c string) bool { return s.keyOf(c) == column }) {
			continue
		}
		r := repairing{s, row, column, candidates, wrong}
		err := r.withKeyBack(ctx)
		if errors.Is(err, errNotThat) {
			err = r.sealedAnew(ctx)
		}
		switch {
		case errors.Is(err, errNotThat):
			return nil
		case err != nil && isOfService(err):
			row.Err = err
			return nil
		case err != nil:
			return err
		}
		wrong = slices.DeleteFunc(wrong, func(c string) bool { return s.keyOf(c) == column })
	}
	if len(wrong) == 0 {
		row.Err = nil
		s.repaired++
	}
	return nil
}

// candidatesOf are the wrapped keys that a row has had, by key column.
func candidatesOf(entries []Replaced) map[string][]string {
	all := map[string][]string{}
	for _, e := range entries {
		for _, wrapped := range []string{e.New, e.Old} {
			if wrapped != "" && !slices.Contains(all[e.Column], wrapped) {
				all[e.Column] = append(all[e.Column], wrapped)
			}
		}
	}
	return all
}

// repairing is the repair of what is under one key column of a row.
type repairing struct {
	*VerifyStep
	row        *Row
	key        string // its column
	candidates []string
	wrong      []string // columns of the row that do not open
}

// errNotThat: this way does not repair the row.
var errNotThat = errors.New("not that way")

// withKeyBack is for a row whose data key is NULL or does not open: one that it has had, and that opens all that the row holds, is put
// back. It is wrapped for this row, or else it would not have opened.
func (r repairing) withKeyBack(ctx context.Context) error {
	if !r.keyIsWrong() {
		return errNotThat
	}
	for _, wrapped := range r.candidates {
		probe, err := r.under(wrapped)
		if err != nil {
			return err
		}
		switch err := r.rows.Verify(ctx, probe); {
		case isOfService(err):
			return err
		case slices.ContainsFunc(columnsOf(err), func(c string) bool { return r.keyOf(c) == r.key }):
			continue
		}
		r.row.Also.Set = append(r.row.Also.Set, rowseal.Assignment{Column: r.key, Value: wrapped})
		return r.compare(append([]string{r.key}, r.sealedUnder()...))
	}
	return errNotThat
}

// keyIsWrong tells whether the row has no data key that opens.
func (r repairing) keyIsWrong() bool {
	value, err := r.stored(r.row.Row, r.key)
	return err != nil || value == nil || value == "" || slices.Contains(r.wrong, r.key)
}

// under is a copy of the row with another wrapped key.
func (r repairing) under(wrapped string) (any, error) {
	probe, err := r.rows.Copy(r.row.Row)
	if err != nil {
		return nil, err
	}
	return probe, r.put(probe, r.key, wrapped)
}

// sealedAnew seals each field that does not open under the row's data key, and opens under one that the row has had, anew; all of them
// under a new data key where the row has none that opens.
func (r repairing) sealedAnew(ctx context.Context) error {
	if r.hasFiles() { // the object would have to move too
		return errNotThat
	}
	fields := slices.DeleteFunc(r.sealedUnder(), func(c string) bool {
		value, err := r.stored(r.row.Row, c)
		return err == nil && value == nil || !r.isField(c) || !r.keyIsWrong() && !slices.Contains(r.wrong, c)
	})
	opened := map[string]any{}
	for _, wrapped := range r.candidates {
		probe, err := r.under(wrapped)
		if err != nil {
			return err
		}
		err = r.rows.Verify(ctx, probe)
		wrong := columnsOf(err)
		switch {
		case isOfService(err):
			return err
		case slices.Contains(wrong, r.key):
			continue
		}
		for _, f := range fields {
			if !slices.Contains(wrong, f) {
				opened[f] = probe
			}
		}
		if err := r.rows.Open(ctx, probe); err != nil && isOfService(err) {
			return err
		}
	}
	if len(opened) < len(fields) {
		return errNotThat
	}
	if err := r.compare(append([]string{r.key}, fields...)); err != nil {
		return err
	}
	if err := r.take(fields, opened); err != nil {
		return fmt.Errorf("%w: %w", errNotThat, err)
	}
	if err := r.rows.Seal(ctx, r.row.Row); err != nil {
		if isOfService(err) {
			return err
		}
		return errNotThat
	}
	return nil
}

// take sets the fields to the values that they have in the copies.
func (r repairing) take(fields []string, opened map[string]any) error {
	if value, err := r.stored(r.row.Row, r.key); err == nil && value != nil && r.keyIsWrong() {
		r.rows.Only(r.nameOf(r.key)).Clear(r.row.Row)
	}
	for _, f := range fields {
		if err := r.rows.Take(r.row.Row, f, opened[f]); err != nil {
			return err
		}
	}
	return nil
}

// compare lets the UPDATE compare columns with what was read.
func (r repairing) compare(columns []string) error {
	for _, column := range columns {
		value, err := r.stored(r.row.Row, column)
		if err != nil {
			return err
		}
		r.row.Also.Match = append(r.row.Also.Match, rowseal.Match{Column: column, Value: value})
	}
	return nil
}

func (r repairing) nameOf(column string) string {
	for _, k := range r.schema.Keys {
		if k.Column == column {
			return k.Name
		}
	}
	return ""
}

// sealedUnder are the columns of the fields and files under the key, with those of IVs and salts.
func (r repairing) sealedUnder() (columns []string) {
	name := r.nameOf(r.key)
	for _, f := range r.schema.Fields {
		if f.Key == name {
			columns = append(columns, r.withParts(f.Column)...)
		}
	}
	for _, f := range r.schema.Files {
		if f.Key == name {
			columns = append(columns, f.Column)
		}
	}
	return columns
}

func (r repairing) isField(column string) bool {
	return slices.ContainsFunc(r.schema.Fields, func(f rowseal.Field) bool { return f.Column == column })
}

func (r repairing) hasFiles() bool {
	name := r.nameOf(r.key)
	return slices.ContainsFunc(r.schema.Files, func(f rowseal.FileColumn) bool { return f.Key == name })
}
