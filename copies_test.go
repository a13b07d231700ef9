package rowseal_test

import (
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestAFieldOfAnotherRowIsNotWritten(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	rows := users.Rows()
	adas, graces := sealed(t, users, newUser(1, "ada")), sealed(t, users, newUser(2, "grace"))
	nothing := func(...*user) {}
	open := func(all ...*user) { must(t, users.Open(t.Context(), all...)) }
	for what, c := range map[string]struct{ ada, grace func(...*user) }{
		"of an open row":                 {open, nothing},
		"of an open row into an open":    {open, open},
		"of a closed row into an open":   {nothing, open},
		"sealed a moment ago":            {func(u ...*user) { u[0].Email.Set("new"); must(t, users.Seal(t.Context(), u...)) }, nothing},
		"of a row whose key was wiped":   {func(u ...*user) { open(u...); u[0].EncryptedKMSKey.Wipe() }, nothing},
		"into a row whose key was wiped": {open, func(u ...*user) { open(u...); u[0].EncryptedKMSKey.Wipe() }},
	} {
		ada, grace := load[user](t, 1, adas), load[user](t, 2, graces)
		c.ada(ada)
		c.grace(grace)
		if _, err := rows.Change(grace, nil, nil); err != nil {
			t.Errorf("%s: before: %v", what, err)
		}
		grace.Email = ada.Email
		_, err := rows.Change(grace, nil, nil)
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantPlace(t, err, "users", "2", "email_ciphertext", 1)
		wantMessage(t, err, "Get the value there and Set it here")
	}
}

func TestARowThatWasWipedAndRewrappedIsStillItself(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Open(t.Context(), u))
	u.EncryptedKMSKey.Wipe()
	must(t, users.Rewrap(t.Context(), u))
	_, err := users.Rows().Change(u, nil, nil)
	must(t, err)
}

func TestNoCiphertextIsWrittenBesideANullKey(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	kept := u.Email
	users.Clear(u)
	u.Email = kept
	_, err := users.Rows().Change(u, nil, nil)
	wantErr(t, "an UPDATE", err, rowseal.ErrNoKey)
	_, err = users.Rows().Values(u)
	wantErr(t, "an INSERT", err, rowseal.ErrNoKey)
}

// setting is a row whose encryption context says nothing of its id.
type setting struct {
	ID              int64
	Tenant          string
	EncryptedKMSKey rowseal.DataKey
	Secret          rowseal.Sealed[string]
}

func settingsOf(t *testing.T) *rowseal.Model[setting] {
	t.Helper()
	return newModel[setting](t, "settings", ringOf(t, &kmstest.Fake{BatchSize: 10}), &rowseal.Options{Keys: map[string]rowseal.KeyOptions{
		"": {Context: rowseal.ContextRule{Names: map[string]string{"tenant": "{tenant}"}}},
	}})
}

func newSetting(id int64) *setting {
	s := &setting{ID: id, Tenant: "acme"}
	s.Secret.Set("tea")
	return s
}

func TestACopyOfARowIsNoNewRow(t *testing.T) {
	settings := settingsOf(t)
	rows := settings.Rows()
	insert := func(s *setting) *setting {
		_, err := rows.Values(s)
		must(t, err)
		s.ID = 1 // as the database gives it
		rows.Inserted(s)
		return s
	}
	s := newSetting(0)
	must(t, settings.Seal(t.Context(), s))
	before := *s
	insert(s)
	loaded := load[setting](t, 1, sealed(t, settings, newSetting(1)))
	loaded.Tenant = "acme"
	must(t, settings.Open(t.Context(), loaded))
	loaded.ID = 0
	after := *s
	after.ID = 0
	for what, copied := range map[string]*setting{"before": &before, "after": &after, "a loaded row": loaded} {
		_, err := rows.Values(copied)
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `that of the row with the primary key "1", of which this one is a copy; Clear it and set its values`)
		settings.Clear(copied)
		copied.Secret.Set("coffee")
		must(t, settings.Seal(t.Context(), copied))
		_, err = rows.Values(copied)
		must(t, err)
	}
	insert(s) // after a rollback, say
	must(t, rows.CheckCopies(s, newSetting(2), newSetting(3)))
	again := *s
	wantErr(t, "twice", rows.CheckCopies(s, &again), kms.ErrInvalidRequest)
}

func TestADataKeyThatWaitsForAnIDIsWrappedForOneRow(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	rows := users.Rows()
	u := newUser(0, "ada")
	must(t, rows.Prepare(t.Context(), u))
	copied := *u
	wantErr(t, "both at once", rows.CheckCopies(u, &copied), kms.ErrInvalidRequest)
	u.ID, copied.ID = 1, 2
	must(t, rows.Seal(t.Context(), u))
	fake.Reset()
	_, err := rows.Values(&copied)
	wantErr(t, "the copy", err, rowseal.ErrNoKey)
	copied.Email.Set("grace@example.org")
	wantErr(t, "sealing the copy", rows.Seal(t.Context(), &copied), rowseal.ErrNoKey)
	wantRequests(t, "the copy", fake, 0, 0)
}
