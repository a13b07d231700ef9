package sweep

import (
	"context"
	"errors"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
)

// Step is what a sweep does with the rows of a page. RewrapStep, RekeyStep, VerifyStep, MigrateStep and IndexStep are steps, and a
// program can have its own. A Step is used by one Sweep.
type Step interface {
	// Name is one word. With the table and the part it names the sweep, in the database too.
	Name() string
	// Plan says what the step needs, and refuses a table that it cannot do. It makes no request to a KMS.
	Plan(ctx context.Context, t Table) (Plan, error)
	// Do makes rows what they are to be, with as few requests to the KMS as it can, and writes nothing. What the rows then have
	// to write (rowseal.Rows.Change) and Row.Also are written after it, row by row, if the database still holds what was read. It
	// may be called again with rows that were read again. A row that fails gets its Err; an error stops the sweep.
	Do(ctx context.Context, rows []*Row) error
}

// Ender is a Step that has something to do after the last row. It may add to the reasons of the status's Failures.
type Ender interface {
	End(ctx context.Context, status *Status) error
}

// Table is the table that a Step works on.
type Table struct {
	DB        *sqlseal.DB
	Rows      *rowseal.Rows
	Stateless bool // nothing is to be kept in the database, which may be one to be read only
	Whole     bool // all rows are visited: there is no where, and no part
}

// Plan is what a Step needs of the engine.
type Plan struct {
	Sealed []string // the sealed columns to load; nil: all
	Plain  []string // further columns to load, for Row.Plain
	// Settings is what makes this sweep another one than an earlier one of the same name: only with the same Settings one that was
	// stopped goes on.
	Settings string
	// Replaces: data keys are given up. Tables with columns that may be sealed and that nobody has declared are refused then.
	Replaces bool
	// Journal: the step writes to the journal, whose table is made if it is missing.
	Journal bool
	// Files: rows are written whose files outside the database move with them.
	Files bool
}

// Row is a row on its way through a Step.
type Row struct {
	sqlseal.PageRow
	// Err is why the row failed. Where a retry may help (kms.ErrThrottled, kms.ErrUnavailable) it is tried again; else the row gets
	// into quarantine, and is not written.
	Err error
	// Unchanged: nothing of the row is to be written.
	Unchanged bool
	// Also is what is written and compared beside what rowseal.Rows.Change says.
	Also rowseal.Change
	// Within is called in the transaction that has updated the row.
	Within func(ctx context.Context, tx *sqlseal.DB) error

	lost, failed int  // how often somebody else was faster, and how often the database refused the row
	isLost       bool // somebody else was faster just now
}

// rowsOf are the rows as package rowseal takes them.
func rowsOf(rows []*Row) []any {
	all := make([]any, len(rows))
	for i, r := range rows {
		all[i] = r.Row
	}
	return all
}

// Spread gives each row its error out of what a method of rowseal.Rows has returned for all of them. What is no error of single rows
// it returns.
func Spread(err error, rows []*Row) error {
	if err == nil {
		return nil
	}
	batch := (*rowseal.BatchError)(nil)
	if !errors.As(err, &batch) || batch.Of != len(rows) {
		return err
	}
	for _, e := range batch.Rows {
		rows[e.Index].Err = errors.Join(rows[e.Index].Err, e.Err)
	}
	return nil
}
