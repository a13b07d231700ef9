package rowseal_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

func TestSealedRowsOpenAgain(t *testing.T) {
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow, rowseal.BindNone} {
		t.Run(binding.String(), func(t *testing.T) {
			users := newModel[user](t, "users", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Binding: binding})
			row := sealed(t, users, newUser(7, "ada"))
			for column, value := range row {
				if value == nil || strings.Contains(string(textOfValue(value)), "ada") {
					t.Errorf("%s holds %v", column, value)
				}
			}
			u := load[user](t, 7, row)
			must(t, users.Open(t.Context(), u))
			wantUser(t, u, "ada")
		})
	}
}

// What Ruby's Lockbox opens with the data key and this associated data, a Rails program reads.
func TestFieldsAreLockboxesUnderTheDataKey(t *testing.T) {
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Notes           rowseal.Sealed[string] `rowseal:"padding=16,raw,ad=users.notes"`
	}
	for binding, ad := range map[rowseal.Binding]string{
		rowseal.BindColumn: "people.email_ciphertext", rowseal.BindRow: "people.email_ciphertext:7", rowseal.BindNone: "",
	} {
		fake := &kmstest.Fake{}
		keys := watch(fake)
		r := &row{ID: 7}
		r.Email.Set("ada")
		r.Notes.Set("padded")
		saved := sealed(t, newModel[row](t, "people", ringOf(t, fake), &rowseal.Options{Binding: binding}), r)
		for field, test := range map[string]struct {
			format    lockbox.Format
			ad, plain string
		}{
			"Email": {lockbox.Format{}, ad, "ada"},
			"Notes": {lockbox.Format{Padding: 16, Raw: true}, "users.notes", "padded"},
		} {
			box, err := lockbox.New(keys.seen[0], &lockbox.Options{Format: test.format})
			must(t, err)
			plaintext, err := box.Decrypt([]byte(textOfValue(saved[field])), []byte(test.ad))
			if string(plaintext) != test.plain || err != nil {
				t.Errorf("binding %v, %s: %q, %v", binding, field, plaintext, err)
			}
		}
	}
}

func textOfValue(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	text, _ := v.(string)
	return text
}

func TestSealedValuesCanBeReadAfterSeal(t *testing.T) {
	u := newUser(1, "ada")
	must(t, usersOf(t, &kmstest.Fake{}).Seal(t.Context(), u))
	wantUser(t, u, "ada")
}

// refuses demands that Value does not let a column be written: a value beside the error, because GORM takes nil for NULL.
func refuses(t *testing.T, what string, v valued) {
	t.Helper()
	wantErr(t, what, v.err, rowseal.ErrUnsealed)
	if v.v == nil {
		t.Errorf("%s: the value beside the error is nil", what)
	}
}

func TestWhatIsNotSealedIsNotWritten(t *testing.T) {
	u := newUser(1, "ada")
	for column, v := range values(u) {
		refuses(t, column, v)
	}
	refuses(t, "a key that was never loaded", values(&user{})["EncryptedKMSKey"])
}

func TestANewRowWithNothingSetIsNULL(t *testing.T) {
	u := &user{ID: 1}
	fake := &kmstest.Fake{}
	must(t, usersOf(t, fake).Seal(t.Context(), u))
	for column, v := range save(t, u) {
		if v != nil {
			t.Errorf("%s is %v", column, v)
		}
	}
	wantRequests(t, "nothing set", fake, 0, 0)
}

// Otherwise a NULL would be written over the key of ciphertexts that are there.
func TestAKeyThatWasNotLoadedBesideCiphertextsIsNotWritten(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	delete(row, "EncryptedKMSKey")
	u := load[user](t, 1, row)
	must(t, users.Seal(t.Context(), u))
	refuses(t, "the key", values(u)["EncryptedKMSKey"])
}

func TestSetAfterOpenKeepsTheDataKeyAndTheOtherFields(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	before := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, before)
	u.Email.Set("new@example.org")
	must(t, users.Seal(t.Context(), u))
	after := save(t, u)
	for column := range before {
		if same := reflect.DeepEqual(before[column], after[column]); same == (column == "Email") {
			t.Errorf("%s stayed as it was: %v", column, same)
		}
	}
	u = load[user](t, 1, after)
	must(t, users.Open(t.Context(), u))
	if email, err := u.Email.Get(); email != "new@example.org" || err != nil {
		t.Errorf("%q, %v", email, err)
	}
}

type sealer interface {
	Seal(ctx context.Context, rows ...*user) error
	Clear(rows ...*user)
}

// sealers can seal and have no right to open, if the KMS denies it.
func sealers(t *testing.T, ring *rowseal.Keyring) map[string]sealer {
	users := newModel[user](t, "users", ring, nil)
	return map[string]sealer{
		"Sealer":              users.Sealer(),
		"EncryptOnly keyring": newModel[user](t, "users", ring.EncryptOnly(), nil),
		"a KMS that denies":   users,
	}
}

func TestClearedRowsAreSealedAnewWithoutTheRightToOpen(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	ring := ringOf(t, fake)
	users := newModel[user](t, "users", ring, nil)
	before := sealed(t, users, newUser(1, "ada"))
	for what, sealer := range sealers(t, ring) {
		t.Run(what, func(t *testing.T) {
			fake.Deny(kms.OpDecrypt, kms.OpRewrap)
			defer fake.Allow(kms.OpDecrypt, kms.OpRewrap)
			fake.Reset()
			u := load[user](t, 1, before)
			sealer.Clear(u)
			for column, v := range save(t, u) {
				if v != nil {
					t.Errorf("a cleared %s is %v", column, v)
				}
			}
			u.Email.Set("new@example.org")
			must(t, sealer.Seal(t.Context(), u))
			wantRequests(t, "seal only", fake, 1, 0)

			after := save(t, u)
			for _, column := range []string{"EncryptedKMSKey", "Email"} {
				if after[column] == nil || reflect.DeepEqual(after[column], before[column]) {
					t.Errorf("%s was not replaced", column)
				}
			}
			for _, column := range []string{"Notes", "KMSKeyPhone", "Phone", "Code"} {
				if after[column] != nil {
					t.Errorf("%s is not NULL", column)
				}
			}
			for key, dk := range map[string]rowseal.DataKey{"EncryptedKMSKey": u.EncryptedKMSKey, "KMSKeyPhone": u.KMSKeyPhone} {
				if held, loaded := dk.Stored(); held != before[key] || !loaded {
					t.Errorf("%s forgot what the row held: %q, %v", key, held, loaded)
				}
			}

			fake.Allow(kms.OpDecrypt)
			u = load[user](t, 1, after)
			must(t, users.Open(t.Context(), u))
			if email, err := u.Email.Get(); email != "new@example.org" || err != nil {
				t.Errorf("%q, %v", email, err)
			}
		})
	}
}

// The converse of Clear: without it the row's data key must be used again, and that needs the right to open.
func TestAnExistingDataKeyIsNotReplacedWithoutClear(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	ring := ringOf(t, fake)
	users := newModel[user](t, "users", ring, nil)
	before := sealed(t, users, newUser(1, "ada"))
	fake.Deny(kms.OpDecrypt)
	for what, sealer := range sealers(t, ring) {
		t.Run(what, func(t *testing.T) {
			fake.Reset()
			u := load[user](t, 1, before)
			u.Email.Set("new@example.org")
			err := sealer.Seal(t.Context(), u)
			wantErr(t, "seal", err, kms.ErrAccessDenied)
			wantMessage(t, err, "Clear")
			if fake.Requests(kms.OpEncrypt) != 0 {
				t.Error("a new data key was made")
			}
			refuses(t, "the value", values(u)["Email"])
			if v := values(u)["EncryptedKMSKey"]; v.v != before["EncryptedKMSKey"] || v.err != nil {
				t.Errorf("the key is now %v, %v", v.v, v.err)
			}
			if what != "a KMS that denies" && fake.Requests() != 0 {
				t.Errorf("%d requests", fake.Requests())
			}
		})
	}
}

func TestClearSeesOnlyTheSelectedKeys(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	before := sealed(t, users, newUser(1, "ada"))
	for _, sealer := range []sealer{users.Only("phone"), users.Sealer().Only("phone"), users.Only("phone").Sealer()} {
		u := load[user](t, 1, before)
		sealer.Clear(u)
		for column, v := range save(t, u) {
			gone := column == "KMSKeyPhone" || column == "Phone" || column == "Code"
			if (v == nil) != gone {
				t.Errorf("%s is %v", column, v)
			}
		}
	}
}

// A row that is cleared must not close the row that it was copied from.
func TestClearLeavesCopiesAlone(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Open(t.Context(), u))
	other := *u
	users.Clear(&other)
	wantUser(t, u, "ada")
	if v, err := u.EncryptedKMSKey.Value(); v == nil || err != nil {
		t.Errorf("the first copy's key is %v, %v", v, err)
	}
}

func TestEmptyTextStaysEmptyUnlessItIsPadded(t *testing.T) {
	fake := &kmstest.Fake{}
	users := usersOf(t, fake)
	u := &user{ID: 1}
	u.Email.Set("")
	must(t, users.Seal(t.Context(), u))
	wantRequests(t, `""`, fake, 0, 0)
	row := save(t, u)
	if row["Email"] != "" || row["EncryptedKMSKey"] != nil {
		t.Errorf("stored %q beside the key %v", row["Email"], row["EncryptedKMSKey"])
	}
	u = load[user](t, 1, row)
	must(t, users.Open(t.Context(), u))
	if email, err := u.Email.Get(); email != "" || err != nil || u.Email.IsNull() {
		t.Errorf("%q, %v, null %v", email, err, u.Email.IsNull())
	}
	wantRequests(t, `open ""`, fake, 0, 0)

	u.Notes.Set([]byte{})
	must(t, users.Seal(t.Context(), u))
	wantRequests(t, `padded ""`, fake, 1, 0)
	row = save(t, u)
	if len(textOfValue(row["Notes"])) != 12+16+16 {
		t.Errorf("padded \"\" is stored as %q", row["Notes"])
	}
	u = load[user](t, 1, row)
	must(t, users.Open(t.Context(), u))
	if notes, err := u.Notes.Get(); len(notes) != 0 || notes == nil || err != nil {
		t.Errorf("%q, %v", notes, err)
	}
}

// Two rows must never share a data key, nor one row hold a field under the key of the other.
func TestCopiesOfANewRowGetDataKeysOfTheirOwn(t *testing.T) {
	fake := &kmstest.Fake{}
	keys := watch(fake)
	users := usersOf(t, fake)
	a := user{ID: 1}
	a.Email.Set("ada@example.org")
	loaded := *load[user](t, 1, stored{"EncryptedKMSKey": nil, "Email": nil})
	loaded.Email.Set("ada@example.org")
	for _, first := range []user{a, loaded} {
		second := first
		second.ID = 2
		must(t, users.Seal(t.Context(), &first))
		must(t, users.Seal(t.Context(), &second))
	}
	distinct := map[string]bool{}
	for _, key := range keys.seen {
		distinct[string(key)] = true
	}
	if len(keys.seen) != 4 || len(distinct) != 4 {
		t.Errorf("%d data keys were wrapped, %d distinct", len(keys.seen), len(distinct))
	}
}

func TestOneRowTwiceInACall(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := newUser(1, "ada")
	must(t, users.Seal(t.Context(), u, u))
	row := save(t, u)
	u = load[user](t, 1, row)
	must(t, users.Open(t.Context(), u, u))
	wantUser(t, u, "ada")
	u = load[user](t, 1, row)
	u.Email.Set("new@example.org")
	must(t, users.Seal(t.Context(), u, u))
	must(t, users.Rewrap(t.Context(), u, u))
	u = load[user](t, 1, save(t, u))
	must(t, users.Open(t.Context(), u))
	if email, err := u.Email.Get(); email != "new@example.org" || err != nil {
		t.Errorf("%q, %v", email, err)
	}
	if notes, err := u.Notes.Get(); string(notes) != "notes of ada" || err != nil {
		t.Errorf("%q, %v", notes, err)
	}
}

func TestNilRowsAreErrorsAndTheOthersSucceed(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := newUser(1, "ada")
	for what, call := range map[string]func(context.Context, ...*user) error{"Seal": users.Seal, "Open": users.Open, "Rewrap": users.Rewrap} {
		err := call(t.Context(), nil, u)
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantRows(t, what, err, 2, 0)
		wantMessage(t, err, "nil pointer")
	}
	save(t, u)
	users.Wipe(nil, u)
	users.Clear(nil, u)
	if !u.EncryptedKMSKey.IsNull() {
		t.Error("the row beside the nil pointer was not cleared")
	}
}
