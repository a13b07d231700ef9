package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sweep"
)

// rewrap runs a RewrapStep.
func (w *world) rewrap(opts sweep.Options) (sweep.Status, error) {
	w.Helper()
	return sweep.Rewrap(w.Context(), w.db, w.patients(w.both), &opts)
}

// damage makes the wrapped keys of patients ones that no key opens.
func (w *world) damage(ids ...int) {
	w.Helper()
	for _, id := range ids {
		w.set(id, "encrypted_kms_key", strings.Replace(w.stored(id, "encrypted_kms_key"), "v1:AAAA", "v1:AAAB", 1))
	}
}

func TestARowThatFailsIsLeftAndTheRestGoesOn(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 30)
		w.damage(7, 18)
		status, err := w.rewrap(sweep.Options{Page: 10})
		w.must(err)
		if status.State != sweep.Done || status.Rows != 30 || status.Changed != 28 || status.Quarantined != 2 {
			w.Errorf("%+v", status)
		}
		if f := status.Failures; len(f) != 2 || f[0].Key != "7" || !strings.Contains(f[0].Reason, `"7" encrypted_kms_key (version 1): kms: rewrap`) {
			w.Errorf("%+v", f)
		}
		if got := w.versions(); got["v2"] != 56 || got["v1"] != 4 { // the row of which one key opens is left whole
			w.Errorf("%v", got)
		}
		w.exec(`UPDATE patients SET encrypted_kms_key = REPLACE(encrypted_kms_key, 'v1:AAAB', 'v1:AAAA') WHERE id IN (7, 18)`)
		status, err = w.rewrap(sweep.Options{Page: 10})
		w.must(err)
		if status.Resumed || status.Quarantined != 0 || w.one(`SELECT count(*) FROM rowseal_quarantine`) != "0" {
			w.Errorf("a new sweep has the old one's quarantine: %+v", status)
		}
		w.allOpen(w.both, 30)
	})
}

func TestTooManyFailuresStopTheSweepWhereItIs(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 50)
		w.damage(3, 12, 25, 26, 27)
		status, err := w.rewrap(sweep.Options{Page: 10, MaxFailures: 4})
		wantError(w.T, err, sweep.ErrFailures, "5 rows have failed, which is more than 4; the first: 3: ")
		if status.State != sweep.Failed || status.Rows != 20 || status.Position != "20" {
			w.Errorf("%+v", status)
		}
		status, err = w.rewrap(sweep.Options{Page: 10, MaxFailures: 5})
		w.must(err)
		if !status.Resumed || status.Begun != 20 || status.Rows != 50 || status.Quarantined != 5 {
			w.Errorf("%+v", status)
		}
		if n := w.one(`SELECT count(*) FROM rowseal_quarantine`); n != "5" {
			w.Errorf("%s rows are in quarantine", n)
		}
		if _, err := w.rewrap(sweep.Options{MaxFailures: -1, Restart: true}); err != nil {
			w.Errorf("without a limit: %v", err)
		}
	})
}

func TestAKeyThatRefusesEverythingPutsNoRowInQuarantine(t *testing.T) {
	for name, refuse := range map[string]func(*kmstest.Fake) (allow func()){
		"denied": func(f *kmstest.Fake) func() {
			f.Deny(kms.OpEncrypt, kms.OpRewrap)
			return func() { f.Allow(kms.OpEncrypt, kms.OpRewrap) }
		},
		"disabled": func(f *kmstest.Fake) func() { f.Disable(); return f.Enable },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dbtest.SQLite)
			w.admit(w.first, 40)
			_, err := w.rewrap(sweep.Options{Page: 10, Limit: 10})
			w.must(err)
			allow := refuse(w.new)
			status, err := w.rewrap(sweep.Options{Page: 10})
			if !errors.Is(err, kms.ErrAccessDenied) && !errors.Is(err, kms.ErrKeyDisabled) {
				t.Errorf("%v", err)
			}
			if status.State != sweep.Failed || status.Rows != 10 || status.Quarantined != 0 || len(status.Failures) != 0 {
				t.Errorf("%+v", status)
			}
			if known, err := sweep.List(t.Context(), w.db, ""); err != nil || len(known) != 1 || known[0].State != sweep.Failed || known[0].Error == "" {
				t.Errorf("%+v, %v", known, err)
			}
			allow()
			status, err = w.rewrap(sweep.Options{Page: 10})
			w.must(err)
			if !status.Resumed || status.Changed != 40 {
				t.Errorf("%+v", status)
			}
			w.allOpen(w.both, 40)
		})
	}
}

// TestAServiceThatIsAwayIsWaitedForAWhile: in a bubble, where no time is lost.
func TestAServiceThatIsAwayIsWaitedForAWhile(t *testing.T) {
	for _, away := range []error{kms.ErrThrottled, kms.ErrUnavailable} {
		t.Run(away.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, dbtest.SQLite)
				w.admit(w.first, 40)
				start := time.Now()
				w.new.Before = func(context.Context, kmstest.Request) error {
					if since := time.Since(start); since > 0 && since < 20*time.Second {
						return fmt.Errorf("not now: %w", away)
					}
					return nil
				}
				time.Sleep(time.Millisecond)
				status, err := w.rewrap(sweep.Options{Page: 10})
				w.must(err)
				if status.State != sweep.Done || status.Changed != 40 || status.Quarantined != 0 || time.Since(start) < 20*time.Second {
					t.Errorf("%+v", status)
				}
				w.allOpen(w.both, 40)

				w.new.Before = func(context.Context, kmstest.Request) error { return away }
				start = time.Now()
				status, err = w.rewrap(sweep.Options{Page: 10})
				if !errors.Is(err, away) || status.State != sweep.Failed || status.Rows != 0 || status.Quarantined != 0 {
					t.Errorf("%+v, %v", status, err)
				}
				if waited := time.Since(start); waited < 30*time.Second || waited > 10*time.Minute {
					t.Errorf("it gave up after %s", waited)
				}
			})
		})
	}
}

// refusal makes a database refuse to change a patient, with a message that has a value.
var refusal = map[string][]string{
	"PostgreSQL": {
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'secret %', NEW.email_ciphertext USING ERRCODE = 'integrity_constraint_violation'; END $$`,
		`CREATE TRIGGER refuse BEFORE UPDATE ON patients FOR EACH ROW WHEN (NEW.id = 7) EXECUTE FUNCTION refuse()`,
	},
	"MariaDB": {`CREATE TRIGGER refuse BEFORE UPDATE ON patients FOR EACH ROW BEGIN IF NEW.id = 7 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'secret value'; END IF; END`},
	"SQLite":  {`CREATE TRIGGER refuse BEFORE UPDATE ON patients WHEN NEW.id = 7 BEGIN SELECT RAISE(ABORT, 'secret value'); END`},
}

func TestARowThatTheDatabaseRefusesDoesNotHoldUpTheOthers(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 30)
		for _, statement := range refusal[w.d.Name] {
			w.exec(statement)
		}
		status, err := w.rewrap(sweep.Options{Page: 10})
		w.must(err)
		if status.Changed != 29 || status.Quarantined != 1 || status.Failures[0].Key != "7" {
			w.Errorf("%+v", status)
		}
		reason := w.one(`SELECT reason FROM rowseal_quarantine`)
		if strings.Contains(reason, "secret") || !strings.Contains(reason, "the database's error") || reason != status.Failures[0].Reason {
			w.Errorf("the reason is %q", reason)
		}
		w.allOpen(w.both, 30)
	})
}

// acting is a step that does something on the way.
type acting struct {
	sweep.Step
	page int
	act  func(page int)
}

func (a *acting) Do(ctx context.Context, rows []*sweep.Row) error {
	a.page++
	a.act(a.page)
	return a.Step.Do(ctx, rows)
}

func TestConnectionsMayBreak(t *testing.T) {
	onEach(t, func(w *world) {
		cut := map[string]func(){
			"PostgreSQL": func() {
				w.one(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
			},
			"MariaDB": func() {
				rows, err := w.sql.QueryContext(w.Context(), `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()`)
				w.must(err)
				defer rows.Close()
				for rows.Next() {
					var id int64
					w.must(rows.Scan(&id))
					_, _ = w.sql.ExecContext(w.Context(), fmt.Sprintf(`KILL %d`, id)) // it may be gone already
				}
			},
		}[w.d.Name]
		if cut == nil {
			return // SQLite has no connections that break
		}
		w.admit(w.first, 60)
		step := &acting{Step: &sweep.RekeyStep{}, act: func(page int) {
			if page%2 == 0 {
				cut()
			}
		}}
		opts := &sweep.Options{Page: 10}
		for try := 0; ; try++ { // what breaks while it is being read stops the sweep, which goes on
			status, err := sweep.Run(w.Context(), w.connect(w.dsn), w.patients(w.both).Rows(), step, opts)
			if status.Quarantined > 0 {
				w.Fatalf("%+v", status)
			}
			if err == nil {
				break
			}
			if try == 10 {
				w.Fatal(err)
			}
		}
		w.allOpen(w.both, 60)
		if got := w.versions(); got["v2"] != 120 {
			w.Errorf("%v", got)
		}
	})
}

func TestADatabaseThatIsGoneStopsTheSweep(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 40)
		other := w.connect(w.dsn)
		gone, cancel := context.WithCancel(w.Context())
		step := &acting{Step: &sweep.RewrapStep{}, act: func(page int) {
			if page == 3 {
				cancel()
			}
		}}
		status, err := sweep.Run(gone, other, w.patients(w.both).Rows(), step, &sweep.Options{Page: 10})
		if !errors.Is(err, context.Canceled) || status.State != sweep.Failed && status.State != sweep.Stopped || status.Quarantined != 0 || status.Rows != 20 {
			w.Errorf("%+v, %v", status, err)
		}
		status, err = w.rewrap(sweep.Options{Page: 10})
		w.must(err)
		if !status.Resumed || status.Begun != 20 || status.Rows != 40 {
			w.Errorf("%+v", status)
		}
		w.allOpen(w.both, 40)
	})
}

// TestASweepAndAnApplicationMayDeadlock: the application locks rows in the other order.
func TestASweepAndAnApplicationMayDeadlock(t *testing.T) {
	onEach(t, func(w *world) {
		if w.d.Name == "SQLite" {
			return // it has one writer at a time
		}
		w.admit(w.first, 60)
		var stop atomic.Bool
		var pairs, broken atomic.Int64
		var wg sync.WaitGroup
		for writer := range 3 {
			wg.Go(func() {
				for n := 0; !stop.Load(); n++ {
					high := 60 - (n+writer*7)%20
					if err := w.touchBoth(high, high-35); err != nil {
						broken.Add(1)
					} else {
						pairs.Add(1)
					}
				}
			})
		}
		var err error
		for range 3 {
			w.new.Rotate()
			var status sweep.Status
			if status, err = w.rewrap(sweep.Options{Page: 60, Writers: 1, Restart: true}); err != nil || status.Quarantined != 0 {
				w.Errorf("%+v, %v", status, err)
			}
		}
		stop.Store(true)
		wg.Wait()
		w.Logf("%d pairs were written, %d were not", pairs.Load(), broken.Load())
		if pairs.Load() == 0 {
			w.Error("the application wrote nothing")
		}
		w.allOpen(w.both, 60)
	})
}

// touchBoth changes two patients in a transaction.
func (w *world) touchBoth(first, second int) error {
	tx, err := w.sql.BeginTx(w.Context(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, id := range []int{first, second} {
		if _, err := tx.ExecContext(w.Context(), fmt.Sprintf(`UPDATE patients SET touched = CURRENT_TIMESTAMP WHERE id = %d`, id)); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return tx.Commit()
}

// TestWhatASweepKeepsHasNoValue: nor has what it says.
func TestWhatASweepKeepsHasNoValue(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 30)
		w.damage(7)
		w.set(9, "email_ciphertext", w.stored(8, "email_ciphertext"))
		said := ""
		for _, step := range []sweep.Step{&sweep.RewrapStep{}, &sweep.RekeyStep{}, &sweep.VerifyStep{Repair: true, Grace: -1}} {
			status, err := sweep.Run(w.Context(), w.db, w.patients(w.both).Rows(), step, &sweep.Options{Page: 10})
			w.must(err)
			said += fmt.Sprintf("%+v %#v %v", status, status, step)
		}
		for _, table := range []string{"rowseal_sweeps", "rowseal_quarantine", "rowseal_journal"} {
			rows, err := w.sql.QueryContext(w.Context(), "SELECT * FROM "+table)
			w.must(err)
			columns, err := rows.Columns()
			w.must(err)
			for rows.Next() {
				values := make([]string, len(columns))
				into := make([]any, len(columns))
				for i := range into {
					into[i] = &values[i]
				}
				w.must(rows.Scan(into...))
				said += strings.Join(values, " ")
			}
			w.must(rows.Close())
		}
		for _, value := range []string{"example.org", "+49 30", "1990-01-02"} {
			if strings.Contains(said, value) {
				w.Errorf("%q was said or kept", value)
			}
		}
		if !strings.Contains(said, "v2:") || !strings.Contains(said, "decryption failed") {
			w.Errorf("nothing was kept: %s", said)
		}
	})
}
