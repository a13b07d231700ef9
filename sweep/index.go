package sweep

import (
	"context"
	"database/sql/driver"
	"fmt"
	"slices"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// IndexStep makes blind indexes of the rows that have none yet, as where the index is new. Its rows are those of a Model or Table that has
// the indexes' master key.
type IndexStep struct {
	// All makes all indexes anew, as after a change of their key. Those that come out as they are stored are not written.
	All bool

	rows   *rowseal.Rows
	schema rowseal.Schema
}

// Name implements Step.
func (s *IndexStep) Name() string { return "index" }

// Plan implements Step.
func (s *IndexStep) Plan(_ context.Context, t Table) (Plan, error) {
	s.rows, s.schema = t.Rows, t.Rows.Schema()
	if len(s.schema.Indexes) == 0 {
		return Plan{}, fmt.Errorf("sweep: %s has no blind index: %w", s.schema.Table, kms.ErrInvalidRequest)
	}
	var columns []string
	for _, ix := range s.schema.Indexes {
		columns = append(columns, ix.Column)
	}
	return Plan{Settings: fmt.Sprintf("all=%t %v", s.All, columns)}, nil
}

// Cost implements Coster.
func (s *IndexStep) Cost(VersionCount, *kms.Key, bool) (old, fresh int, sure bool) {
	return 1, 0, s.All
}

// Do implements Step.
func (s *IndexStep) Do(ctx context.Context, rows []*Row) error {
	var chosen []*Row
	for _, row := range rows {
		needs, err := s.needs(row)
		switch {
		case err != nil:
			row.Err = err
		case needs:
			chosen = append(chosen, row)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	before := make([][]driver.Value, len(chosen))
	for i, row := range chosen {
		before[i] = s.indexes(row)
	}
	if err := Spread(s.rows.Open(ctx, rowsOf(chosen)...), chosen); err != nil {
		return err
	}
	opened := make([]*Row, 0, len(chosen))
	var earlier [][]driver.Value
	for i, row := range chosen {
		if row.Err == nil {
			opened, earlier = append(opened, row), append(earlier, before[i])
		}
	}
	if err := Spread(s.rows.Reindex(ctx, rowsOf(opened)...), opened); err != nil {
		return err
	}
	for i, row := range opened {
		row.Unchanged = slices.EqualFunc(earlier[i], s.indexes(row), sameText)
	}
	return nil
}

// needs tells whether an index of the row is to be made.
func (s *IndexStep) needs(row *Row) (bool, error) {
	if s.All {
		return true, nil
	}
	for _, ix := range s.schema.Indexes {
		value, err := s.value(row, ix.Column)
		if err != nil {
			return false, err
		}
		if value != nil {
			continue
		}
		sealed := true
		for _, field := range ix.Of {
			v, err := s.value(row, field)
			if err != nil {
				return false, err
			}
			sealed = sealed && v != nil
		}
		if sealed {
			return true, nil
		}
	}
	return false, nil
}

// indexes are what the index columns hold.
func (s *IndexStep) indexes(row *Row) (all []driver.Value) {
	for _, ix := range s.schema.Indexes {
		v, err := s.value(row, ix.Column)
		if err != nil {
			v = err // no value is the same
		}
		all = append(all, v)
	}
	return all
}

func (s *IndexStep) value(row *Row, column string) (driver.Value, error) {
	cell, err := s.rows.Pointer(row.Row, column)
	if err != nil {
		return nil, err
	}
	return cell.(driver.Valuer).Value()
}

// sameText compares what columns hold, as text or as bytes.
func sameText(a, b driver.Value) bool {
	x, xIs := textOf(a)
	y, yIs := textOf(b)
	return xIs && yIs && x == y || a == nil && b == nil
}

func textOf(v driver.Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}
