package sweep

import (
	"context"
	"fmt"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// RekeyStep gives every row new data keys, and seals its fields and files anew, all or nothing a row: after a leak of data keys, which
// a rewrap would keep. A row without a data key gets one where its fields open under a master key of their Previous: so a table moves
// from one master key to data keys of its rows.
//
// Everybody else who writes must compare the key column, as rowseal's packages do. A Rails application does not: what it has read
// before and writes after the rekey is sealed under the old data key. The journal keeps the wrapped old key, under which a VerifyStep
// with Repair opens such a value and seals it anew, until a later VerifyStep has found nothing wrong.
type RekeyStep struct {
	rows  *rowseal.Rows
	table string
}

// Name implements Step.
func (s *RekeyStep) Name() string { return "rekey" }

// Plan implements Step.
func (s *RekeyStep) Plan(_ context.Context, t Table) (Plan, error) {
	schema := t.Rows.Schema()
	s.rows, s.table = t.Rows, schema.Table
	rings := t.Rows.Keyrings()
	for _, a := range schema.Attachments {
		for _, k := range schema.Keys {
			if _, seen := rings[k.Column]; seen && k.Name == a.Key {
				return Plan{}, fmt.Errorf("sweep: the attachments %q of %s are sealed under %s too, and a rekey in one statement cannot move them; rekey their "+
					"rows with Model.RekeyWith, or the other keys alone: %w", a.Name, schema.Table, k.Column, kms.ErrInvalidRequest)
			}
		}
	}
	return Plan{Settings: target(rings), Replaces: true, Journal: true, Files: len(schema.Files) > 0}, nil
}

// Do implements Step.
func (s *RekeyStep) Do(ctx context.Context, rows []*Row) error {
	for _, row := range rows {
		row.Within = s.journal(row)
	}
	return Spread(s.rows.Rekey(ctx, rowsOf(rows)...), rows)
}

// journal notes the data keys that a row is about to lose.
func (s *RekeyStep) journal(row *Row) func(context.Context, *sqlseal.DB) error {
	before := s.wrapped(row)
	return func(ctx context.Context, tx *sqlseal.DB) error {
		now := s.wrapped(row)
		for column, old := range before {
			if now[column] == old {
				continue
			}
			if err := (store{tx}).note(ctx, s.table, column, row.Key, old, now[column]); err != nil {
				return err
			}
		}
		return nil
	}
}

// wrapped are the wrapped keys of a row, by column. Those that nothing reads have nothing to be kept for.
func (s *RekeyStep) wrapped(row *Row) map[string]string {
	all := map[string]string{}
	known, _ := s.rows.Wrapped(row.Row)
	for _, w := range known {
		all[w.Column] = w.Wrapped
	}
	return all
}
