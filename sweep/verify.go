package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// VerifyStep opens everything: every data key, every field, whose plaintext must be a value of its type, and every file. What does not
// open gets its row into quarantine, with the reason: a wrong context, version or key, a ciphertext whose key column is NULL, a row or
// field that stands in another's place. It writes nothing but that list, and with Options.Stateless nothing at all.
//
// A row that was found in order no longer needs its old data keys: its entries of the journal are deleted once they are older than Grace,
// and at the end of a sweep over the whole table those of rows that are there no more.
type VerifyStep struct {
	// Repair seals anew what opens under a data key that a RekeyStep has replaced, or puts that key back, where the row has none that opens.
	// The values are those that were last written. What nothing opens stays as it is, in quarantine.
	Repair bool
	// Grace is how old an entry of the journal must be to be deleted: longer than any program keeps a row between reading and writing it.
	// 0: an hour. Negative: none.
	Grace time.Duration

	rows      *rowseal.Rows
	schema    rowseal.Schema
	store     store
	journaled bool // the table has entries in the journal
	table     Table
	unused    int64
	repaired  int64
	bad       []*Row
}

const defaultGrace = time.Hour

// Name implements Step.
func (s *VerifyStep) Name() string { return "verify" }

// Plan implements Step.
func (s *VerifyStep) Plan(ctx context.Context, t Table) (Plan, error) {
	s.rows, s.schema, s.store = t.Rows, t.Rows.Schema(), store{t.DB}
	s.table, s.unused, s.repaired, s.bad = t, 0, 0, nil
	if s.Grace == 0 {
		s.Grace = defaultGrace
	}
	journal, err := journalVersions(ctx, t.DB, s.schema.Table)
	s.journaled = len(journal) > 0
	what := fmt.Sprintf("repair=%t %v %s", s.Repair, s.rows.SealedColumns(), target(s.rows.Keyrings())) // an earlier one may have opened less
	return Plan{Settings: what}, err
}

// Unused is how many key columns were found with a wrapped key and nothing that is sealed under it. That is no fault: it is what is left
// when a row's values were set to NULL.
func (s *VerifyStep) Unused() int64 { return s.unused }

// Repaired is how many rows were made to open again.
func (s *VerifyStep) Repaired() int64 { return s.repaired }

// Cost implements Coster.
func (*VerifyStep) Cost(VersionCount, *kms.Key, bool) (old, fresh int, sure bool) { return 1, 0, true }

// Do implements Step.
func (s *VerifyStep) Do(ctx context.Context, rows []*Row) error {
	if err := Spread(s.rows.Verify(ctx, rowsOf(rows)...), rows); err != nil {
		return err
	}
	var journal map[string][]Replaced
	if s.journaled {
		keys := make([][]any, len(rows))
		for i, row := range rows {
			keys[i] = row.Key
		}
		var err error
		if journal, err = s.store.journalOf(ctx, s.schema.Table, keys); err != nil {
			return err
		}
	}
	var inOrder [][]any
	for _, row := range rows {
		entries, err := entriesOf(journal, row)
		if err != nil {
			return err
		}
		switch {
		case row.Err == nil:
			s.unused += int64(len(s.rows.Unused(row.Row)))
			if len(entries) > 0 {
				inOrder = append(inOrder, row.Key)
			}
			continue
		case isOfService(row.Err):
			continue
		}
		if s.Repair && len(entries) > 0 {
			if err := s.repair(ctx, row, entries); err != nil {
				return err
			}
		}
		if row.Err != nil && len(s.bad) < diagnosed {
			s.bad = append(s.bad, row)
		}
	}
	return s.forget(ctx, inOrder)
}

func entriesOf(journal map[string][]Replaced, row *Row) ([]Replaced, error) {
	if journal == nil {
		return nil, nil
	}
	text, err := encodeKey(row.Key)
	return journal[text], err
}

// isOfService tells an error of the KMS, or of the ctx, from one of the row.
func isOfService(err error) bool {
	return errors.Is(err, kms.ErrThrottled) || errors.Is(err, kms.ErrUnavailable) || errors.Is(err, kms.ErrBudget) || isUnusable(err) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// forget deletes what the journal keeps of rows that are in order.
func (s *VerifyStep) forget(ctx context.Context, keys [][]any) error {
	if len(keys) == 0 || s.table.Stateless {
		return nil
	}
	old, err := s.old(ctx)
	if err != nil {
		return err
	}
	return s.store.forget(ctx, s.schema.Table, slices.Collect(maps.Keys(s.rows.Keyrings())), keys, old)
}

// old is before when an entry of the journal was made that may go.
func (s *VerifyStep) old(ctx context.Context) (time.Time, error) {
	now, err := s.store.clock(ctx)
	return now.Add(-max(s.Grace, 0)), err
}

// forgetGone deletes what the journal keeps of rows that are there no more. Those in order have no entries left.
func (s *VerifyStep) forgetGone(ctx context.Context) error {
	if !s.journaled || !s.table.Whole || s.table.Stateless {
		return nil
	}
	old, err := s.old(ctx)
	if err != nil {
		return err
	}
	pages, err := sqlseal.NewWriter(s.rows, nil).Pages(ctx, s.table.DB, sqlseal.PageQuery{Sealed: []string{}})
	if err != nil {
		return err
	}
	for after := ""; ; {
		keys, last, err := s.store.journaled(ctx, s.schema.Table, old, after)
		if err != nil || len(keys) == 0 {
			return err
		}
		after = last
		there, err := pages.Again(ctx, keys...)
		if err != nil {
			return err
		}
		gone := slices.DeleteFunc(keys, func(key []any) bool {
			return slices.ContainsFunc(there, func(row sqlseal.PageRow) bool { return sqlseal.KeyText(row.Key) == sqlseal.KeyText(key) })
		})
		if err := s.forget(ctx, gone); err != nil {
			return err
		}
	}
}
