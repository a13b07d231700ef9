package rowseal_test

import (
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// What follows would be saved without an error and could not be opened again.

func TestAFieldOfAnotherRowIsNotSavedBesideTheRowsKey(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	adas, graces := sealed(t, users, newUser(1, "ada")), sealed(t, users, newUser(2, "grace"))
	for what, open := range map[string]bool{"opened": true, "loaded": false} {
		ada, grace := load[user](t, 1, adas), load[user](t, 2, graces)
		if open {
			must(t, users.Open(t.Context(), ada, grace))
		}
		grace.Email = ada.Email
		grace.Notes.Set([]byte("new"))
		before := values(grace)
		err := users.Seal(t.Context(), grace)
		wantErr(t, what, err, rowseal.ErrDecryptionFailed)
		wantPlace(t, err, "users", "2", "email_ciphertext", 1)
		wantMessage(t, err, "it is not sealed under the row's data key; load the row again, or set the field too")
		if !sameValues(before, values(grace)) {
			t.Errorf("%s: the row changed", what)
		}
		grace.Email.Set("grace@example.org")
		must(t, users.Seal(t.Context(), grace))
	}
}

func TestAFieldOfAnotherRowIsNoticedInAnOpenRowWhateverIsSet(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	adas, graces := sealed(t, users, newUser(1, "ada")), sealed(t, users, newUser(2, "grace"))
	for what, set := range map[string]func(*user){
		"nothing set": func(*user) {},
		"NULL set":    func(u *user) { u.Phone.SetNull(); u.Notes.SetNull() },
		"empty text":  func(u *user) { u.Phone.Set("") },
	} {
		ada, grace := load[user](t, 1, adas), load[user](t, 2, graces)
		must(t, users.Open(t.Context(), ada, grace))
		grace.Email = ada.Email
		set(grace)
		err := users.Seal(t.Context(), grace)
		wantErr(t, what, err, rowseal.ErrDecryptionFailed)
		wantPlace(t, err, "users", "2", "email_ciphertext", 1)
	}
}

func TestAnOpenRowThatBecomesAnotherIsRefused(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Open(t.Context(), u))
	must(t, users.Open(t.Context(), u))
	u.ID = 2
	wantErr(t, "Open", users.Open(t.Context(), u), rowseal.ErrContextChanged)
}

func TestFieldsFromBeforeTheKeyWasReplacedAreNotSavedBesideTheNewOne(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	old, rekeyed := sealed(t, users, newUser(1, "ada")), sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, old)
	must(t, users.Open(t.Context(), u))
	must(t, u.EncryptedKMSKey.Scan(rekeyed["EncryptedKMSKey"])) // what a retry after a lost compare-and-swap may do
	u.Email.Set("new@example.org")
	wantErr(t, "Seal", users.Seal(t.Context(), u), rowseal.ErrDecryptionFailed)
}

func TestRewrapRefusesARowWhoseIdentityChanged(t *testing.T) {
	type row struct {
		ID              int64
		Tenant          string
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	byTenant := rowseal.ContextRule{Names: map[string]string{"tenant": "{tenant}"}}
	rows := newModel[row](t, "rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{
		Binding: rowseal.BindRow, Keys: map[string]rowseal.KeyOptions{"": {Context: byTenant}},
	})
	r := &row{ID: 1, Tenant: "acme"}
	r.Email.Set("ada@example.org")
	must(t, rows.Seal(t.Context(), r))
	r.ID = 2
	wantErr(t, "Rewrap", rows.Rewrap(t.Context(), r), rowseal.ErrContextChanged)
	wantErr(t, "Seal", rows.Seal(t.Context(), r), rowseal.ErrContextChanged)
	r.ID = 1
	must(t, rows.Rewrap(t.Context(), r))
}

func TestARowThatMovesToAnotherKeyringIsRefused(t *testing.T) {
	type row struct {
		ID              int64
		Tenant          string
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	rings := map[string]*rowseal.Keyring{"t1": ringOf(t, &kmstest.Fake{ID: "k1"}), "t2": ringOf(t, &kmstest.Fake{ID: "k2"})}
	choose := func(r rowseal.Row) (*rowseal.Keyring, error) {
		tenant, err := r.Column("tenant")
		return rings[tenant], err
	}
	rows := newModel[row](t, "rows", nil, &rowseal.Options{
		Keys: map[string]rowseal.KeyOptions{"": {KeyringFor: choose, KeyringColumns: []string{"tenant"}}},
	})
	r := &row{ID: 1, Tenant: "t1"}
	r.Email.Set("ada@example.org")
	must(t, rows.Seal(t.Context(), r))
	r.Tenant = "t2"
	r.Email.Set("new@example.org")
	wantErr(t, "Seal", rows.Seal(t.Context(), r), rowseal.ErrContextChanged)
	wantErr(t, "Rewrap", rows.Rewrap(t.Context(), r), rowseal.ErrContextChanged)
}

// A keyring that is chosen by the primary key says so, because the context need not have it.
func TestARowThatMovesToTheKeyringOfAnotherIDIsRefused(t *testing.T) {
	rings := map[string]*rowseal.Keyring{"1": ringOf(t, &kmstest.Fake{ID: "k1"}), "2": ringOf(t, &kmstest.Fake{ID: "k2"})}
	choose := func(r rowseal.Row) (*rowseal.Keyring, error) {
		id, err := r.Column("id")
		return rings[id], err
	}
	options := func(columns ...string) *rowseal.Options {
		return &rowseal.Options{Keys: map[string]rowseal.KeyOptions{"": {
			KeyringFor: choose, KeyringColumns: columns, Context: rowseal.ContextRule{Names: map[string]string{"purpose": "ones"}},
		}}}
	}
	r := newOne(1)
	err := newModel[one](t, "ones", nil, options()).Seal(t.Context(), r)
	wantMessage(t, err, "column id is used and not declared")
	ones := newModel[one](t, "ones", nil, options("id"))
	must(t, ones.Seal(t.Context(), r))
	r.ID = 2
	wantErr(t, "Seal", ones.Seal(t.Context(), r), rowseal.ErrContextChanged)
}

func TestOpenOpensWhatAWipedKeyLeftClosed(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Open(t.Context(), u))
	u.EncryptedKMSKey.Wipe()
	_, err := u.Notes.Get()
	wantErr(t, "after Wipe", err, rowseal.ErrNotOpened)
	u.Email.Set("ada@example.org")
	must(t, users.Seal(t.Context(), u)) // unwraps the key again
	must(t, users.Open(t.Context(), u))
	wantUser(t, u, "ada")
}

func TestSealKeepsTheKeyThatItUnwrapped(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	fake.Reset()
	for range 3 {
		u.Email.Set("again@example.org")
		must(t, users.Seal(t.Context(), u))
	}
	wantRequests(t, "three times", fake, 0, 1)
}

func TestRewrapToAnotherEncodingOfTheContextOpensAgain(t *testing.T) {
	ordered := kms.OrderedJSON(kms.JSONField{Name: "model_name"}, kms.JSONField{Name: "model_id", Integer: true})
	ec := kms.Context{"model_name": "User", "model_id": "7"}
	for _, support := range []kms.RewrapSupport{kms.RewrapNone, kms.RewrapSameContext, kms.RewrapAnyContext} {
		for _, encodings := range [][2]kms.ContextEncoding{{ordered, nil}, {nil, ordered}} {
			key := kms.NewKey(&kmstest.Fake{Support: support}, nil)
			old := rowseal.Version{Number: 1, Key: key, Encoding: encodings[0]}
			now := rowseal.Version{Number: 2, Key: key, Encoding: encodings[1]}
			wrapped, err := newRing(t, old).Encrypt(t.Context(), []byte("secret"), ec)
			must(t, err)
			rewrapped, err := newRing(t, now, old).Rewrap(t.Context(), wrapped, ec, ec)
			must(t, err)
			if got, err := newRing(t, now).Decrypt(t.Context(), rewrapped, ec); err != nil || string(got) != "secret" {
				t.Errorf("support %d: %q, %v", support, got, err)
			}
		}
	}
}

func TestAValueThatOpensToAnotherTypeIsNotAValue(t *testing.T) {
	type asText struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Age             rowseal.Sealed[string]
	}
	type asNumber struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Age             rowseal.Sealed[int]
	}
	fake := &kmstest.Fake{}
	opts := &rowseal.Options{Model: "Row"}
	r := &asText{ID: 1}
	r.Age.Set("thirty-six")
	row := sealed(t, newModel[asText](t, "rows", ringOf(t, fake), opts), r)
	n := load[asNumber](t, 1, row)
	must(t, newModel[asNumber](t, "rows", ringOf(t, fake), opts).Open(t.Context(), n))
	_, err := n.Age.Get()
	wantErr(t, "Get", err, rowseal.ErrDecryptionFailed)
	wantPlace(t, err, "rows", "1", "age_ciphertext", 1)
}
