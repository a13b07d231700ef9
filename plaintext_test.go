package rowseal_test

import (
	"database/sql/driver"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// What a column holds is never taken for a value that was not encrypted, whatever it is.
func TestPlaintextInASealedColumnIsAnError(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	for _, column := range []string{"Email", "Notes", "Phone", "Code"} {
		for _, found := range []driver.Value{
			"ada@example.org", "x", " ", "[unsealed]", "[sealed]", strings.Repeat("a", 1000), []byte("ada@example.org"), []byte{0},
			row["EncryptedKMSKey"], "null",
		} {
			u := load[user](t, 1, row.with(column, found))
			must(t, users.Open(t.Context(), u))
			got := get(u)[column]
			wantErr(t, column, got.err, rowseal.ErrDecryptionFailed)
			wantPlace(t, got.err, "users", "1", columnOf[column], 1)
			if got.text != "" {
				t.Errorf("%s holds %q and is handed out as %q", column, found, got.text)
			}
		}
	}
}

// Only without padding is "" what Lockbox stores for "".
func TestAnEmptyPaddedColumnIsAnError(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	for what, row := range map[string]stored{"a key": row, "no key": row.with("EncryptedKMSKey", nil).with("Email", nil)} {
		u := load[user](t, 1, row.with("Notes", []byte{}))
		must(t, users.Open(t.Context(), u))
		wantErr(t, what, get(u)["Notes"].err, rowseal.ErrDecryptionFailed)
	}
}

func TestPlaintextInAKeyColumnIsAnError(t *testing.T) {
	fake := &kmstest.Fake{}
	for what, legacy := range map[string]*rowseal.Legacy{"": nil, "legacy ": {}} {
		ring := newRing(t, rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil), Legacy: legacy})
		users := newModel[user](t, "users", ring, nil)
		row := sealed(t, users, newUser(1, "ada"))
		for _, found := range []driver.Value{
			"0123456789abcdef0123456789abcdef", "hello", "v1:", "v1:!!!", "v:aaaa", "v1", "$gc$", "$gc$x$", "vault:v1:aaaa", row["Email"],
			[]byte("0123456789abcdef0123456789abcdef"), "[data key: wrapped]", " ",
		} {
			u := load[user](t, 1, row.with("EncryptedKMSKey", found))
			err := users.Open(t.Context(), u)
			wantErr(t, what+textOfValue(found), err, rowseal.ErrDecryptionFailed)
			if email, err := u.Email.Get(); email != "" || err == nil {
				t.Errorf("%skey column %q: %q, %v", what, found, email, err)
			}
			if v, err := u.EncryptedKMSKey.Value(); textOfValue(v) != textOfValue(found) || err != nil {
				t.Errorf("%skey column %q is now %q, %v", what, found, v, err)
			}
		}
	}
}

// A data key of another size is no data key: AES with a shorter one would be weaker, silently.
func TestAWrappedKeyOfAnotherSizeIsAnError(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	ones := newModel[one](t, "ones", ring, nil)
	row := sealed(t, ones, newOne(1))
	for _, size := range []int{0, 1, 16, 24, 31, 33, 64} {
		wrapped, err := ring.Encrypt(t.Context(), make([]byte, size), kms.Context{"model_name": "one", "model_id": "1"})
		must(t, err)
		o := load[one](t, 1, row.with("EncryptedKMSKey", wrapped))
		err = ones.Open(t.Context(), o)
		wantErr(t, "Open", err, rowseal.ErrDecryptionFailed)
		wantPlace(t, err, "ones", "1", "encrypted_kms_key", 1)
		o.Email.Set("new")
		wantErr(t, "Seal", ones.Seal(t.Context(), o), rowseal.ErrDecryptionFailed)
	}
}

func TestACiphertextIsNoValue(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, row)
	for field, got := range get(u) {
		wantErr(t, field, got.err, rowseal.ErrNotOpened)
		if got.text != "" {
			t.Errorf("%s: %q came with the error", field, got.text)
		}
	}
	if p, err := u.Email.Ptr(); p != nil || err == nil {
		t.Errorf("Ptr: %v, %v", p, err)
	}
	if u.Email.Ciphertext() != row["Email"] {
		t.Errorf("Ciphertext is %q", u.Email.Ciphertext())
	}
}
