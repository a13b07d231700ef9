package rowseal_test

import (
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// wantStored demands what the key columns are told to hold in the database.
func wantStored(t *testing.T, what string, u *user, row stored) {
	t.Helper()
	for column, dk := range map[string]rowseal.DataKey{"EncryptedKMSKey": u.EncryptedKMSKey, "KMSKeyPhone": u.KMSKeyPhone} {
		if held, loaded := dk.Stored(); held != row[column] || !loaded {
			t.Errorf("%s: the database is told to hold %v (%v) in %s, want %v", what, held, loaded, column, row[column])
		}
	}
}

// An UPDATE compares with what Stored returns: after Committed with what was written, and never before.
func TestStoredIsWhatWasWrittenOnlyAfterCommitted(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := newUser(1, "ada")
	must(t, users.Seal(t.Context(), u))
	if held, loaded := u.EncryptedKMSKey.Stored(); held != nil || loaded {
		t.Errorf("a new row is told to hold %v, %v", held, loaded)
	}
	row := save(t, u)
	must(t, users.Committed(t.Context(), u))
	wantStored(t, "a new row", u, row)

	for what, change := range map[string]func() error{
		"Rekey":  func() error { return users.Rekey(t.Context(), u) },
		"Rewrap": func() error { return users.Rewrap(t.Context(), u) },
		"Clear": func() error {
			users.Clear(u)
			u.Email.Set("ada@example.org")
			u.Notes.Set([]byte("notes of ada"))
			u.Phone.Set("phone of ada")
			u.Code.Set([]byte("code of ada"))
			return users.Seal(t.Context(), u)
		},
	} {
		must(t, change())
		wantStored(t, what, u, row)
		row = save(t, u)
		must(t, users.Committed(t.Context(), u))
		wantStored(t, what+" and Committed", u, row)
		wantUser(t, u, "ada")
	}
}

func TestStoredOfARowThatWasWrittenWithoutAKeyIsNULL(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := &user{ID: 1}
	must(t, users.Seal(t.Context(), u))
	must(t, users.Committed(t.Context(), u))
	wantStored(t, "no key", u, stored{})
}

func TestCommittedKeepsTheTypeThatTheKeyColumnHad(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, row.with("EncryptedKMSKey", []byte(textOfValue(row["EncryptedKMSKey"]))))
	must(t, users.Rekey(t.Context(), u))
	must(t, users.Committed(t.Context(), u))
	if held, _ := u.EncryptedKMSKey.Stored(); textOfValue(held) != u.EncryptedKMSKey.Wrapped() {
		t.Errorf("held %v", held)
	} else if _, ok := held.([]byte); !ok {
		t.Errorf("a column of bytes is compared with a %T", held)
	}
}

func TestARowStaysOpenThroughCommitted(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	u := newUser(1, "ada")
	must(t, users.Seal(t.Context(), u))
	fake.Reset()
	must(t, users.Committed(t.Context(), u))
	wantUser(t, u, "ada")
	u.Email.Set("ada@example.org")
	must(t, users.Seal(t.Context(), u))
	must(t, users.Open(t.Context(), u))
	wantUser(t, u, "ada")
	wantRequests(t, "after Committed", fake, 0, 0)
}

// Fields that were opened before a Committed or a Rewrap hold the key by another way than those opened since.
func TestWipeReachesWhatWasOpenedBeforeCommitted(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	row := sealed(t, users, newUser(1, "ada"))
	for what, wipe := range map[string]func(*user){
		"Model.Wipe":   func(u *user) { users.Wipe(u) },
		"DataKey.Wipe": func(u *user) { u.EncryptedKMSKey.Wipe(); u.KMSKeyPhone.Wipe() },
	} {
		t.Run(what, func(t *testing.T) {
			u := load[user](t, 1, row)
			must(t, users.Open(t.Context(), u))
			must(t, users.Committed(t.Context(), u))
			must(t, users.Rewrap(t.Context(), u))
			must(t, users.Committed(t.Context(), u))
			must(t, users.Committed(t.Context(), u))
			wipe(u)
			for field, got := range get(u) {
				wantErr(t, field, got.err, rowseal.ErrNotOpened)
			}
			must(t, users.Open(t.Context(), u))
			wantUser(t, u, "ada")
		})
	}
}

func TestCommittedOfNilAndUnknownRows(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	wantRows(t, "Committed", users.Committed(t.Context(), nil, newUser(1, "ada")), 2, 0)
	wantRows(t, "Abandoned", users.Abandoned(t.Context(), nil, newUser(1, "ada")), 2, 0)
	if err := users.Only("fone").Committed(t.Context(), newUser(1, "ada")); err == nil {
		t.Error("a key that there is not is settled")
	}
}
