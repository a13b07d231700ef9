package rowseal_test

import (
	"database/sql/driver"
	"errors"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestStatesOfADataKey(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	wrapped := textOfValue(row["EncryptedKMSKey"])
	fresh := newUser(1, "ada")
	must(t, users.Seal(t.Context(), fresh))
	loaded := load[user](t, 1, row)
	null := load[user](t, 1, stored{"EncryptedKMSKey": nil})
	emptied := load[user](t, 1, row)
	users.Clear(emptied)
	for what, test := range map[string]struct {
		key            rowseal.DataKey
		isNull, loaded bool
		stored         driver.Value
		value          error
	}{
		"never loaded": {rowseal.DataKey{}, true, false, nil, rowseal.ErrUnsealed},
		"NULL":         {null.EncryptedKMSKey, true, true, nil, nil},
		"loaded":       {loaded.EncryptedKMSKey, false, true, wrapped, nil},
		"new":          {fresh.EncryptedKMSKey, false, false, nil, nil},
		"cleared":      {emptied.EncryptedKMSKey, true, true, wrapped, nil},
	} {
		held, isLoaded := test.key.Stored()
		_, err := test.key.Value()
		if test.key.IsNull() != test.isNull || held != test.stored || isLoaded != test.loaded || !errors.Is(err, test.value) {
			t.Errorf("%s: null %v, stored %.10v, loaded %v, %v", what, test.key.IsNull(), held, isLoaded, err)
		}
		if (test.key.Wrapped() == "") != test.isNull {
			t.Errorf("%s: wrapped %q", what, test.key.Wrapped())
		}
	}
}

func TestWipeForgetsAndOpenOpensAgain(t *testing.T) {
	for what, wipe := range map[string]func(*rowseal.Model[user], *user){
		"Model.Wipe":             func(m *rowseal.Model[user], u *user) { m.Wipe(u) },
		"DataKey.Wipe":           func(_ *rowseal.Model[user], u *user) { u.EncryptedKMSKey.Wipe(); u.KMSKeyPhone.Wipe() },
		"DataKey.Wipe of a copy": func(_ *rowseal.Model[user], u *user) { c := *u; c.EncryptedKMSKey.Wipe(); c.KMSKeyPhone.Wipe() },
		"DataKey.Wipe after Rewrap": func(m *rowseal.Model[user], u *user) {
			must(t, m.Rewrap(t.Context(), u))
			u.EncryptedKMSKey.Wipe()
			u.KMSKeyPhone.Wipe()
		},
	} {
		fake := &kmstest.Fake{BatchSize: 10}
		users := usersOf(t, fake)
		u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
		must(t, users.Open(t.Context(), u))
		wipe(users, u)
		for field, got := range get(u) {
			if !errors.Is(got.err, rowseal.ErrNotOpened) || got.text != "" {
				t.Errorf("%s: %s is still %q, %v", what, field, got.text, got.err)
			}
		}
		save(t, u)
		fake.Reset()
		must(t, users.Open(t.Context(), u))
		wantRequests(t, what, fake, 0, 1)
		wantUser(t, u, "ada")
	}
}

func TestModelWipeForgetsValuesThatWereRead(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Open(t.Context(), u))
	wantUser(t, u, "ada")
	u.Phone.Set("new")
	users.Wipe(u)
	if _, err := u.Email.Get(); !errors.Is(err, rowseal.ErrNotOpened) {
		t.Errorf("a value that was read: %v", err)
	}
	if phone, err := u.Phone.Get(); phone != "new" || err != nil {
		t.Errorf("a value that is set has no other place, and is %q, %v", phone, err)
	}
	must(t, users.Seal(t.Context(), u))
	u = load[user](t, 1, save(t, u))
	must(t, users.Open(t.Context(), u))
	if phone, err := u.Phone.Get(); phone != "new" || err != nil {
		t.Errorf("%q, %v", phone, err)
	}
}

func TestWipeOfNothing(t *testing.T) {
	rowseal.DataKey{}.Wipe()
	usersOf(t, &kmstest.Fake{}).Wipe(&user{}, nil)
}

// A value that was set before an Open is not what the database holds, and is not lost.
func TestOpenLeavesSetValuesAlone(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	u.Email.Set("new@example.org")
	must(t, users.Open(t.Context(), u))
	if email, err := u.Email.Get(); email != "new@example.org" || err != nil {
		t.Errorf("%q, %v", email, err)
	}
	refuses(t, "Email", values(u)["Email"])
	if notes, err := u.Notes.Get(); string(notes) != "notes of ada" || err != nil {
		t.Errorf("%q, %v", notes, err)
	}
}

// Get answers for the row that was opened, whatever the struct holds by then.
func TestErrorsNameTheRowThatWasOpened(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, row.with("Email", "bm8gY2lwaGVydGV4dA=="))
	must(t, users.Open(t.Context(), u))
	u.ID = 99
	_, err := u.Email.Get()
	wantErr(t, "Get", err, rowseal.ErrDecryptionFailed)
	wantPlace(t, err, "users", "1", "email_ciphertext", 1)
	_, again := u.Email.Get()
	if again == nil || again.Error() != err.Error() {
		t.Errorf("the second time: %v", again)
	}
	if want := `rowseal: users "1" email_ciphertext (version 1): decryption failed`; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

// A reloaded row is a row of its own, also in the same struct.
func TestScanMakesADataKeyIndependent(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	first, second := sealed(t, users, newUser(1, "ada")), sealed(t, users, newUser(2, "bob"))
	u := load[user](t, 1, first)
	must(t, users.Open(t.Context(), u))
	copied := *u
	for column, value := range second {
		switch column {
		case "EncryptedKMSKey":
			must(t, u.EncryptedKMSKey.Scan(value))
		case "KMSKeyPhone":
			must(t, u.KMSKeyPhone.Scan(value))
		case "Email":
			must(t, u.Email.Scan(value))
		case "Notes":
			must(t, u.Notes.Scan(value))
		case "Phone":
			must(t, u.Phone.Scan(value))
		case "Code":
			must(t, u.Code.Scan(value))
		}
	}
	u.ID = 2
	must(t, users.Open(t.Context(), u))
	wantUser(t, u, "bob")
	wantUser(t, &copied, "ada")
	u.EncryptedKMSKey.Wipe()
	copied.Email.Set("new")
	must(t, users.Seal(kms.WithBudget(t.Context(), 0), &copied))
}
