package rowseal_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// What comes from outside and cannot be right gives an error that says what and where, and changes nothing.

func TestMissingAndUnknownKeyIDs(t *testing.T) {
	for id, says := range map[string]string{"": `open ""`, "no-such/x": "no provider has ids of this form; known are"} {
		key, err := kms.Open(t.Context(), id, nil)
		wantErr(t, id, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "kms: ", says)
		_, err = rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key}) // the error was not looked at
		wantErr(t, id, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "keyring version 1 has no key")
	}
}

func TestAContextThatIsNotUTF8CostsNoRequest(t *testing.T) {
	fake := &kmstest.Fake{}
	ring := ringOf(t, fake)
	good, err := ring.Encrypt(t.Context(), []byte("x"), ada)
	must(t, err)
	fake.Reset()
	bad := kms.Context{"model_id": "7\xff"}
	text, err := ring.Encrypt(t.Context(), []byte("x"), bad)
	wantErr(t, "Encrypt", err, kms.ErrInvalidRequest)
	plaintext, err2 := ring.Decrypt(t.Context(), good, bad)
	wantErr(t, "Decrypt", err2, kms.ErrInvalidRequest)
	again, err3 := ring.Rewrap(t.Context(), good, ada, bad)
	wantErr(t, "Rewrap", err3, kms.ErrInvalidRequest)
	for _, err := range []error{err, err2, err3} {
		wantMessage(t, err, `"model_id" is not valid UTF-8`)
	}
	if text != "" || plaintext != nil || again != "" {
		t.Error("something came with the error")
	}
	wantRequests(t, "not UTF-8", fake, 0, 0)
}

func TestACiphertextWithoutADataKey(t *testing.T) {
	fake := &kmstest.Fake{}
	users := usersOf(t, fake)
	row := sealed(t, users, newUser(1, "ada"))
	fake.Reset()
	for key, says := range map[any]string{
		nil: "key column encrypted_kms_key is NULL beside a ciphertext", "": "key column encrypted_kms_key is empty beside a ciphertext",
		"-": "key column encrypted_kms_key was not loaded beside a ciphertext",
	} {
		row := row.with("EncryptedKMSKey", key)
		if key == "-" {
			delete(row, "EncryptedKMSKey")
		}
		u := load[user](t, 1, row)
		unchanged(t, u, rowseal.ErrNoKey, func() error {
			err := users.Only("").Open(t.Context(), u)
			wantMessage(t, err, says)
			wantPlace(t, err, "users", "1", "email_ciphertext", 0)
			return err
		})
		u.Notes.Set([]byte("new")) // under a new key Email would be lost for good
		unchanged(t, u, rowseal.ErrNoKey, func() error {
			err := users.Seal(t.Context(), u)
			wantMessage(t, err, says)
			wantPlace(t, err, "users", "1", "email_ciphertext", 0)
			return err
		})
		refuses(t, "Notes", values(u)["Notes"])
		wantRequests(t, says, fake, 0, 0)

		users.Only("").Clear(u) // says that it may be lost
		u.Email.Set("new")
		must(t, users.Only("").Seal(t.Context(), u))
		fake.Reset()
	}
}

func TestACiphertextOfAnotherTable(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	users := newModel[user](t, "users", ring, nil)
	admins := newModel[user](t, "admins", ring, &rowseal.Options{Model: "Admin"})
	archive := newModel[user](t, "archive", ring, nil) // of the same model, so that the data key opens
	row := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, row)
	unchanged(t, u, rowseal.ErrDecryptionFailed, func() error {
		err := admins.Only("").Open(t.Context(), u)
		wantPlace(t, err, "admins", "1", "encrypted_kms_key", 1)
		return err
	})
	must(t, archive.Open(t.Context(), u))
	_, err := u.Email.Get()
	wantErr(t, "a field", err, rowseal.ErrDecryptionFailed)
	wantPlace(t, err, "archive", "1", "email_ciphertext", 1)
}

func huge() string { return strings.Repeat("A", 100<<20) }

// allocated is how many bytes a call allocates.
func allocated(call func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	call()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestA100MBCiphertextIsRefused(t *testing.T) {
	fake := &kmstest.Fake{}
	ring := newRing(t, rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil), Legacy: &rowseal.Legacy{}})
	users := newModel[user](t, "users", ring, nil)
	row := sealed(t, users, newUser(1, "ada"))
	fake.Reset()
	text := huge()

	u := load[user](t, 1, row)
	for what, err := range map[string]error{"text": u.EncryptedKMSKey.Scan("v1:" + text), "bytes": u.EncryptedKMSKey.Scan([]byte(text))} {
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "is too long for a wrapped key")
	}
	if u.EncryptedKMSKey.Wrapped() != row["EncryptedKMSKey"] {
		t.Error("the key column has changed")
	}
	for _, prefix := range []string{"", "v1:", "$gc$", "vault:v1:", "v"} {
		ciphertext := prefix + text
		var err error
		if n := allocated(func() { _, err = ring.Decrypt(t.Context(), ciphertext, ada) }); n > 1<<20 {
			t.Errorf("%q: refusing it takes %d bytes", prefix, n)
		}
		wantErr(t, prefix, err, rowseal.ErrDecryptionFailed)
		wantMessage(t, err, "too long for a wrapped key")
		if len(err.Error()) > 300 {
			t.Errorf("a message of %d bytes", len(err.Error()))
		}
	}
	wantRequests(t, "100 MB", fake, 0, 0)

	u = load[user](t, 1, row.with("Email", text).with("Notes", []byte(text)))
	must(t, users.Open(t.Context(), u))
	for _, column := range []string{"Email", "Notes"} {
		got := get(u)[column]
		wantErr(t, column, got.err, rowseal.ErrDecryptionFailed)
		wantPlace(t, got.err, "users", "1", columnOf[column], 1)
	}
	if v, err := u.Email.Value(); v != text || err != nil {
		t.Error("the column has changed")
	}
}

// What Decrypt would refuse as too long is not written in the first place.
func TestAPlaintextWhoseCiphertextIsTooLongIsRefused(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	for size, want := range map[int]error{700_000: nil, 800_000: kms.ErrInvalidRequest} {
		text, err := ring.Encrypt(t.Context(), make([]byte, size), ada)
		if !errors.Is(err, want) || (err == nil) != (text != "") {
			t.Errorf("%d bytes: %d, %v", size, len(text), err)
		}
		if err != nil {
			wantMessage(t, err, "rowseal: ", "encrypt less")
			continue
		}
		_, err = ring.Decrypt(t.Context(), text, ada)
		must(t, err)
	}
}

func TestAModelsRowOfAForeignGoogleKeyCostsNoRequest(t *testing.T) {
	fake := &kmstest.Fake{ID: "projects/mine/locations/global/keyRings/r/cryptoKeys/k"}
	ring := newRing(t, rowseal.Version{Number: 3, Key: kms.NewKey(fake, nil), Legacy: &rowseal.Legacy{}})
	users := newModel[user](t, "users", ring, nil)
	legacy := func(id string) string {
		return "$gc$" + mime64.Encode([]byte(id)) + "$" + mime64.Encode([]byte("opaque"))
	}
	for _, id := range []string{"theirs/global/r/k/1", "mine/global/r/k2/1", "x/y/z/" + strings.Repeat("k", 500_000)} {
		u := load[user](t, 1, stored{"EncryptedKMSKey": legacy(id), "Email": "aaaa"})
		unchanged(t, u, rowseal.ErrDecryptionFailed, func() error {
			err := users.Open(t.Context(), u)
			wantPlace(t, err, "users", "1", "encrypted_kms_key", 3)
			wantMessage(t, err, "the wrapped key names", fake.ID)
			if len(err.Error()) > 600 {
				t.Errorf("a message of %d bytes", len(err.Error()))
			}
			return err
		})
	}
	for _, id := range []string{"mine/global/r", "mine/global/r/k/1/2", ""} {
		u := load[user](t, 1, stored{"EncryptedKMSKey": legacy(id), "Email": "aaaa"})
		err := users.Open(t.Context(), u)
		wantErr(t, id, err, rowseal.ErrDecryptionFailed)
		wantMessage(t, err, "names no key")
	}
	wantRequests(t, "foreign keys", fake, 0, 0)
	u := load[user](t, 1, stored{"EncryptedKMSKey": legacy("mine/global/r/k/1"), "Email": "aaaa"})
	wantErr(t, "our key", users.Open(t.Context(), u), rowseal.ErrDecryptionFailed)
	wantRequests(t, "our key", fake, 0, 1)
}

func TestAVersionThatIsNotActiveIsNamedWithItsPlace(t *testing.T) {
	fake := &kmstest.Fake{}
	users := usersOf(t, fake)
	u := load[user](t, 1, stored{"EncryptedKMSKey": "v3:aaaa", "Email": "aaaa"})
	for what, call := range map[string]func() error{
		"Open": func() error { return users.Open(t.Context(), u) }, "Rewrap": func() error { return users.Rewrap(t.Context(), u) },
		"Seal": func() error { u.Notes.Set([]byte("x")); return users.Seal(t.Context(), u) },
	} {
		err := call()
		wantErr(t, what, err, rowseal.ErrVersionNotActive)
		wantPlace(t, err, "users", "1", "encrypted_kms_key", 3)
		if want := `rowseal: users "1" encrypted_kms_key (version 3): version not active: 3`; err.Error() != want {
			t.Errorf("%s: %q", what, err)
		}
	}
	wantRequests(t, "unknown version", fake, 0, 0)
	for id, v := range map[string]int{"v01:aaaa": 0, fmt.Sprintf("v%s:", strings.Repeat("9", 30)): 0} {
		u := load[user](t, 1, stored{"EncryptedKMSKey": id, "Email": "aaaa"})
		wantPlace(t, users.Open(t.Context(), u), "users", "1", "encrypted_kms_key", v)
	}
}
