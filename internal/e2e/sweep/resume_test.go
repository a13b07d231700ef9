package sweep_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sweep"
)

// TestAWholeVerifyDoesNotGoOnFromOneOfAKey: the rows before would pass unseen.
func TestAWholeVerifyDoesNotGoOnFromOneOfAKey(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 8)
		w.set(2, "email_ciphertext", "AAAA")
		_, err := sweep.Run(w.Context(), w.db, w.patients(w.first).Only("phone").Rows(), &sweep.VerifyStep{}, &sweep.Options{Limit: 4})
		w.must(err)
		status, err := sweep.Run(w.Context(), w.db, w.patients(w.first).Rows(), &sweep.VerifyStep{}, nil)
		w.must(err)
		if status.Resumed || status.Rows != 8 || status.Quarantined != 1 {
			w.Errorf("%+v", status)
		}
	})
}

// TestFewerFailuresThanAreThereAlready: the rows of the page at hand are in order.
func TestFewerFailuresThanAreThereAlready(t *testing.T) {
	w := newWorld(t, dbtest.SQLite)
	w.admit(w.first, 8)
	w.set(1, "email_ciphertext", "AAAA")
	w.set(2, "email_ciphertext", "AAAA")
	rows := w.patients(w.first).Rows()
	_, err := sweep.Run(w.Context(), w.db, rows, &sweep.VerifyStep{}, &sweep.Options{Limit: 4})
	w.must(err)
	_, err = sweep.Run(w.Context(), w.db, rows, &sweep.VerifyStep{}, &sweep.Options{MaxFailures: 1})
	if !errors.Is(err, sweep.ErrFailures) || !strings.Contains(err.Error(), "2 rows have failed, which is more than 1: ") {
		w.Errorf("%v", err)
	}
}

// TestAConditionThatReachesAroundThePagesEnds: the brackets make two of it, and every page has the first rows again.
func TestAConditionThatReachesAroundThePagesEnds(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 8)
		for _, where := range []string{"id = 1) OR (1 = 1", "id IN (5, 6)) OR (1 = 1", "id < 5) OR (1 = 1"} {
			s, err := sweep.New(w.db, w.patients(w.both).Rows(), &sweep.RewrapStep{}, &sweep.Options{Where: where, Page: 2, Limit: 100})
			w.must(err)
			if _, err := s.Run(w.Context()); !errors.Is(err, kms.ErrInvalidRequest) || strings.Contains(err.Error(), where) {
				w.Errorf("%s: %v, after %d rows", where, err, s.Status().Rows)
			}
		}
		if status, err := sweep.Rewrap(w.Context(), w.db, w.patients(w.both), &sweep.Options{Where: "id = 1 OR id > 3", Page: 2}); err != nil || status.Rows != 6 {
			w.Errorf("%+v, %v", status, err)
		}
	})
}

// TestAForecastTellsWhatMayBeNothing: what the KMS has wrapped by its newest version shows only when it has answered.
func TestAForecastTellsWhatMayBeNothing(t *testing.T) {
	w := newWorld(t, dbtest.SQLite)
	w.admit(w.first, 25)
	for _, c := range []struct {
		step     *sweep.RewrapStep
		atMost   bool
		requests int64
	}{{&sweep.RewrapStep{}, true, 5}, {&sweep.RewrapStep{All: true}, false, 5}} {
		s, err := sweep.New(w.db, w.patients(w.first).Rows(), c.step, nil)
		w.must(err)
		f, err := s.Forecast(w.Context(), false)
		w.must(err)
		if f.Keys != 50 || f.AtMost != c.atMost || len(f.Requests) != 1 || f.Requests[0].Requests != c.requests {
			w.Errorf("%+v", f)
		}
	}
}
