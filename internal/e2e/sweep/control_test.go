package sweep_test

import (
	"errors"
	"testing"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sweep"
)

func TestWithoutSweepsNothingIsListed(t *testing.T) {
	onEach(t, func(w *world) {
		known, err := sweep.List(w.Context(), w.db, "")
		if err != nil || known != nil {
			w.Errorf("%v, %v", known, err)
		}
		rows, err := sweep.Quarantined(w.Context(), w.db, "patients", 10)
		if err != nil || rows != nil {
			w.Errorf("%v, %v", rows, err)
		}
		if asked, err := sweep.Ask(w.Context(), w.db, "patients", "", sweep.Stopped); err != nil || asked != 0 {
			w.Errorf("%d, %v", asked, err)
		}
	})
}

func TestASweepIsListedWithWhatIsInQuarantine(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 8)
		w.set(2, "encrypted_kms_key", "NULL")
		w.verify(&sweep.VerifyStep{}, nil)
		_, err := sweep.Rewrap(w.Context(), w.db, w.patients(w.both), &sweep.Options{Limit: 3})
		w.must(err)
		known, err := sweep.List(w.Context(), w.db, "patients")
		w.must(err)
		if len(known) != 2 || known[0].Step != "rewrap" || known[0].State != sweep.Stopped || known[0].Rows != 3 || known[0].Alive ||
			known[1].Step != "verify" || known[1].State != sweep.Done || known[1].Quarantined != 1 || time.Since(known[1].Started) > time.Hour {
			w.Errorf("%+v", known)
		}
		rows, err := sweep.Quarantined(w.Context(), w.db, "patients", 10)
		w.must(err)
		if len(rows) != 1 || rows[0].Step != "verify" || rows[0].Key != "2" || rows[0].Reason == "" {
			w.Errorf("%+v", rows)
		}
		if others, err := sweep.List(w.Context(), w.db, "doctors"); err != nil || len(others) != 0 {
			w.Errorf("%v, %v", others, err)
		}
	})
}

// TestAnotherProcessPausesAndStopsASweep: it does so through the database.
func TestAnotherProcessPausesAndStopsASweep(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 60)
		s, err := sweep.New(w.db, w.patients(w.both).Rows(), &sweep.RewrapStep{}, &sweep.Options{Page: 1, Rate: 50, Lease: 300 * time.Millisecond})
		w.must(err)
		done := make(chan error, 1)
		go func() { _, err := s.Run(w.Context()); done <- err }()
		until := func(state sweep.State) {
			w.Helper()
			for range 500 {
				if s.Status().State == state {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			w.Fatalf("it is %s, and not %s", s.Status().State, state)
		}
		ask := func(state sweep.State) {
			w.Helper()
			if asked, err := sweep.Ask(w.Context(), w.db, "patients", "rewrap", state); err != nil || asked != 1 {
				w.Fatalf("%d, %v", asked, err)
			}
		}
		until(sweep.Running)
		ask(sweep.Paused)
		until(sweep.Paused)
		paused := s.Status().Rows
		ask(sweep.Running)
		until(sweep.Running)
		ask(sweep.Stopped)
		w.must(<-done)
		if st := s.Status(); st.State != sweep.Stopped || st.Rows < paused || st.Rows == 60 {
			w.Errorf("%+v", st)
		}
		status, err := sweep.Rewrap(w.Context(), w.db, w.patients(w.both), &sweep.Options{Page: 1})
		w.must(err)
		if status.State != sweep.Done || !status.Resumed || status.Rows != 60 {
			w.Errorf("%+v", status)
		}
		w.allOpen(w.both, 60)
		if _, err := sweep.Ask(w.Context(), w.db, "patients", "", sweep.Done); !errors.Is(err, kms.ErrInvalidRequest) {
			w.Errorf("%v", err)
		}
	})
}
