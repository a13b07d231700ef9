package rowseal_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

var ada = kms.Context{"model_name": "User", "model_id": "1"}

func fakeKey(id string, opts ...func(*kmstest.Fake)) (*kmstest.Fake, *kms.Key) {
	f := &kmstest.Fake{ID: id, BatchSize: 10}
	for _, o := range opts {
		o(f)
	}
	return f, kms.NewKey(f, nil)
}

func TestTheFirstVersionSealsAndAllOpen(t *testing.T) {
	_, oldKey := fakeKey("old")
	_, newKey := fakeKey("new")
	before := newRing(t, rowseal.Version{Number: 1, Key: oldKey})
	now := newRing(t, rowseal.Version{Number: 2, Key: newKey}, rowseal.Version{Number: 1, Key: oldKey})
	first, err := before.Encrypt(t.Context(), []byte("secret"), ada)
	must(t, err)
	second, err := now.Encrypt(t.Context(), []byte("secret"), ada)
	must(t, err)
	for text, version := range map[string]int{first: 1, second: 2} {
		plaintext, err := now.Decrypt(t.Context(), text, ada)
		if string(plaintext) != "secret" || err != nil {
			t.Errorf("%.8s: %q, %v", text, plaintext, err)
		}
		if got, err := now.VersionOf(text); got != version || err != nil || !strings.HasPrefix(text, fmt.Sprintf("v%d:", version)) {
			t.Errorf("%.8s is of version %d, %v", text, got, err)
		}
	}
	_, err = before.Decrypt(t.Context(), second, ada)
	wantErr(t, "a later version", err, rowseal.ErrVersionNotActive)
}

func TestAVersionThatTheKeyringLacksIsNamed(t *testing.T) {
	fake, key := fakeKey("k")
	ring := newRing(t, rowseal.Version{Number: 1, Key: key, Legacy: &rowseal.Legacy{}})
	for _, n := range []int{2, 3, 999_999_999} {
		text := fmt.Sprintf("v%d:aaaa", n)
		_, err := ring.Decrypt(t.Context(), text, ada)
		_, err2 := ring.Rewrap(t.Context(), text, ada, ada)
		_, err3 := ring.VersionOf(text)
		for _, err := range []error{err, err2, err3} {
			wantErr(t, text, err, rowseal.ErrVersionNotActive)
			if want := fmt.Sprintf("rowseal: version not active: %d", n); err == nil || err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		}
	}
	wantRequests(t, "unknown versions", fake, 0, 0)
}

func TestVersionsThatNobodyWritesAreRefused(t *testing.T) {
	fake, key := fakeKey("k")
	ring := newRing(t, rowseal.Version{Number: 1, Key: key, Legacy: &rowseal.Legacy{}})
	good, err := ring.Encrypt(t.Context(), []byte("x"), ada)
	must(t, err)
	body := strings.TrimPrefix(good, "v1:")
	fake.Reset()
	for _, prefix := range []string{
		"v0:", "v01:", "v001:", "v1000000000:", "v18446744073709551617:", "v" + strings.Repeat("9", 400) + ":",
	} {
		_, err := ring.Decrypt(t.Context(), prefix+body, ada)
		wantErr(t, prefix, err, rowseal.ErrDecryptionFailed)
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%.20s: a message of %d bytes", prefix, len(err.Error()))
		}
	}
	wantRequests(t, "such versions", fake, 0, 0)
	for _, prefix := range []string{"v-1:", "v+1:", "v 1:", "V1:", " v1:", "v1.0:", "v1", "v:"} { // no version: the legacy form
		_, err := ring.Decrypt(t.Context(), prefix+body, ada)
		wantErr(t, prefix, err, rowseal.ErrDecryptionFailed)
	}
}

func TestReadingSkipsWhatIsNotBase64(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{})
	text, err := ring.Encrypt(t.Context(), []byte("secret"), ada)
	must(t, err)
	for _, same := range []string{text + "\n", text[:20] + "\r\n " + text[20:], strings.TrimRight(text, "=")} {
		if plaintext, err := ring.Decrypt(t.Context(), same, ada); string(plaintext) != "secret" || err != nil {
			t.Errorf("%q: %q, %v", same, plaintext, err)
		}
	}
}

func TestKeyringsThatCannotBeAreRefused(t *testing.T) {
	_, key := fakeKey("k")
	legacy := &rowseal.Legacy{}
	for want, versions := range map[string][]rowseal.Version{
		"needs a version":       {},
		"version 0":             {{Number: 0, Key: key}},
		"version -1":            {{Number: -1, Key: key}},
		"version 1000000000":    {{Number: 1_000_000_000, Key: key}},
		"version 2 has no key":  {{Number: 1, Key: key}, {Number: 2}},
		"version 1 is there tw": {{Number: 1, Key: key}, {Number: 2, Key: key}, {Number: 1, Key: key}},
		"only one can be":       {{Number: 1, Key: key, Legacy: legacy}, {Number: 2, Key: key, Legacy: legacy}},
	} {
		ring, err := rowseal.NewKeyring(versions...)
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "rowseal: ", want)
		if ring != nil {
			t.Errorf("%s: a keyring came with the error", want)
		}
	}
}

func TestAKeyringDoesNotChangeWithItsArguments(t *testing.T) {
	_, key := fakeKey("k")
	versions := []rowseal.Version{{Number: 1, Key: key}}
	ring := newRing(t, versions...)
	versions[0].Number = 7
	ring.Versions()[0].Number = 8
	if got := ring.Versions(); len(got) != 1 || got[0].Number != 1 {
		t.Errorf("%v", got)
	}
}

func TestLegacyRowsOpenWithTheLegacyVersionOnly(t *testing.T) {
	_, key := fakeKey("first")
	_, legacyKey := fakeKey("legacy")
	wrapped, err := newRing(t, rowseal.Version{Number: 1, Key: legacyKey}).Encrypt(t.Context(), []byte("secret"), ada)
	must(t, err)
	unversioned := strings.TrimPrefix(wrapped, "v1:")

	ring := newRing(t, rowseal.Version{Number: 2, Key: key}, rowseal.Version{Number: 1, Key: legacyKey, Legacy: &rowseal.Legacy{}})
	if plaintext, err := ring.Decrypt(t.Context(), unversioned, ada); string(plaintext) != "secret" || err != nil {
		t.Errorf("%q, %v", plaintext, err)
	}
	if v, err := ring.VersionOf(unversioned); v != 1 || err != nil {
		t.Errorf("version %d, %v", v, err)
	}
	again, err := ring.Rewrap(t.Context(), unversioned, ada, ada)
	must(t, err)
	if v, err := ring.VersionOf(again); v != 2 || err != nil {
		t.Errorf("rewrapped to version %d, %v", v, err)
	}
}

func TestLegacyRowsUnderTheEmptyContextIgnoreTheRows(t *testing.T) {
	fake, key := fakeKey("k")
	var contexts []string
	fake.Fault = func(_ kmstest.Request, it kms.Item) error {
		b, err := it.ContextBytes()
		contexts = append(contexts, string(b))
		return err
	}
	empty, err := newRing(t, rowseal.Version{Number: 1, Key: key}).Encrypt(t.Context(), []byte("secret"), kms.Context{})
	must(t, err)
	ring := newRing(t, rowseal.Version{Number: 1, Key: key, Legacy: &rowseal.Legacy{EmptyContext: true}})
	if plaintext, err := ring.Decrypt(t.Context(), strings.TrimPrefix(empty, "v1:"), ada); string(plaintext) != "secret" || err != nil {
		t.Errorf("%q, %v", plaintext, err)
	}
	if _, err := ring.Decrypt(t.Context(), empty, ada); !errors.Is(err, rowseal.ErrDecryptionFailed) {
		t.Errorf("a versioned form opened under the empty context: %v", err)
	}
	if want := []string{"{}", "{}", `{"model_id":"1","model_name":"User"}`}; fmt.Sprint(contexts) != fmt.Sprint(want) {
		t.Errorf("contexts %q, want %q", contexts, want)
	}
}

func TestAnEncryptOnlyKeyringOpensNothingAndAsksNobody(t *testing.T) {
	fake, key := fakeKey("k")
	ring := newRing(t, rowseal.Version{Number: 2, Key: key}, rowseal.Version{Number: 1, Key: key})
	only := ring.EncryptOnly()
	text, err := only.Encrypt(t.Context(), []byte("secret"), ada)
	must(t, err)
	fake.Reset()
	plaintext, err := only.Decrypt(t.Context(), text, ada)
	again, err2 := only.Rewrap(t.Context(), text, ada, ada)
	wantErr(t, "Decrypt", err, kms.ErrAccessDenied)
	wantErr(t, "Rewrap", err2, kms.ErrAccessDenied)
	if plaintext != nil || again != "" {
		t.Errorf("%q and %q came with the errors", plaintext, again)
	}
	wantRequests(t, "EncryptOnly", fake, 0, 0)
	if plaintext, err := ring.Decrypt(t.Context(), text, ada); string(plaintext) != "secret" || err != nil {
		t.Errorf("the whole keyring: %q, %v", plaintext, err)
	}
}

func TestRewrap(t *testing.T) {
	bob := kms.Context{"model_name": "User", "model_id": "2"}
	anyContext := func(f *kmstest.Fake) { f.Support = kms.RewrapAnyContext }
	sameContext := func(f *kmstest.Fake) { f.Support = kms.RewrapSameContext }
	none := func(*kmstest.Fake) {}
	for _, test := range []struct {
		what             string
		support          func(*kmstest.Fake)
		other            bool // to another key
		to               kms.Context
		rewrap, throughs int // requests that rewrap, and that decrypt and encrypt
	}{
		{"the same key", anyContext, false, ada, 1, 0},
		{"the same key, another context", anyContext, false, bob, 1, 0},
		{"the same key, the same context only", sameContext, false, ada, 1, 0},
		{"another context than the service can", sameContext, false, bob, 0, 1},
		{"a service without rewrap", none, false, bob, 0, 1},
		{"another key of the same service", anyContext, true, ada, 1, 0},
		{"another key of the same service, and context", anyContext, true, bob, 1, 0},
		{"another key", sameContext, true, ada, 0, 1},
		{"another key and context", sameContext, true, bob, 0, 1},
	} {
		oldFake, oldKey := fakeKey("old", test.support)
		newFake, newKey := oldFake, oldKey
		if test.other {
			newFake, newKey = fakeKey("new", test.support)
		}
		ring := newRing(t, rowseal.Version{Number: 2, Key: newKey}, rowseal.Version{Number: 1, Key: oldKey})
		before, err := newRing(t, rowseal.Version{Number: 1, Key: oldKey}).Encrypt(t.Context(), []byte("secret"), ada)
		must(t, err)
		oldFake.Reset()
		after, err := ring.Rewrap(t.Context(), before, ada, test.to)
		if err != nil || !strings.HasPrefix(after, "v2:") {
			t.Errorf("%s: %.10s, %v", test.what, after, err)
		}
		if r, d, e := newFake.Requests(kms.OpRewrap), oldFake.Requests(kms.OpDecrypt), newFake.Requests(kms.OpEncrypt); r != test.rewrap ||
			d != test.throughs || e != test.throughs {
			t.Errorf("%s: %d rewraps, %d decrypts, %d encrypts", test.what, r, d, e)
		}
		if plaintext, err := ring.Decrypt(t.Context(), after, test.to); string(plaintext) != "secret" || err != nil {
			t.Errorf("%s: opens to %q, %v", test.what, plaintext, err)
		}
	}
}

// Two servers can each have a key of one name: to move between them is not a rewrap.
func TestRewrapBetweenKeysOfOneName(t *testing.T) {
	sameContext := func(f *kmstest.Fake) { f.Support = kms.RewrapSameContext }
	_, here := fakeKey("vault/users", sameContext)
	_, there := fakeKey("vault/users", sameContext)
	before, err := newRing(t, rowseal.Version{Number: 1, Key: here}).Encrypt(t.Context(), []byte("secret"), ada)
	must(t, err)
	ring := newRing(t, rowseal.Version{Number: 2, Key: there}, rowseal.Version{Number: 1, Key: here})
	after, err := ring.Rewrap(t.Context(), before, ada, ada)
	must(t, err)
	if plaintext, err := ring.Decrypt(t.Context(), after, ada); string(plaintext) != "secret" || err != nil {
		t.Errorf("opens to %q, %v", plaintext, err)
	}
}

func TestAFailedRewrapReturnsNothing(t *testing.T) {
	oldFake, oldKey := fakeKey("old")
	newFake, newKey := fakeKey("new")
	ring := newRing(t, rowseal.Version{Number: 2, Key: newKey}, rowseal.Version{Number: 1, Key: oldKey})
	before, err := newRing(t, rowseal.Version{Number: 1, Key: oldKey}).Encrypt(t.Context(), []byte("secret"), ada)
	must(t, err)
	for _, deny := range []func(){func() { newFake.Deny(kms.OpEncrypt) }, func() { oldFake.Deny(kms.OpDecrypt) }} {
		deny()
		after, err := ring.Rewrap(t.Context(), before, ada, ada)
		wantErr(t, "Rewrap", err, kms.ErrAccessDenied)
		if after != "" {
			t.Errorf("%q came with the error", after)
		}
	}
}

func TestAModelsRewrapLeavesTheFieldsAndOpensWithTheNewVersion(t *testing.T) {
	_, oldKey := fakeKey("old")
	_, newKey := fakeKey("new")
	before := newModel[user](t, "users", newRing(t, rowseal.Version{Number: 1, Key: oldKey}), nil)
	now := newModel[user](t, "users",
		newRing(t, rowseal.Version{Number: 2, Key: newKey}, rowseal.Version{Number: 1, Key: oldKey}), nil)
	after := newModel[user](t, "users", newRing(t, rowseal.Version{Number: 2, Key: newKey}), nil)
	row := sealed(t, before, newUser(1, "ada"))

	for what, prepare := range map[string]func(*user){
		"sealed": func(*user) {}, "opened": func(u *user) { must(t, now.Open(t.Context(), u)) },
	} {
		u := load[user](t, 1, row)
		prepare(u)
		must(t, now.Rewrap(t.Context(), u))
		again := save(t, u)
		for column := range row {
			same := bytes.Equal([]byte(textOfValue(again[column])), []byte(textOfValue(row[column])))
			if isKey := keyOf[column] == ""; same == isKey {
				t.Errorf("%s: %s stayed as it was: %v", what, column, same)
			}
		}
		if held, loaded := u.EncryptedKMSKey.Stored(); held != row["EncryptedKMSKey"] || !loaded {
			t.Errorf("%s: Stored is %q, %v", what, held, loaded)
		}
		if what == "opened" {
			wantUser(t, u, "ada")
			u.Email.Set("new") // and the key is still open
			must(t, after.Seal(kms.WithBudget(t.Context(), 0), u))
		}
		u = load[user](t, 1, again)
		must(t, after.Open(t.Context(), u))
		wantUser(t, u, "ada")
	}
	u := &user{ID: 1}
	must(t, now.Rewrap(t.Context(), u)) // nothing to rewrap
	refuses(t, "a key that was never loaded", values(u)["EncryptedKMSKey"])
}

func TestTheZeroKeyringSaysWhatItLacks(t *testing.T) {
	var ring rowseal.Keyring
	if _, err := ring.Encrypt(t.Context(), []byte("x"), nil); !errors.Is(err, kms.ErrInvalidRequest) {
		t.Errorf("Encrypt: %v", err)
	}
	if _, err := ring.Decrypt(t.Context(), "v1:eA==", nil); !errors.Is(err, rowseal.ErrVersionNotActive) {
		t.Errorf("Decrypt: %v", err)
	}
	if _, err := ring.Rewrap(t.Context(), "v1:eA==", nil, nil); !errors.Is(err, rowseal.ErrVersionNotActive) {
		t.Errorf("Rewrap: %v", err)
	}
}
