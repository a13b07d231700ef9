package sweep

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rowseal/rowseal/sqlseal"
)

// The errors of this package. Match them with errors.Is.
var (
	// ErrBusy: another process is at the same sweep.
	ErrBusy = errors.New("busy")
	// ErrState: what a sweep keeps in the database is missing or cannot be made.
	ErrState = errors.New("state of sweeps")
	// ErrFailures: more rows have failed than Options.MaxFailures.
	ErrFailures = errors.New("too many failures")
)

// The tables that a sweep keeps in the database whose rows it visits.
const (
	sweepsTable     = "rowseal_sweeps"     // one row a sweep: how far it has come, and who is at it
	quarantineTable = "rowseal_quarantine" // rows that failed, and why
	journalTable    = "rowseal_journal"    // wrapped keys that a rekey has replaced
)

// Statements returns the SQL that makes the tables which sweeps keep in the database, for a user who may not make them.
func Statements(d sqlseal.Dialect) []string {
	tables := []struct{ name, columns, key, index string }{
		{sweepsTable, `id VARCHAR(255) NOT NULL PRIMARY KEY, table_name VARCHAR(255) NOT NULL, step VARCHAR(64) NOT NULL, part BIGINT NOT NULL,
	parts BIGINT NOT NULL, state VARCHAR(16) NOT NULL, wanted VARCHAR(16) NOT NULL, settings TEXT NOT NULL, position TEXT NOT NULL, counts TEXT NOT NULL,
	owner VARCHAR(255) NOT NULL, lease_until BIGINT NOT NULL, started_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, error TEXT NOT NULL`, "", ""},
		{quarantineTable, `sweep VARCHAR(255) NOT NULL, row_key TEXT NOT NULL, reason TEXT NOT NULL, at BIGINT NOT NULL`, "sweep", "sweep"},
		{journalTable, `table_name VARCHAR(255) NOT NULL, key_column VARCHAR(255) NOT NULL, row_hash CHAR(64) NOT NULL, row_key TEXT NOT NULL,
	old_key TEXT NOT NULL, new_key TEXT NOT NULL, at BIGINT NOT NULL`, "row_hash", "row_hash"},
	}
	var all []string
	for _, t := range tables {
		index := ""
		if t.index != "" && d == sqlseal.MySQL {
			index = fmt.Sprintf(", KEY %s_%s (%[2]s)", t.name, t.index)
		}
		options := ""
		if d == sqlseal.MySQL { // keys are compared byte by byte
			options = " CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
		}
		columns := t.columns
		if d == sqlseal.MySQL {
			columns = strings.ReplaceAll(columns, " TEXT ", " LONGTEXT ")
		}
		all = append(all, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (%s%s)%s", t.name, columns, index, options))
		if t.index != "" && d != sqlseal.MySQL {
			all = append(all, fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s_%s ON %[1]s (%[2]s)", t.name, t.index))
		}
	}
	return all
}

// store keeps what sweeps remember.
type store struct{ db *sqlseal.DB }

// prepare makes the tables that are missing.
func (s store) prepare(ctx context.Context) error {
	if s.ready(ctx) == nil {
		return nil
	}
	var failed error // another sweep may make them at the same moment: what counts is whether they are there then
	for _, statement := range Statements(s.db.Dialect) {
		if _, err := s.db.Exec(ctx, statement); err != nil && failed == nil {
			failed = err
		}
	}
	err := s.ready(ctx)
	if err != nil && failed != nil {
		return fmt.Errorf("sweep: the tables in which a sweep remembers how far it is cannot be made (%s); have them made, or use Options.Stateless:\n%s: %w",
			reason(failed), strings.Join(Statements(s.db.Dialect), ";\n"), ErrState)
	}
	return err
}

func (s store) ready(ctx context.Context) error {
	for _, table := range []string{sweepsTable, quarantineTable, journalTable} {
		if err := s.db.Query(ctx, "SELECT 1 FROM "+table+" WHERE 1 = 0", nil, func(func(...any) error) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// now is the database's clock in milliseconds, in SQL: machines need not agree on the time.
func (s store) now() string {
	switch s.db.Dialect {
	case sqlseal.PostgreSQL:
		return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
	case sqlseal.MySQL:
		return "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000 AS SIGNED)"
	}
	return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
}

// sql replaces each ? by the dialect's placeholder, and NOW by the clock.
func (s store) sql(query string) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ReplaceAll(query, "NOW", s.now()) {
		if r == '?' {
			n++
			b.WriteString(s.db.Placeholder(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (s store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	return s.db.Exec(ctx, s.sql(query), args...)
}

func (s store) query(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	return s.db.Query(ctx, s.sql(query), args, row)
}

// saved is a sweep as the database remembers it.
type saved struct {
	state, wanted, settings, position string
	counts                            Counts
}

// owner names this process to people who look for it.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s, process %d (%s)", host, os.Getpid(), rand.Text()[:8])
}

// acquire takes the lease of a sweep. One that nobody renews any more is waited for.
func (s store) acquire(ctx context.Context, t sweepName, me string, lease time.Duration, waiting func(holder string)) error {
	if _, err := s.read(ctx, t); errors.Is(err, ErrState) {
		_, err = s.exec(ctx, `INSERT INTO rowseal_sweeps (id, table_name, step, part, parts, state, wanted, settings, position, counts, owner, lease_until, started_at,
			updated_at, error) VALUES (?, ?, ?, ?, ?, '', '', '', '', '{}', '', 0, 0, 0, '')`, t.id(), t.table, t.step, t.part, t.of)
		if _, missing := s.read(ctx, t); missing != nil { // else somebody else was faster
			return err
		}
	}
	seen := int64(-1)
	for {
		until, holder, err := s.overlapping(ctx, t)
		if err != nil {
			return err
		}
		if holder == "" {
			n, err := s.exec(ctx, `UPDATE rowseal_sweeps SET owner = ?, lease_until = NOW + ?, wanted = '' WHERE id = ? AND lease_until < NOW`,
				me, lease.Milliseconds(), t.id())
			if err != nil || n == 1 {
				return err
			}
			continue
		}
		if seen >= 0 && until > seen {
			return fmt.Errorf("sweep: %s is being done by %s: %w", t, holder, ErrBusy)
		}
		if seen < 0 {
			waiting(holder)
		}
		seen = until
		if err := sleep(ctx, min(lease/10, time.Second)); err != nil {
			return err
		}
	}
}

// overlapping finds who holds a lease on rows of this sweep: this part, or parts that the table is divided into in another way.
func (s store) overlapping(ctx context.Context, t sweepName) (until int64, holder string, err error) {
	err = s.query(ctx, `SELECT lease_until, owner FROM rowseal_sweeps WHERE table_name = ? AND step = ? AND (id = ? OR parts <> ?) AND lease_until >= NOW
		ORDER BY lease_until`, []any{t.table, t.step, t.id(), t.of}, func(scan func(...any) error) error { return scan(&until, &holder) })
	return until, holder, err
}

func (s store) read(ctx context.Context, t sweepName) (v saved, err error) {
	found := false
	err = s.query(ctx, `SELECT state, wanted, settings, position, counts FROM rowseal_sweeps WHERE id = ?`, []any{t.id()},
		func(scan func(...any) error) error {
			var counts string
			if err := scan(&v.state, &v.wanted, &v.settings, &v.position, &counts); err != nil {
				return err
			}
			found = true
			return json.Unmarshal([]byte(counts), &v.counts)
		})
	if err == nil && !found {
		err = fmt.Errorf("sweep: the database has forgotten %s: %w", t, ErrState)
	}
	return v, err
}

// begin notes that a sweep starts from the first row.
func (s store) begin(ctx context.Context, t sweepName, me, settings string) error {
	if _, err := s.exec(ctx, `DELETE FROM rowseal_quarantine WHERE sweep = ?`, t.id()); err != nil {
		return err
	}
	return s.held(ctx, t, me, `UPDATE rowseal_sweeps SET state = 'running', settings = ?, position = '', counts = '{}', error = '', started_at = NOW, updated_at = NOW`,
		settings)
}

// checkpoint notes how far a sweep has come, and the rows that failed since the last one.
func (s store) checkpoint(ctx context.Context, t sweepName, me string, v saved, lease time.Duration, failures []Failure, message string) error {
	counts, err := json.Marshal(v.counts)
	if err != nil {
		return err
	}
	set, args := `, lease_until = NOW + ?`, []any{v.state, v.position, string(counts), message, lease.Milliseconds()}
	if v.state != string(Running) {
		set, args = `, lease_until = 0`, args[:4]
	}
	_, err = s.db.Transaction(ctx, func(tx *sqlseal.DB) error {
		s := store{tx}
		for _, f := range failures {
			if _, err := s.exec(ctx, `INSERT INTO rowseal_quarantine (sweep, row_key, reason, at) VALUES (?, ?, ?, NOW)`, t.id(), f.Key, f.Reason); err != nil {
				return err
			}
		}
		return s.held(ctx, t, me, `UPDATE rowseal_sweeps SET state = ?, position = ?, counts = ?, error = ?, updated_at = NOW`+set, args...)
	})
	return err
}

// explain replaces the reason for which a row is in quarantine.
func (s store) explain(ctx context.Context, t sweepName, f Failure) error {
	_, err := s.exec(ctx, `UPDATE rowseal_quarantine SET reason = ? WHERE sweep = ? AND row_key = ?`, f.Reason, t.id(), f.Key)
	return err
}

// renew keeps the lease, and returns what somebody wants of the sweep.
func (s store) renew(ctx context.Context, t sweepName, me string, lease time.Duration) (wanted string, err error) {
	if err := s.held(ctx, t, me, `UPDATE rowseal_sweeps SET lease_until = NOW + ?`, lease.Milliseconds()); err != nil {
		return "", err
	}
	v, err := s.read(ctx, t)
	return v.wanted, err
}

// held runs an UPDATE of the sweep that this process holds the lease of. One that changes no row found the lease to be another's, or,
// with MySQL, everything as it was to be.
func (s store) held(ctx context.Context, t sweepName, me, query string, args ...any) error {
	changed, err := s.exec(ctx, query+" WHERE id = ? AND owner = ?", append(args, t.id(), me)...)
	if err != nil || changed > 0 {
		return err
	}
	holder := ""
	err = s.query(ctx, `SELECT owner FROM rowseal_sweeps WHERE id = ?`, []any{t.id()}, func(scan func(...any) error) error { return scan(&holder) })
	if err == nil && holder != me {
		err = fmt.Errorf("sweep: somebody else has taken over %s, because this process did not renew its lease: %w", t, ErrBusy)
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
