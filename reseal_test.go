package rowseal_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// Attachments have no column that a statement could write with the key. So a new key comes only where they come with it.

// moveTo is what stores attachments: it seals what there is under the new box.
func moveTo(files map[string][]byte) func(name string, from, to *rowseal.FileBox) error {
	return func(name string, from, to *rowseal.FileBox) error {
		if files[name] == nil {
			return nil
		}
		content, err := from.Open(files[name])
		if err != nil {
			return err
		}
		files[name], err = to.Seal(bytes.NewReader(content))
		return err
	}
}

func TestBetweenRekeyWithAndCommittedTheRowIsNotUsed(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	p := admitted(t, patients, 1)
	files := map[string][]byte{"license": sealFile(t, boxOf(t, patients, p, "license"), "the license")}
	row := save(t, p)
	must(t, patients.Committed(t.Context(), p))
	must(t, patients.RekeyWith(t.Context(), p, moveTo(files)))
	_, err := patients.Box(t.Context(), p, "license")
	wantErr(t, "Box", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "by a RekeyWith that is not committed", "call Committed")
	p.Name.Set("eve")
	unchangedRow(t, "Seal", p, kms.ErrInvalidRequest, func() error { return patients.Seal(t.Context(), p) })
	if held, _ := p.EncryptedKMSKey.Stored(); held != row["EncryptedKMSKey"] {
		t.Errorf("the database is told to hold %v", held)
	}
	must(t, patients.Committed(t.Context(), p))
	must(t, patients.Seal(t.Context(), p))
	if got, err := boxOf(t, patients, p, "license").Open(files["license"]); string(got) != "the license" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// The store is rolled back with the row, and the second attempt opens what the database has.
func TestARekeyWithAfterARollbackStartsFromTheKeyThatTheDatabaseHas(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	p := admitted(t, patients, 1)
	before := map[string][]byte{"license": sealFile(t, boxOf(t, patients, p, "license"), "the license")}
	must(t, patients.Committed(t.Context(), p))
	for range 3 {
		must(t, patients.RekeyWith(t.Context(), p, moveTo(map[string][]byte{"license": before["license"]})))
	}
	after := map[string][]byte{"license": before["license"]}
	must(t, patients.RekeyWith(t.Context(), p, moveTo(after)))
	row := save(t, p)
	must(t, patients.Committed(t.Context(), p))
	for what, p := range map[string]*patient{"as it is": p, "loaded": load[patient](t, 1, row)} {
		if got, err := boxOf(t, patients, p, "license").Open(after["license"]); string(got) != "the license" || err != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// Clear would leave the attachments under a key that nobody has any more.
func TestANewKeyBesideAttachmentsIsRefusedUntilTheyArePurged(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	patients := patientsOf(t, fake, rowseal.BindColumn)
	row := sealed(t, patients, newPatient(1))
	for what, sealer := range map[string]interface {
		Clear(...*patient)
		AttachmentsPurged(...*patient)
	}{"Model": patients, "Sealer": patients.Sealer()} {
		p := load[patient](t, 1, row)
		sealer.Clear(p)
		p.Name.Set("eve")
		fake.Reset()
		unchangedRow(t, what, p, kms.ErrInvalidRequest, func() error {
			err := patients.Seal(t.Context(), p)
			wantMessage(t, err, "AttachmentsPurged", "RekeyWith")
			return err
		})
		wantRequests(t, what, fake, 0, 0)
		sealer.AttachmentsPurged(p)
		must(t, patients.Seal(t.Context(), p))
		save(t, p)
	}
	ones := newModel[one](t, "ones", ringOf(t, fake), nil) // which have no attachments
	o := load[one](t, 1, sealed(t, ones, newOne(1)))
	ones.Clear(o)
	o.Email.Set("new")
	must(t, ones.Seal(t.Context(), o))
}

// Whoever stores the file compares the key column in the same transaction.
func TestABoxTellsWhereItsKeyIs(t *testing.T) {
	patients := newModel[patient](t, "patients", ringOf(t, &kmstest.Fake{BatchSize: 10}), &rowseal.Options{
		MasterKeys: masterKeys(t, "app"), Attachments: []rowseal.Attachment{{Name: "old", Key: "app"}},
	})
	p := admitted(t, patients, 7)
	must(t, patients.Committed(t.Context(), p))
	wantKey := func(what string, box *rowseal.FileBox, column string, wrapped any) {
		t.Helper()
		table, primaryKey, id, gotColumn, gotWrapped, ok := box.KeyColumn()
		if table != "patients" || primaryKey != "id" || id != int64(7) || gotColumn != column || gotWrapped != wrapped || !ok {
			t.Errorf("%s: %q, %q, %v, %q, %v, %v; want %q, %v", what, table, primaryKey, id, gotColumn, gotWrapped, ok, column, wrapped)
		}
	}
	wantKey("license", boxOf(t, patients, p, "license"), "encrypted_kms_key", p.EncryptedKMSKey.Wrapped())
	wantKey("card", boxOf(t, patients, p, "card"), "encrypted_kms_key_card", p.KMSKeyCard.Wrapped())
	if _, _, _, _, _, ok := boxOf(t, patients, p, "old").KeyColumn(); ok {
		t.Error("a master key has a column")
	}
	old := p.EncryptedKMSKey.Wrapped()
	var to *rowseal.FileBox
	must(t, patients.Only("").RekeyWith(t.Context(), p, func(name string, from, next *rowseal.FileBox) error {
		wantKey("from", from, "encrypted_kms_key", old)
		to = next
		return nil
	}))
	wantKey("to", to, "encrypted_kms_key", p.EncryptedKMSKey.Wrapped())
}

func TestABoxOpensReadersWithinTheLimit(t *testing.T) {
	patients := newModel[patient](t, "patients", ringOf(t, &kmstest.Fake{}), &rowseal.Options{FileLimit: 10})
	box := boxOf(t, patients, admitted(t, patients, 1), "license")
	sealed := sealFile(t, box, "1234567890")
	if got, err := box.OpenReader(bytes.NewReader(sealed)); string(got) != "1234567890" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	broken := errors.New("reset")
	for what, test := range map[string]struct {
		open func() ([]byte, error)
		want error
	}{
		"too large":       {func() ([]byte, error) { return box.OpenReader(strings.NewReader(strings.Repeat("x", 1000))) }, lockbox.ErrTooLarge},
		"cut":             {func() ([]byte, error) { return box.OpenReader(bytes.NewReader(sealed[:20])) }, rowseal.ErrDecryptionFailed},
		"a broken reader": {func() ([]byte, error) { return box.OpenReader(&failing{bytes.NewReader(sealed), broken}) }, broken},
		"no reader":       {func() ([]byte, error) { return box.OpenReader(nil) }, kms.ErrInvalidRequest},
		"nothing to seal": {func() ([]byte, error) { return box.Seal(nil) }, kms.ErrInvalidRequest},
	} {
		got, err := test.open()
		wantErr(t, what, err, test.want)
		wantPlace(t, err, "patients", "1", "license", 1)
		if got != nil {
			t.Errorf("%s: %q", what, got)
		}
	}
}
