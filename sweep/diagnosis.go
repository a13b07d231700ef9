package sweep

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
)

// diagnosed is how many of the rows that failed are looked at more closely: each pair of them costs requests to the KMS.
const diagnosed = 20

// probe asks whether a column of a row that failed is another row's.
type probe struct {
	bad, owner *Row
	column     string
	row        any // a copy of owner, with that column
}

// End implements Ender.
func (s *VerifyStep) End(ctx context.Context, status *Status) error {
	if err := s.forgetGone(ctx); err != nil {
		return err
	}
	return s.diagnose(ctx, status)
}

// diagnose finds out which of the rows that failed have each other's columns.
func (s *VerifyStep) diagnose(ctx context.Context, status *Status) error {
	var probes []probe
	for _, bad := range s.bad {
		for _, owner := range s.bad {
			if bad == owner {
				continue
			}
			some, err := s.probes(bad, owner)
			if err != nil {
				return err
			}
			probes = append(probes, some...)
		}
	}
	if len(probes) == 0 {
		return nil
	}
	rows := make([]any, len(probes))
	for i, p := range probes {
		rows[i] = p.row
	}
	wrong := make([][]string, len(probes))
	batch := (*rowseal.BatchError)(nil)
	switch err := s.rows.Verify(ctx, rows...); {
	case errors.As(err, &batch):
		for _, e := range batch.Rows {
			wrong[e.Index] = append(wrong[e.Index], columnsOf(e.Err)...)
		}
	case err != nil:
		return err
	}
	for i, p := range probes {
		if !slices.Contains(wrong[i], p.column) && !slices.Contains(wrong[i], s.keyOf(p.column)) {
			status.explain(p.bad, fmt.Sprintf("what stands in %s is of row %s", p.column, sqlseal.KeyText(p.owner.Key)))
		}
	}
	return nil
}

// explain adds to the reason for which a row failed.
func (st *Status) explain(row *Row, why string) {
	key := sqlseal.KeyText(row.Key)
	for i := range st.Failures {
		if st.Failures[i].Key == key {
			st.Failures[i].Reason += "; " + why
		}
	}
}

// probes are copies of owner with each column of bad that does not open.
func (s *VerifyStep) probes(bad, owner *Row) (all []probe, err error) {
	wrong := columnsOf(bad.Err)
	for _, column := range wrong {
		key := s.keyOf(column)
		if key == "" || key != column && slices.Contains(wrong, key) { // the field cannot open before the key does
			continue
		}
		row, err := s.rows.Copy(owner.Row)
		if err != nil {
			return nil, err
		}
		for _, name := range s.withParts(column) {
			if err := s.copyColumn(row, bad.Row, name); err != nil {
				return nil, err
			}
		}
		all = append(all, probe{bad, owner, column, row})
	}
	return all, nil
}

// keyOf is the key column under which a column is sealed, and of a key column itself; "" for what is under no data key.
func (s *VerifyStep) keyOf(column string) string {
	name, isField := "", false
	for _, f := range s.schema.Fields {
		if f.Column == column {
			name, isField = f.Key, true
		}
	}
	for _, k := range s.schema.Keys {
		if k.Column == column || isField && k.Name == name {
			return k.Column
		}
	}
	return ""
}

// withParts are a column and those of its IV and salt.
func (s *VerifyStep) withParts(column string) []string {
	all := []string{column}
	for _, f := range s.schema.Fields {
		for _, part := range []string{f.IV, f.Salt} {
			if f.Column == column && part != "" {
				all = append(all, part)
			}
		}
	}
	return all
}

func (s *VerifyStep) copyColumn(to, from any, column string) error {
	value, err := s.stored(from, column)
	if err != nil {
		return err
	}
	return s.put(to, column, value)
}

// stored is what a sealed column of a row holds.
func (s *VerifyStep) stored(row any, column string) (driver.Value, error) {
	cell, err := s.rows.Pointer(row, column)
	if err != nil {
		return nil, err
	}
	return cell.(driver.Valuer).Value()
}

func (s *VerifyStep) put(row any, column string, value driver.Value) error {
	cell, err := s.rows.Pointer(row, column)
	if err != nil {
		return err
	}
	return cell.(sql.Scanner).Scan(value)
}

// columnsOf lists the columns that an error, or one of several, names.
func columnsOf(err error) (columns []string) {
	switch e := err.(type) {
	case *rowseal.Error:
		return []string{e.Column}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			columns = append(columns, columnsOf(one)...)
		}
	case interface{ Unwrap() error }:
		return columnsOf(e.Unwrap())
	}
	return columns
}
