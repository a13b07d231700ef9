package rowseal_test

import (
	"maps"
	"reflect"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// Rows of which a SELECT did not load every column. What was not loaded is in the database all the same.

func (s stored) without(name string) stored {
	other := maps.Clone(s)
	delete(other, name)
	return other
}

func refusesPartial[T any](t *testing.T, m *rowseal.Model[T], row stored, without, column string) {
	t.Helper()
	r := load[T](t, 1, row.without(without))
	unchangedRow(t, "Rekey without "+without, r, kms.ErrInvalidRequest, func() error {
		err := m.Rekey(t.Context(), r)
		wantPlace(t, err, m.Schema().Table, "1", column, 1)
		wantMessage(t, err, "was not loaded")
		return err
	})
}

func TestRekeyOfARowThatWasLoadedInPartIsRefused(t *testing.T) {
	fake, files := &kmstest.Fake{BatchSize: 10}, &objects{}
	users := usersOf(t, fake)
	row := sealed(t, users, newUser(1, "ada"))
	for without, column := range map[string]string{"Email": "email_ciphertext", "Notes": "notes_ciphertext", "Code": "code_ciphertext"} {
		refusesPartial(t, users, row, without, column)
	}
	letters := lettersOf(t, fake, files)
	sent, sentRow := sentLetter(t, letters, 1, "ada")
	for without, column := range map[string]string{"Subject": "subject_ciphertext", "Scan": "scan_file", "Stamp": "stamp_file"} {
		refusesPartial(t, letters, sentRow, without, column)
	}
	wantObjects(t, "after refusals", files, sent.objects()...)

	citizens := newModel[citizen](t, "citizens", ringOf(t, fake), unbound)
	citizenRow := sealed(t, citizens, newCitizen(1, "ada"))
	for without, column := range map[string]string{"SSN": "encrypted_ssn", "SSNIV": "encrypted_ssn", "TaxIV": "encrypted_tax"} {
		refusesPartial(t, citizens, citizenRow, without, column)
	}
}

func TestRekeyOfARowWhoseSaltWasNotLoadedIsRefused(t *testing.T) {
	needUnapproved(t)
	fake := &kmstest.Fake{BatchSize: 10}
	rows := newModel[salted](t, "rows", ringOf(t, fake), unbound)
	s := &salted{ID: 1}
	s.PIN.Set("1234")
	row := sealed(t, rows, s)
	for _, without := range []string{"PIN", "PINIV", "PINSalt"} {
		refusesPartial(t, rows, row, without, "encrypted_pin")
	}
}

// What is set anew needs not have been loaded, nor does the other key's.
func TestRekeyOfARowThatWasLoadedInPartNeedsOnlyWhatStays(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	row := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, row.without("Notes"))
	u.Notes.Set([]byte("notes of ada"))
	must(t, users.Rekey(t.Context(), u))
	wantUser(t, u, "ada")

	u = load[user](t, 1, row.without("Notes"))
	u.Notes.SetNull()
	must(t, users.Rekey(t.Context(), u))

	u = load[user](t, 1, row.without("Code"))
	must(t, users.Only("").Rekey(t.Context(), u))
	u = load[user](t, 1, row.with("Notes", nil)) // NULL was loaded
	must(t, users.Rekey(t.Context(), u))
}

func TestRekeyWithOfARowThatWasLoadedInPartMovesNoAttachment(t *testing.T) {
	patients := patientsOf(t, &kmstest.Fake{BatchSize: 10}, rowseal.BindColumn)
	p := load[patient](t, 1, sealed(t, patients, newPatient(1)).without("Name"))
	unchangedRow(t, "RekeyWith", p, kms.ErrInvalidRequest, func() error {
		return patients.RekeyWith(t.Context(), p, func(name string, _, _ *rowseal.FileBox) error {
			t.Errorf("%s is moved", name)
			return nil
		})
	})
}

func TestRekeyOfARecordThatLacksAColumnIsRefused(t *testing.T) {
	p := newPair(t)
	r := newRecord(t, p)
	must(t, p.table.Seal(t.Context(), r))
	must(t, p.table.Committed(t.Context(), r))
	columns, err := r.Sealed()
	must(t, err)
	for _, without := range []string{"email_ciphertext", "encrypted_ssn_iv", "scan_file", "phone_ciphertext"} {
		part := driverValues(columns)
		part["id"] = int64(7)
		delete(part, without)
		r, err := p.table.Record(part)
		must(t, err)
		before, err := r.Sealed()
		must(t, err)
		err = p.table.RekeyWith(t.Context(), r, noMove)
		wantErr(t, without, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "was not loaded")
		after, err := r.Sealed()
		if must(t, err); !reflect.DeepEqual(before, after) {
			t.Errorf("without %s: the row is now %v", without, after)
		}
	}
	f, err := r.File("scan_file")
	must(t, err)
	wantObjects(t, "after refusals", p.files, f.Object())
}

// NULL there would hide the row from who looks for it.
func TestAnIndexOverAColumnThatWasNotLoadedIsAnErrorAndStays(t *testing.T) {
	contacts := contactsOf(t, &kmstest.Fake{BatchSize: 10}, nil)
	row := sealed(t, contacts, newContact(1))
	for _, opened := range []bool{true, false} {
		for without, set := range map[string]func(*contactRow){
			"City": func(c *contactRow) { c.Name.Set("Eve") }, "Name": func(c *contactRow) { c.City.Set("Paris") },
		} {
			c := load[contactRow](t, 1, row.without(without))
			if opened {
				open(t, contacts, c)
			}
			set(c)
			unchangedRow(t, "Seal without "+without, c, kms.ErrInvalidRequest, func() error {
				err := contacts.Seal(t.Context(), c)
				wantMessage(t, err, "name_city_bidx", "which was not loaded")
				return err
			})
		}
	}
	for without, index := range map[string]string{"Email": "email_bidx", "Phone": "phone_bidx", "City": "name_city_bidx"} {
		c := load[contactRow](t, 1, row.without(without))
		open(t, contacts, c)
		unchangedRow(t, "Reindex without "+without, c, kms.ErrInvalidRequest, func() error {
			err := contacts.Reindex(t.Context(), c)
			wantMessage(t, err, index, "which was not loaded")
			return err
		})
	}
	c := &contactRow{ID: 2} // a new row has what was set
	c.Name.Set("Eve")
	if after := sealed(t, contacts, c); after["NameCity"] != nil {
		t.Errorf("an index of a new row without a city is %v", after["NameCity"])
	}
}
