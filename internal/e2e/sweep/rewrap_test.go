package sweep_test

import (
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sweep"
)

func TestARewrapMovesEveryRowToTheFirstVersionAndTouchesNothingElse(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 95)
		before := w.one(`SELECT max(touched) FROM patients`)
		w.old.Reset()
		status, err := sweep.Rewrap(w.Context(), w.db, w.patients(w.both), &sweep.Options{Page: 20})
		w.must(err)
		if status.State != sweep.Done || status.Rows != 95 || status.Changed != 95 || status.Quarantined != 0 {
			w.Errorf("%+v", status)
		}
		if got := w.versions(); got["v2"] != 190 || len(got) != 1 {
			w.Errorf("versions: %v", got)
		}
		if requests := w.old.Requests(kms.OpDecrypt) + w.old.Requests(kms.OpRewrap) + w.new.Requests(kms.OpRewrap) + w.new.Requests(kms.OpEncrypt); requests > 4*10 {
			w.Errorf("%d requests", requests)
		}
		if after := w.one(`SELECT max(touched) FROM patients`); after != before {
			w.Errorf("an ON UPDATE column moved from %s to %s", before, after)
		}
		w.old.Disable()
		w.allOpen(w.both, 95)

		w.new.Reset()
		status, err = sweep.Rewrap(w.Context(), w.db, w.patients(w.both), &sweep.Options{Page: 20})
		w.must(err)
		if status.Changed != 1 || status.Unchanged != 94 || status.Requests != 1 { // one row shows the newest version of the key
			w.Errorf("the second rewrap: %+v", status)
		}
	})
}

func TestARekeyGivesNewDataKeys(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 45)
		before := w.load()
		status, err := sweep.Rekey(w.Context(), w.db, w.patients(w.both), &sweep.Options{Page: 20})
		w.must(err)
		if status.State != sweep.Done || status.Changed != 45 {
			w.Errorf("%+v", status)
		}
		w.allOpen(w.both, 45)
		for i, p := range w.load() {
			if p.EncryptedKMSKey.Wrapped() == before[i].EncryptedKMSKey.Wrapped() || p.Email.Ciphertext() == before[i].Email.Ciphertext() {
				w.Errorf("patient %d has not changed", p.ID)
			}
		}
		if n := w.one(`SELECT count(*) FROM rowseal_journal`); n != "90" {
			w.Errorf("the journal has %s entries", n)
		}
	})
}
