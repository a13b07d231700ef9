package rowseal_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
)

// masterSecret are the bytes of the tests' master key of that name.
func masterSecret(name string) []byte {
	sum := sha256.Sum256([]byte("master key " + name))
	return sum[:]
}

func masterKeys(tb testing.TB, names ...string) map[string]*rowseal.MasterKey {
	tb.Helper()
	all := map[string]*rowseal.MasterKey{}
	for _, name := range names {
		key, err := rowseal.NewMasterKey(masterSecret(name))
		must(tb, err)
		all[name] = key
	}
	return all
}

// account has no data key at all, as in a Rails app with Lockbox.master_key.
type account struct {
	ID    int64
	Email rowseal.Sealed[string] `rowseal:"key=app"`
	Notes rowseal.Sealed[[]byte] `rowseal:"key=app,padding=16,raw,key_table=customers,key_attribute=remarks_ciphertext"`
}

func newAccount(id int64) *account {
	a := &account{ID: id}
	a.Email.Set("ada@example.org")
	a.Notes.Set([]byte("notes of ada"))
	return a
}

func accountsOf(tb testing.TB, binding rowseal.Binding) *rowseal.Model[account] {
	tb.Helper()
	return newModel[account](tb, "accounts", nil, &rowseal.Options{Binding: binding, MasterKeys: masterKeys(tb, "app")})
}

func wantAccount(t *testing.T, a *account) {
	t.Helper()
	email, err := a.Email.Get()
	notes, err2 := a.Notes.Get()
	if email != "ada@example.org" || string(notes) != "notes of ada" || err != nil || err2 != nil {
		t.Errorf("%q, %q, %v, %v", email, notes, err, err2)
	}
}

func TestFieldsUnderAMasterKeyNeedNoKMS(t *testing.T) {
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow, rowseal.BindNone} {
		accounts := accountsOf(t, binding)
		row := sealed(t, accounts, newAccount(7))
		a := load[account](t, 7, row)
		_, err := a.Email.Get()
		wantErr(t, "before Open", err, rowseal.ErrNotOpened)
		must(t, accounts.Open(t.Context(), a))
		wantAccount(t, a)

		a.Email.Set("ada@example.org")
		after := sealed(t, accounts, a)
		if after["Email"] == row["Email"] || string(after["Notes"].([]byte)) != string(row["Notes"].([]byte)) {
			t.Error("Seal did not seal what was set and only that")
		}
		accounts.Wipe(a)
		_, err = a.Email.Get()
		wantErr(t, "after Wipe", err, rowseal.ErrNotOpened)
		must(t, accounts.Open(t.Context(), a))
		wantAccount(t, a)
	}
}

// What Ruby's Lockbox opens with the key that it derives from the master key, a Rails program reads.
func TestFieldsUnderAMasterKeyAreLockboxes(t *testing.T) {
	for binding, ad := range map[rowseal.Binding]string{
		rowseal.BindColumn: "accounts.email_ciphertext", rowseal.BindRow: "accounts.email_ciphertext:7", rowseal.BindNone: "",
	} {
		row := sealed(t, accountsOf(t, binding), newAccount(7))
		key, err := lockbox.AttributeKey(masterSecret("app"), "accounts", "email_ciphertext")
		must(t, err)
		box, err := lockbox.New(key, nil)
		must(t, err)
		if got, err := box.Decrypt([]byte(textOfValue(row["Email"])), []byte(ad)); string(got) != "ada@example.org" || err != nil {
			t.Errorf("%v: %q, %v", binding, got, err)
		}
	}
}

func TestAFieldThatWasRenamedKeepsTheKeyOfItsEarlierNames(t *testing.T) {
	row := sealed(t, accountsOf(t, rowseal.BindNone), newAccount(7))
	key, err := lockbox.AttributeKey(masterSecret("app"), "customers", "remarks_ciphertext")
	must(t, err)
	box, err := lockbox.New(key, &lockbox.Options{Format: lockbox.Format{Padding: 16, Raw: true}})
	must(t, err)
	if got, err := box.Decrypt(row["Notes"].([]byte), nil); string(got) != "notes of ada" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRowsAreHeldApartUnderAMasterKeyByBindRow(t *testing.T) {
	accounts := accountsOf(t, rowseal.BindRow)
	a := load[account](t, 2, sealed(t, accounts, newAccount(1)))
	must(t, accounts.Open(t.Context(), a))
	_, err := a.Email.Get()
	wantErr(t, "another row's value", err, rowseal.ErrDecryptionFailed)
	wantPlace(t, err, "accounts", "2", "email_ciphertext", 0)

	fresh := newAccount(0)
	unchangedRow(t, "a row without an id", fresh, rowseal.ErrNotReady, func() error { return accounts.Seal(t.Context(), fresh) })
}

// There is no key to replace, and nothing that a new one would let be sealed without the right to open.
func TestClearRekeyAndRewrapLeaveFieldsUnderAMasterKeyAlone(t *testing.T) {
	accounts := accountsOf(t, rowseal.BindColumn)
	row := sealed(t, accounts, newAccount(1))
	a := load[account](t, 1, row)
	must(t, accounts.Rekey(t.Context(), a))
	must(t, accounts.Rewrap(t.Context(), a))
	must(t, accounts.Committed(t.Context(), a))
	accounts.Clear(a)
	if now := save(t, a); now["Email"] != row["Email"] {
		t.Errorf("the field is %v, and was %v", now["Email"], row["Email"])
	}
	must(t, accounts.Open(t.Context(), a))
	wantAccount(t, a)
	a.Email.Set("ada@example.org")
	must(t, accounts.Rekey(t.Context(), a)) // seals what was set
	save(t, a)
	wantAccount(t, a)
}

func TestAMasterKeyAndADataKeyInOneTable(t *testing.T) {
	type mixed struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		City            rowseal.Sealed[string] `rowseal:"key=app"`
	}
	fake := &kmstest.Fake{}
	rows := newModel[mixed](t, "mixed", ringOf(t, fake), &rowseal.Options{MasterKeys: masterKeys(t, "app")})
	m := &mixed{ID: 1}
	m.City.Set("London")
	row := sealed(t, rows, m)
	wantRequests(t, "only the master key's field", fake, 0, 0)
	if row["EncryptedKMSKey"] != nil {
		t.Error("the row got a data key")
	}
	m = load[mixed](t, 1, row)
	m.Email.Set("ada@example.org")
	row = sealed(t, rows, m)
	m = load[mixed](t, 1, row)
	must(t, rows.Only("app").Open(t.Context(), m))
	wantRequests(t, "sealing the other one", fake, 1, 0)
	if city, err := m.City.Get(); city != "London" || err != nil {
		t.Errorf("%q, %v", city, err)
	}
	_, err := m.Email.Get()
	wantErr(t, "the data key's field", err, rowseal.ErrNotOpened)
	rows.Clear(m)
	if cleared := save(t, m); cleared["Email"] != nil || cleared["City"] != row["City"] {
		t.Errorf("cleared: %v", cleared)
	}
}

func TestMasterKeysAreThirtyTwoBytes(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33, 64} {
		for what, make := range map[string]func([]byte) (*rowseal.MasterKey, error){"NewMasterKey": rowseal.NewMasterKey, "NewFixedKey": rowseal.NewFixedKey} {
			key, err := make(masterSecret("app")[:0:0])
			if n > 0 {
				key, err = make(append(masterSecret("app"), masterSecret("x")...)[:n])
			}
			wantErr(t, what, err, kms.ErrInvalidRequest)
			wantMessage(t, err, "want 32", "ParseMasterKey")
			if key != nil {
				t.Errorf("%s: a key came with the error", what)
			}
		}
	}
}

func TestMasterKeysAreParsedFromHex(t *testing.T) {
	digits := hex.EncodeToString(masterSecret("app"))
	for _, text := range []string{digits, strings.ToUpper(digits)} {
		key, err := rowseal.ParseMasterKey(text)
		must(t, err)
		accounts := newModel[account](t, "accounts", nil, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{"app": key}})
		a := load[account](t, 1, sealed(t, accountsOf(t, rowseal.BindColumn), newAccount(1)))
		must(t, accounts.Open(t.Context(), a))
		wantAccount(t, a)
	}
	for text, got := range map[string]string{
		"": "got none (is the variable set?)", digits[:62]: "got 62 characters:", digits + "00": "got 66 characters:",
		digits[:63] + "g": "got 64 characters:", " " + digits: "got 65 characters:",
	} {
		_, err := rowseal.ParseMasterKey(text)
		wantErr(t, "ParseMasterKey", err, kms.ErrInvalidRequest)
		wantMessage(t, err, "want 64 hex digits", got)
		if text != "" && strings.Contains(err.Error(), text[:20]) {
			t.Errorf("the error holds the digits: %v", err)
		}
	}
}

// The caller may overwrite its bytes.
func TestAMasterKeyIsACopy(t *testing.T) {
	secret := masterSecret("app")
	key, err := rowseal.NewMasterKey(secret)
	must(t, err)
	clear(secret)
	accounts := newModel[account](t, "accounts", nil, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{"app": key}})
	a := load[account](t, 1, sealed(t, accountsOf(t, rowseal.BindColumn), newAccount(1)))
	must(t, accounts.Open(t.Context(), a))
	wantAccount(t, a)
}

func TestAMasterKeyThatAKMSWrapped(t *testing.T) {
	fake := &kmstest.Fake{}
	ring := ringOf(t, fake)
	ec := kms.Context{"purpose": "master key of accounts"}
	wrapped, err := ring.Encrypt(t.Context(), masterSecret("app"), ec)
	must(t, err)
	key, err := rowseal.OpenMasterKey(t.Context(), ring, wrapped, ec)
	must(t, err)
	accounts := newModel[account](t, "accounts", nil, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{"app": key}})
	a := load[account](t, 1, sealed(t, accountsOf(t, rowseal.BindColumn), newAccount(1)))
	must(t, accounts.Open(t.Context(), a))
	wantAccount(t, a)

	_, err = rowseal.OpenMasterKey(t.Context(), ring, wrapped, kms.Context{"purpose": "another"})
	wantErr(t, "another context", err, rowseal.ErrDecryptionFailed)
	short, err := ring.Encrypt(t.Context(), []byte("short"), ec)
	must(t, err)
	_, err = rowseal.OpenMasterKey(t.Context(), ring, short, ec)
	wantErr(t, "5 bytes", err, kms.ErrInvalidRequest)
}

// The gems' option key: the key itself, for one column.
func TestAFixedKeyIsNotDerivedFrom(t *testing.T) {
	type row struct {
		ID    int64
		Email rowseal.Sealed[string] `rowseal:"key=own"`
	}
	key, err := rowseal.NewFixedKey(masterSecret("own"))
	must(t, err)
	rows := newModel[row](t, "rows", nil, &rowseal.Options{Binding: rowseal.BindNone, MasterKeys: map[string]*rowseal.MasterKey{"own": key}})
	r := &row{ID: 1}
	r.Email.Set("ada")
	saved := sealed(t, rows, r)
	box, err := lockbox.New(masterSecret("own"), nil)
	must(t, err)
	if got, err := box.Decrypt([]byte(textOfValue(saved["Email"])), nil); string(got) != "ada" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTheZeroMasterKeyIsRefusedByNewModel(t *testing.T) {
	for key, want := range map[*rowseal.MasterKey]string{
		nil: `email_ciphertext: the master key "app" is not in Options.MasterKeys`,
		{}:  `email_ciphertext: master key "app": the zero MasterKey has no key: make it with NewMasterKey`,
	} {
		_, err := rowseal.NewModel[account]("accounts", nil, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{"app": key}})
		wantErr(t, "NewModel", err, kms.ErrInvalidRequest)
		wantMessage(t, err, want)
	}
}
