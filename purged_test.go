package rowseal_test

import (
	"context"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A new data key after Clear opens no attachment that was sealed under the one before.
func TestAClearedRowWithAttachmentsGetsANewKeyOnlyWhenTheyWerePurged(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{}, rowseal.BindColumn)
	sealer := patients.Sealer()
	row := sealed(t, patients, newPatient(1))
	for what, writer := range map[string]struct {
		clear, purged func(...*patient)
		seal          func(context.Context, ...*patient) error
	}{
		"Model":  {patients.Clear, patients.AttachmentsPurged, patients.Seal},
		"Sealer": {sealer.Clear, sealer.AttachmentsPurged, sealer.Seal},
	} {
		for order, purge := range map[string]func(*patient){
			"before Clear": func(p *patient) { writer.purged(p); writer.clear(p) },
			"after Clear":  func(p *patient) { writer.clear(p); writer.purged(p) },
			"and Clear":    func(p *patient) { writer.purged(p); writer.clear(p); writer.clear(p) },
		} {
			t.Run(what+", purged "+order, func(t *testing.T) {
				p := load[patient](t, 1, row)
				writer.clear(p)
				p.Name.Set("eve")
				unchangedRow(t, "Seal", p, kms.ErrInvalidRequest, func() error {
					err := writer.seal(t.Context(), p)
					wantMessage(t, err, "AttachmentsPurged", "RekeyWith")
					wantPlace(t, err, "patients", "1", "encrypted_kms_key", 0)
					return err
				})
				purge(p)
				p.Name.Set("eve")
				must(t, writer.seal(t.Context(), p))
				if held, _ := p.EncryptedKMSKey.Stored(); held != row["EncryptedKMSKey"] {
					t.Errorf("the database is told to hold %v", held)
				}
				if after := save(t, p); after["EncryptedKMSKey"] == row["EncryptedKMSKey"] {
					t.Error("the key stayed")
				}
			})
		}
	}
}

// What was purged were the attachments of that time.
func TestAttachmentsPurgedIsSaidOfOneKeyAndNotOfTheNext(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{}, rowseal.BindColumn)
	p := load[patient](t, 1, sealed(t, patients, newPatient(1)))
	patients.AttachmentsPurged(p)
	patients.Clear(p)
	p.Name.Set("eve")
	must(t, patients.Seal(t.Context(), p))
	must(t, patients.Committed(t.Context(), p))
	patients.Clear(p)
	p.Name.Set("bob")
	wantErr(t, "Seal after another Clear", patients.Seal(t.Context(), p), kms.ErrInvalidRequest)
}

func TestBoxOfAClearedRowWithAttachmentsIsRefusedToo(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{}, rowseal.BindColumn)
	p := load[patient](t, 1, sealed(t, patients, newPatient(1)))
	patients.Clear(p)
	wantErr(t, "Box", second(patients.Box(t.Context(), p, "license")), kms.ErrInvalidRequest)
	patients.AttachmentsPurged(p)
	boxOf(t, patients, p, "license")
}

func TestNewRowsAndRowsWithoutAKeyAreClearedAndSealed(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	null := stored{"EncryptedKMSKey": nil, "Name": nil, "KMSKeyCard": nil}
	for what, p := range map[string]*patient{
		"new": newPatient(1), "sealed and not yet saved": admitted(t, patients, 1), "NULL": load[patient](t, 1, null),
		"NULL, after nothing was purged": func() *patient { p := load[patient](t, 1, null); patients.AttachmentsPurged(p); return p }(),
	} {
		patients.Clear(p)
		p.Name.Set("ada")
		if err := patients.Seal(t.Context(), p); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	patients.AttachmentsPurged(nil, &patient{}) // has nothing to say of them
}

func TestAKeyWithoutAttachmentsIsClearedAndSealedAsBefore(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	users.Clear(u)
	u.Email.Set("eve@example.org")
	must(t, users.Seal(t.Context(), u))
}

func TestAClearedRecordWithAttachmentsGetsANewKeyOnlyWhenTheyWerePurged(t *testing.T) {
	p := newPair(t)
	r := newRecord(t, p)
	must(t, p.table.Seal(t.Context(), r))
	must(t, p.table.Committed(t.Context(), r))
	p.table.Clear(r)
	must(t, r.Set("email_ciphertext", "eve@example.org"))
	wantErr(t, "Seal", p.table.Seal(t.Context(), r), kms.ErrInvalidRequest)
	p.table.AttachmentsPurged(r)
	must(t, p.table.Seal(t.Context(), r))
}
