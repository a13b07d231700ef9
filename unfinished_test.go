package rowseal_test

import (
	"bytes"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A RekeyWith whose transaction has not ended yet: the attachments are under the new key if it commits, and under that
// which the database has if it rolls back.

// blobs are the attachments in a database: what a transaction has stored counts when it was committed.
type blobs map[string][]byte

// move is what RekeyWith calls; it stores into to.
func (b blobs) move(to blobs) func(string, *rowseal.FileBox, *rowseal.FileBox) error {
	return func(name string, old, new *rowseal.FileBox) error {
		if b[name] == nil {
			return nil
		}
		content, err := old.Open(b[name])
		if err == nil {
			to[name], err = new.Seal(bytes.NewReader(content))
		}
		return err
	}
}

// inHospital is a patient as the database has it, with attachments under both keys.
func inHospital(t *testing.T, patients *rowseal.Model[patient]) (stored, blobs) {
	t.Helper()
	p, b := admitted(t, patients, 1), blobs{}
	for _, name := range []string{"license", "card"} {
		b[name] = sealFile(t, boxOf(t, patients, p, name), name)
	}
	return save(t, p), b
}

func (b blobs) wantOpen(t *testing.T, patients *rowseal.Model[patient], p *patient) {
	t.Helper()
	for name, ciphertext := range b {
		if got, err := boxOf(t, patients, p, name).Open(ciphertext); string(got) != name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	must(t, patients.Open(t.Context(), p))
	if name, err := p.Name.Get(); name != "ada" || err != nil {
		t.Errorf("%q, %v", name, err)
	}
}

func TestARowIsNeitherSealedNorItsAttachmentsOpenedBeforeItsRekeyWasCommitted(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	row, files := inHospital(t, patients)
	p, moved := load[patient](t, 1, row), blobs{}
	must(t, patients.RekeyWith(t.Context(), p, files.move(moved)))
	p.Name.Set("eve")
	unchangedRow(t, "Seal", p, kms.ErrInvalidRequest, func() error {
		err := patients.Seal(t.Context(), p)
		wantMessage(t, err, "RekeyWith that is not committed", "call Committed")
		return err
	})
	for name := range files {
		err := second(patients.Box(t.Context(), p, name))
		wantErr(t, "Box of "+name, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "RekeyWith that is not committed")
	}
	must(t, patients.Committed(t.Context(), p))
	p.Name.Set("ada")
	must(t, patients.Seal(t.Context(), p))
	moved.wantOpen(t, patients, p)
	moved.wantOpen(t, patients, load[patient](t, 1, save(t, p)))
}

func TestAfterARollbackRekeyWithMovesFromTheKeyThatTheDatabaseHas(t *testing.T) {
	for what, between := range map[string]func(*rowseal.Model[patient], *patient) error{
		"at once":      func(*rowseal.Model[patient], *patient) error { return nil },
		"after Rewrap": func(m *rowseal.Model[patient], p *patient) error { return m.Rewrap(t.Context(), p) },
		"after Open":   func(m *rowseal.Model[patient], p *patient) error { return m.Open(t.Context(), p) },
		"a third time": func(m *rowseal.Model[patient], p *patient) error {
			return m.RekeyWith(t.Context(), p, func(string, *rowseal.FileBox, *rowseal.FileBox) error { return nil })
		},
		"after one that failed": func(m *rowseal.Model[patient], p *patient) error {
			wantErr(t, "RekeyWith", m.RekeyWith(t.Context(), p, func(string, *rowseal.FileBox, *rowseal.FileBox) error { return errNoPhone }), errNoPhone)
			return nil
		},
	} {
		for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow} {
			t.Run(what+", "+binding.String(), func(t *testing.T) {
				patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, binding)
				row, files := inHospital(t, patients)
				p := load[patient](t, 1, row)
				must(t, patients.RekeyWith(t.Context(), p, files.move(blobs{}))) // and rolled back
				must(t, between(patients, p))
				p.Name.Set("ada")
				wantErr(t, "Seal", patients.Seal(t.Context(), p), kms.ErrInvalidRequest)
				if held, _ := p.EncryptedKMSKey.Stored(); held != row["EncryptedKMSKey"] {
					t.Errorf("the database is told to hold %v", held)
				}
				moved := blobs{}
				must(t, patients.RekeyWith(t.Context(), p, files.move(moved)))
				row = save(t, p)
				must(t, patients.Committed(t.Context(), p))
				moved.wantOpen(t, patients, p)
				moved.wantOpen(t, patients, load[patient](t, 1, row))
			})
		}
	}
}

func TestARowThatIsLoadedAgainAfterARollbackIsAsItWas(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	row, files := inHospital(t, patients)
	p := load[patient](t, 1, row)
	must(t, patients.RekeyWith(t.Context(), p, files.move(blobs{})))
	p = load[patient](t, 1, row)
	files.wantOpen(t, patients, p)
	p.Name.Set("ada")
	must(t, patients.Seal(t.Context(), p))
	files.wantOpen(t, patients, load[patient](t, 1, save(t, p)))
}

func TestClearDoesNotMakeAnUnfinishedRekeyForgotten(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	row, files := inHospital(t, patients)
	p := load[patient](t, 1, row)
	must(t, patients.RekeyWith(t.Context(), p, files.move(blobs{})))
	patients.Clear(p)
	p.Name.Set("ada")
	wantErr(t, "Seal", patients.Seal(t.Context(), p), kms.ErrInvalidRequest)
	wantErr(t, "Box", second(patients.Box(t.Context(), p, "license")), kms.ErrInvalidRequest)
	if held, loaded := p.EncryptedKMSKey.Stored(); held != row["EncryptedKMSKey"] || !loaded {
		t.Errorf("the database is told to hold %v, %v", held, loaded)
	}
}

// Nor does one that was told to Wipe hold keys, or the next attempt move with a key that there is not.
func TestAnUnfinishedRekeyOfAWipedRowMovesRightOrNotAtAll(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	row, files := inHospital(t, patients)
	p := load[patient](t, 1, row)
	must(t, patients.RekeyWith(t.Context(), p, files.move(blobs{})))
	patients.Wipe(p)
	moved := blobs{}
	if err := patients.RekeyWith(t.Context(), p, files.move(moved)); err != nil {
		return
	}
	must(t, patients.Committed(t.Context(), p))
	moved.wantOpen(t, patients, p)
}

func TestCopiesOfARowWhoseRekeyIsUnfinishedAreRefusedToo(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	row, files := inHospital(t, patients)
	p := load[patient](t, 1, row)
	must(t, patients.RekeyWith(t.Context(), p, files.move(blobs{})))
	copied := *p
	copied.Name.Set("ada")
	wantErr(t, "Seal of a copy", patients.Seal(t.Context(), &copied), kms.ErrInvalidRequest)
}
