package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// Known is a sweep as the database remembers it: one that is under way somewhere, was stopped, or is done.
type Known struct {
	Table, Step string
	Part, Parts int
	State       State // Running also where its process has died, as long as nobody has gone on with it
	Counts
	Owner   string // the process that is, or was, at it
	Alive   bool   // it has shown a sign of life lately
	Error   string // why it failed
	Started time.Time
	Updated time.Time
}

// List returns the sweeps that the database remembers, those of a table or, for "", of all. There are none where the tables of sweeps
// were never made.
func List(ctx context.Context, db *sqlseal.DB, table string) (all []Known, err error) {
	s := store{db}
	if there, err := s.there(ctx); err != nil || !there {
		return nil, err
	}
	err = s.query(ctx, `SELECT table_name, step, part, parts, state, counts, owner, CASE WHEN lease_until >= NOW THEN 1 ELSE 0 END, error, started_at, updated_at
		FROM rowseal_sweeps WHERE ? = '' OR table_name = ? ORDER BY table_name, step, parts, part`, []any{table, table}, func(scan func(...any) error) error {
		var k Known
		var counts string
		var started, updated int64
		if err := scan(&k.Table, &k.Step, &k.Part, &k.Parts, &k.State, &counts, &k.Owner, &k.Alive, &k.Error, &started, &updated); err != nil {
			return err
		}
		k.Started, k.Updated = time.UnixMilli(started), time.UnixMilli(updated)
		all = append(all, k)
		return json.Unmarshal([]byte(counts), &all[len(all)-1].Counts)
	})
	return all, err
}

// Quarantined returns the rows of a table that are in quarantine, at most limit of them, with the step that they failed in.
func Quarantined(ctx context.Context, db *sqlseal.DB, table string, limit int) (all []QuarantinedRow, err error) {
	s := store{db}
	if there, err := s.there(ctx); err != nil || !there {
		return nil, err
	}
	err = s.query(ctx, fmt.Sprintf(`SELECT w.step, q.row_key, q.reason, q.at FROM rowseal_quarantine q JOIN rowseal_sweeps w ON w.id = q.sweep WHERE w.table_name = ?
		ORDER BY q.at DESC LIMIT %d`, limit), []any{table}, func(scan func(...any) error) error {
		var q QuarantinedRow
		var at int64
		err := scan(&q.Step, &q.Key, &q.Reason, &at)
		q.At = time.UnixMilli(at)
		all = append(all, q)
		return err
	})
	return all, err
}

// QuarantinedRow is a row that a sweep has left as it was.
type QuarantinedRow struct {
	Failure
	Step string
	At   time.Time
}

// Ask asks the sweeps of a table that are under way, in whichever process, to be Paused or Stopped, or to be Running again after a
// pause. They hear of it within a third of their lease. step "" means all steps. It returns how many were asked.
func Ask(ctx context.Context, db *sqlseal.DB, table, step string, state State) (asked int64, err error) {
	switch state {
	case Paused, Stopped, Running:
	default:
		return 0, fmt.Errorf("sweep: a sweep can be asked to be %s, %s or %s, and not %q: %w", Paused, Stopped, Running, state, kms.ErrInvalidRequest)
	}
	s := store{db}
	if there, err := s.there(ctx); err != nil || !there {
		return 0, err
	}
	return s.exec(ctx, `UPDATE rowseal_sweeps SET wanted = ? WHERE table_name = ? AND (? = '' OR step = ?) AND lease_until >= NOW`, string(state), table, step, step)
}

// there tells whether the tables of sweeps were made.
func (s store) there(ctx context.Context) (bool, error) {
	columns, err := s.db.TableColumns(ctx, sweepsTable)
	return len(columns) > 0, err
}
