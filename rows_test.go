package rowseal_test

import (
	"errors"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestColumnOfKnowsTheFieldsThatAreSealedOrMade(t *testing.T) {
	type base struct {
		EncryptedKMSKey rowseal.DataKey
		Note            rowseal.Sealed[string]
	}
	type person struct {
		base
		ID         int64
		Name       string
		Email      rowseal.Sealed[string]
		EmailIndex blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256"`
		SSN        rowseal.Sealed[string] `rowseal:"codec=attr_encrypted"`
		SSNIV      rowseal.IV             `rowseal:"of=SSN"`
	}
	rows := newModel[person](t, "people", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
		MasterKeys: masterKeys(t, rowseal.DefaultIndexKey), Binding: rowseal.BindNone,
	}).Rows()
	for field, want := range map[string]string{
		"EncryptedKMSKey": "encrypted_kms_key", "Note": "note_ciphertext", "Email": "email_ciphertext", "EmailIndex": "email_bidx",
		"SSN": "encrypted_ssn", "SSNIV": "encrypted_ssn_iv", "Name": "", "Nobody": "",
	} {
		if got, ok := rows.ColumnOf(field); got != want || ok != (want != "") {
			t.Errorf("%s is the column %q, %v; want %q", field, got, ok, want)
		}
	}
}

func TestARowThatWasInsertedCanBeRekeyedAtOnce(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := &user{ID: 1}
	u.Email.Set("ada@example.org") // and nothing else
	must(t, users.Seal(t.Context(), u))
	_, err := users.Rows().Values(u)
	must(t, err)
	users.Rows().Inserted(u)
	must(t, users.Rekey(t.Context(), u))
}

func TestTheRowsOfASealerOpenNothing(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	s := sealed(t, users, newUser(1, "ada"))
	rows := users.Sealer().Rows()
	fake.Reset()
	for what, open := range map[string]func(*user) error{
		"Open":    func(u *user) error { return rows.Open(t.Context(), u) },
		"OpenAll": func(u *user) error { return rowseal.OpenAll(t.Context(), rowseal.Batch{Of: rows, Rows: []any{u}}) },
	} {
		u := load[user](t, 1, s)
		wantErr(t, what, open(u), kms.ErrAccessDenied)
		if _, err := u.Email.Get(); err == nil {
			t.Errorf("%s has opened the row", what)
		}
	}
	wantRequests(t, "a Sealer", fake, 0, 0)
}

func TestRowsOfSeveralTablesAreOpenedInOneBatch(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	ring := ringOf(t, fake)
	type order struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Address         rowseal.Sealed[string]
	}
	users, orders := newModel[user](t, "users", ring, nil), newModel[order](t, "orders", ring, nil)
	o := &order{ID: 1}
	o.Address.Set("Analytical Street")
	us, os := sealed(t, users, newUser(1, "ada")), sealed(t, orders, o)
	u, o := load[user](t, 1, us), load[order](t, 1, os)
	damaged := load[order](t, 2, os) // under another id
	fake.Reset()
	err := rowseal.OpenAll(t.Context(), rowseal.Batch{Of: users.Rows(), Rows: []any{u}}, rowseal.Batch{Of: orders.Rows(), Rows: []any{o, damaged}})
	wantErr(t, "the row of another id", err, rowseal.ErrDecryptionFailed)
	var batch *rowseal.BatchError
	if !errors.As(err, &batch) || batch.Of != 3 || len(batch.Rows) != 1 || batch.Rows[0].Index != 2 {
		t.Errorf("the error is %+v; want that of the third row alone", batch)
	}
	wantUser(t, u, "ada")
	if got, err := o.Address.Get(); got != "Analytical Street" || err != nil {
		t.Errorf("the order is at %q, %v", got, err)
	}
	wantRequests(t, "two tables", fake, 0, 1)
}
