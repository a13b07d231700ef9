package sweep_test

import (
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sweep"
)

// listed is a patient of a table whose index is new.
type listed struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index `rowseal:"of=Email,column=email_bidx,normalize=lower"`
}

func TestIndexesThatAreMissingAreMade(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 25)
		w.exec(`ALTER TABLE patients ADD COLUMN email_bidx VARCHAR(100)`)
		w.exec(`UPDATE patients SET email_ciphertext = NULL WHERE id = 7`)
		master, err := rowseal.NewMasterKey(make([]byte, 32))
		w.must(err)
		m, err := rowseal.NewModel[listed]("patients", w.first, &rowseal.Options{
			Model: "patient", MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: master},
		})
		w.must(err)
		run := func(all bool) sweep.Status {
			w.Helper()
			w.old.Reset()
			status, err := sweep.Run(w.Context(), w.db, m.Rows(), &sweep.IndexStep{All: all}, &sweep.Options{Page: 10})
			w.must(err)
			return status
		}
		if status := run(false); status.Changed != 24 || status.Unchanged != 1 || w.old.Requests(kms.OpDecrypt) != 3 {
			w.Errorf("%+v, %d requests", status, w.old.Requests(kms.OpDecrypt))
		}
		found, err := m.Lookup(w.Context(), "email_bidx", "9@EXAMPLE.org")
		w.must(err)
		if id := w.one(`SELECT id FROM patients WHERE email_bidx = `+w.db.Placeholder(1), found[0]); id != "9" {
			w.Errorf("the index finds %q", id)
		}
		if n := w.one(`SELECT count(*) FROM patients WHERE email_bidx IS NULL`); n != "1" {
			w.Errorf("%s rows have no index", n)
		}
		if status := run(false); status.Changed != 0 || status.Requests != 0 {
			w.Errorf("again: %+v", status)
		}
		w.exec(`UPDATE patients SET email_bidx = 'wrong' WHERE id = 5`)
		if status := run(true); status.Changed != 1 {
			w.Errorf("all: %+v", status)
		}
	})
}
