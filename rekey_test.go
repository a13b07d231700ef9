package rowseal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/store"
)

func TestRekeyReplacesTheDataKeysAndEverythingUnderThem(t *testing.T) {
	for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow, rowseal.BindNone} {
		t.Run(binding.String(), func(t *testing.T) {
			users := newModel[user](t, "users", ringOf(t, &kmstest.Fake{BatchSize: 10}), &rowseal.Options{Binding: binding})
			before := sealed(t, users, newUser(1, "ada"))
			u := load[user](t, 1, before)
			must(t, users.Rekey(t.Context(), u))
			wantUser(t, u, "ada")
			after := save(t, u)
			for column := range before {
				if reflect.DeepEqual(before[column], after[column]) {
					t.Errorf("%s stayed as it was", column)
				}
			}
			u = load[user](t, 1, after)
			must(t, users.Open(t.Context(), u))
			wantUser(t, u, "ada")
		})
	}
}

// Who has learnt the old data key, or has the right to unwrap it, reads nothing that was sealed since.
func TestTheOldDataKeyOpensNothingNewAndTheNewOneNothingOld(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	keys := watch(fake)
	users := newModel[user](t, "users", ringOf(t, fake), &rowseal.Options{Binding: rowseal.BindNone})
	before := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, before)
	must(t, users.Rekey(t.Context(), u))
	after := save(t, u)

	old, err := lockbox.New(keys.seen[0], nil)
	must(t, err)
	if email, err := old.Decrypt([]byte(textOfValue(before["Email"])), nil); string(email) != "ada@example.org" || err != nil {
		t.Fatalf("the first key seen is not the old data key: %v", err)
	}
	_, err = old.Decrypt([]byte(textOfValue(after["Email"])), nil)
	wantErr(t, "the old data key", err, rowseal.ErrDecryptionFailed)

	for what, row := range map[string]stored{
		"the old key beside new fields": after.with("EncryptedKMSKey", before["EncryptedKMSKey"]).with("KMSKeyPhone", before["KMSKeyPhone"]),
		"the new key beside old fields": before.with("EncryptedKMSKey", after["EncryptedKMSKey"]).with("KMSKeyPhone", after["KMSKeyPhone"]),
	} {
		u := load[user](t, 1, row)
		must(t, users.Open(t.Context(), u))
		for field, got := range get(u) {
			wantErr(t, what+", "+field, got.err, rowseal.ErrDecryptionFailed)
		}
	}
}

func TestRekeySealsWhatWasSetAndKeepsNULLAndEmptyText(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := newUser(1, "ada")
	u.Phone.Set("")
	u.Notes.SetNull()
	u = load[user](t, 1, sealed(t, users, u))
	u.Email.Set("new@example.org")
	must(t, users.Rekey(t.Context(), u))
	row := save(t, u)
	if row["Phone"] != "" || row["Notes"] != nil {
		t.Errorf("\"\" is now %q, and NULL %v", row["Phone"], row["Notes"])
	}
	u = load[user](t, 1, row)
	must(t, users.Open(t.Context(), u))
	email, err := u.Email.Get()
	code, err2 := u.Code.Get()
	if email != "new@example.org" || string(code) != "code of ada" || err != nil || err2 != nil {
		t.Errorf("%q, %q, %v, %v", email, code, err, err2)
	}
}

func TestRekeyMakesTheFirstKeyOfARowThatWasOnlySet(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	u := newUser(1, "ada")
	must(t, users.Rekey(t.Context(), u))
	wantRequests(t, "a new row", fake, 1, 0)
	u = load[user](t, 1, save(t, u))
	must(t, users.Open(t.Context(), u))
	wantUser(t, u, "ada")
}

func TestARowWithNothingSealedGetsNoKey(t *testing.T) {
	fake := &kmstest.Fake{}
	users := usersOf(t, fake)
	u := &user{ID: 1}
	must(t, users.Rekey(t.Context(), u))
	for column, v := range save(t, u) {
		if v != nil {
			t.Errorf("%s is %v", column, v)
		}
	}
	wantRequests(t, "nothing sealed", fake, 0, 0)
}

// One batch unwraps what is not open, and one wraps.
func TestRekeyAsksTheKMSForNoMoreThanItNeeds(t *testing.T) {
	for _, test := range []struct{ batch, rows, encrypt, decrypt int }{
		{100, 1, 1, 1}, {100, 20, 1, 1}, {7, 20, 6, 6}, {1, 3, 6, 6}, // two keys a row
	} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d rows in batches of %d, open: %v", test.rows, test.batch, open), func(t *testing.T) {
				fake := &kmstest.Fake{BatchSize: test.batch}
				users := usersOf(t, fake)
				var rows []*user
				for i := range test.rows {
					rows = append(rows, load[user](t, int64(i+1), sealed(t, users, newUser(int64(i+1), fmt.Sprint("user", i)))))
				}
				decrypt := test.decrypt
				if open {
					decrypt = 0
					must(t, users.Open(t.Context(), rows...))
				}
				fake.Reset()
				must(t, users.Rekey(t.Context(), rows...))
				wantRequests(t, "Rekey", fake, test.encrypt, decrypt)
				for i, u := range rows {
					wantUser(t, u, fmt.Sprint("user", i))
				}
			})
		}
	}
}

func TestRekeySeesOnlyTheSelectedKeys(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	before := sealed(t, users, newUser(1, "ada"))
	u := load[user](t, 1, before)
	fake.Reset()
	must(t, users.Only("phone").Rekey(t.Context(), u))
	if fake.Items(kms.OpEncrypt) != 1 || fake.Items(kms.OpDecrypt) != 1 {
		t.Errorf("%d keys were wrapped", fake.Items(kms.OpEncrypt))
	}
	for column, v := range save(t, u) {
		moved := column == "KMSKeyPhone" || column == "Phone" || column == "Code"
		if reflect.DeepEqual(v, before[column]) == moved {
			t.Errorf("%s moved: %v", column, !moved)
		}
	}
}

func TestRekeyTakesTheNewestVersionOfTheKeyring(t *testing.T) {
	files, fake := &objects{}, &kmstest.Fake{BatchSize: 10}
	key := kms.NewKey(fake, nil)
	one, two := rowseal.Version{Number: 1, Key: key}, rowseal.Version{Number: 2, Key: key}
	opts := &rowseal.Options{Store: files}
	_, row := sentLetter(t, newModel[letter](t, "letters", newRing(t, one), opts), 1, "ada")
	l := load[letter](t, 1, row)
	must(t, newModel[letter](t, "letters", newRing(t, two, one), opts).Rekey(t.Context(), l))
	row = save(t, l)

	// An error says what the row has now.
	must(t, files.Memory.Delete(t.Context(), l.Scan.Object()))
	wantPlace(t, second(content(t, l.Scan)), "letters", "1", "scan_file", 2)

	l = load[letter](t, 1, row)
	must(t, newModel[letter](t, "letters", newRing(t, two), opts).Open(t.Context(), l))
	wantContent(t, "the photo", l.Photo, "photo of ada")
}

func TestRekeyNeedsTheRightToOpenAndChangesNothingWithoutIt(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	ring := ringOf(t, fake)
	users := newModel[user](t, "users", ring, nil)
	row := sealed(t, users, newUser(1, "ada"))
	fake.Deny(kms.OpDecrypt)
	for what, m := range map[string]*rowseal.Model[user]{
		"a KMS that denies": users, "EncryptOnly keyring": newModel[user](t, "users", ring.EncryptOnly(), nil),
	} {
		fake.Reset()
		u := load[user](t, 1, row)
		unchanged(t, u, kms.ErrAccessDenied, func() error { return m.Rekey(t.Context(), u) })
		if n := fake.Requests(kms.OpEncrypt); n != 0 {
			t.Errorf("%s: %d requests wrapped", what, n)
		}
	}
}

func TestAFailedRekeyLeavesTheRowAsItWas(t *testing.T) {
	for what, prepare := range map[string]func(*testing.T, *rowseal.Model[user], *user){
		"loaded": func(*testing.T, *rowseal.Model[user], *user) {},
		"set":    func(_ *testing.T, _ *rowseal.Model[user], u *user) { u.Email.Set("new@example.org"); u.Code.SetNull() },
	} {
		t.Run(what, func(t *testing.T) {
			underEachFault(t, func(t *testing.T, ctx context.Context, users *rowseal.Model[user], row stored, want error) {
				u := load[user](t, 1, row)
				prepare(t, users, u)
				unchanged(t, u, want, func() error { return users.Rekey(ctx, u) })
			})
		})
	}
}

// The rows' old keys are open then, and only the new ones cannot be wrapped.
func TestAnOpenRowStaysOpenWhenItsNewKeyIsNotWrapped(t *testing.T) {
	for _, failing := range []kms.Context{{"model_id": "2"}, {"model_id": "2", "key_name": "phone"}} {
		fake := &kmstest.Fake{BatchSize: 10}
		users := usersOf(t, fake)
		var rows []*user
		for i, name := range []string{"ada", "eve", "bob"} {
			rows = append(rows, load[user](t, int64(i+1), sealed(t, users, newUser(int64(i+1), name))))
		}
		must(t, users.Open(t.Context(), rows...))
		failFor(fake, failing)
		unchanged(t, rows[1], kms.ErrDecryptionFailed, func() error {
			err := users.Rekey(t.Context(), rows...)
			wantRows(t, "Rekey", err, 3, 1)
			return err
		})
		for i, name := range []string{"ada", "eve", "bob"} {
			wantUser(t, rows[i], name)
			u := load[user](t, int64(i+1), save(t, rows[i]))
			fake.Fault = nil
			must(t, users.Open(t.Context(), u))
			wantUser(t, u, name)
		}
		must(t, users.Rekey(t.Context(), rows[1])) // once the KMS answers
		wantUser(t, rows[1], "eve")
	}
}

func TestARowOfWhichOneFieldDoesNotOpenIsNotRekeyedAtAll(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	adas, eves := sealed(t, users, newUser(1, "ada")), sealed(t, users, newUser(2, "eve"))
	ada, eve := load[user](t, 1, adas), load[user](t, 2, eves.with("Phone", adas["Phone"]))
	fake.Reset()
	unchangedRow(t, "Rekey", eve, rowseal.ErrDecryptionFailed, func() error {
		err := users.Rekey(t.Context(), eve, ada)
		wantRows(t, "Rekey", err, 2, 0)
		wantPlace(t, err, "users", "2", "phone_ciphertext", 1)
		return err
	})
	wantUser(t, ada, "ada")
	if reflect.DeepEqual(save(t, ada), adas) {
		t.Error("the other row was not rekeyed")
	}
}

func TestRekeyMovesFilesToNewObjectsUnderTheNewKey(t *testing.T) {
	fake, files := &kmstest.Fake{BatchSize: 10}, &objects{}
	keys := watch(fake)
	letters := lettersOf(t, fake, files)
	sent, before := sentLetter(t, letters, 1, "ada")
	old := sent.objects()
	l := load[letter](t, 1, before)
	must(t, letters.Rekey(t.Context(), l))
	wantLetter(t, l, "ada")
	after := save(t, l)
	wantObjects(t, "before Committed", files, append(l.objects(), old...)...)

	// Until the row is written, the old one must open.
	first := load[letter](t, 1, before)
	must(t, letters.Open(t.Context(), first))
	wantLetter(t, first, "ada")

	box, err := lockbox.New(keys.seen[0], &lockbox.Options{Format: lockbox.Format{Raw: true}})
	must(t, err)
	ad := func(object string) []byte { return []byte("letters.scan_file/" + object) }
	if _, err := box.Decrypt(files.bytes(t, old[0]), ad(old[0])); err != nil {
		t.Fatalf("the first key seen is not the old data key: %v", err)
	}
	_, err = box.Decrypt(files.bytes(t, l.Scan.Object()), ad(l.Scan.Object()))
	wantErr(t, "the old data key", err, rowseal.ErrDecryptionFailed)

	must(t, letters.Committed(t.Context(), l))
	wantObjects(t, "after Committed", files, l.objects()...)
	l = load[letter](t, 1, after)
	must(t, letters.Open(t.Context(), l))
	wantLetter(t, l, "ada")
}

func TestRekeyFailsAsAWholeWhereAFileDoesNotMove(t *testing.T) {
	broken := errors.New("broken")
	for what, test := range map[string]struct {
		spoil func(*objects, *letter)
		want  error
	}{
		"a missing object":    {func(o *objects, l *letter) { _ = o.Memory.Delete(t.Context(), l.Stamp.Object()) }, store.ErrNotFound},
		"a wrong object":      {func(o *objects, l *letter) { o.replace(t, l.Stamp.Object(), []byte("garbage")) }, rowseal.ErrDecryptionFailed},
		"a failing Get":       {func(o *objects, l *letter) { o.get = func(string) error { return broken } }, broken},
		"a failing Put":       {func(o *objects, l *letter) { o.put = failNth(3) }, store.ErrUnavailable},
		"a first failing Put": {func(o *objects, l *letter) { o.put, o.late = failNth(1), true }, store.ErrUnavailable},
	} {
		t.Run(what, func(t *testing.T) {
			files := &objects{}
			letters := lettersOf(t, &kmstest.Fake{BatchSize: 10}, files)
			sent, row := sentLetter(t, letters, 1, "ada")
			test.spoil(files, sent)
			before := files.Keys()
			l := load[letter](t, 1, row)
			unchangedRow(t, "Rekey", l, test.want, func() error { return letters.Rekey(t.Context(), l) })
			wantObjects(t, "after the failure", files, before...)
			files.get, files.put = nil, nil
			l.Scan.SetNull()
			l.Stamp.SetNull() // what is gone for good can be given up
			must(t, letters.Rekey(t.Context(), l))
		})
	}
}

// A wrapped key that holds something else than 32 bytes must not become a box.
func TestRekeyOfAKeyThatIsNoDataKeyFails(t *testing.T) {
	fake := &kmstest.Fake{}
	ring := ringOf(t, fake)
	users := newModel[user](t, "users", ring, nil)
	row := sealed(t, users, newUser(1, "ada"))
	short, err := ring.Encrypt(t.Context(), []byte("short"), kms.Context{"model_name": "user", "model_id": "1"})
	must(t, err)
	u := load[user](t, 1, row.with("EncryptedKMSKey", short))
	unchangedRow(t, "Rekey", u, rowseal.ErrDecryptionFailed, func() error { return users.Rekey(t.Context(), u) })
}

func TestRekeyRefusesARowThatBecameAnother(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Open(t.Context(), u))
	u.ID = 2
	wantErr(t, "Rekey", users.Rekey(t.Context(), u), rowseal.ErrContextChanged)
	wantErr(t, "Rekey of a nil row", users.Rekey(t.Context(), nil), kms.ErrInvalidRequest)
	wantErr(t, "Rekey of an unknown key", users.Only("fone").Rekey(t.Context(), u), kms.ErrInvalidRequest)
}

// A Rekey that lost a compare-and-swap is done again on the row as it is now.
func TestRekeyOfARekeyedRow(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 10})
	u := newUser(1, "ada")
	must(t, users.Seal(t.Context(), u))
	seen := map[any]bool{}
	for range 3 {
		seen[save(t, u)["EncryptedKMSKey"]] = true
		must(t, users.Rekey(t.Context(), u))
		wantUser(t, u, "ada")
	}
	if len(seen) != 3 {
		t.Errorf("%d distinct wrapped keys", len(seen))
	}
	u = load[user](t, 1, save(t, u))
	must(t, users.Open(t.Context(), u))
	wantUser(t, u, "ada")
}

func TestNewDataKeysAreOverwrittenAfterRekey(t *testing.T) {
	var keys [][]byte
	fake := &kmstest.Fake{BatchSize: 10}
	fake.Fault = func(r kmstest.Request, it kms.Item) error {
		if r.Op == kms.OpEncrypt {
			keys = append(keys, it.Data)
		}
		return nil
	}
	fake.After = func(_ context.Context, r kmstest.Request, results []kms.Result) []kms.Result {
		for _, result := range results {
			if r.Op == kms.OpDecrypt {
				keys = append(keys, result.Data)
			}
		}
		return results
	}
	users := usersOf(t, fake)
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Rekey(t.Context(), u))
	if len(keys) != 6 {
		t.Fatalf("saw %d data keys, want 2 sealed, 2 opened and 2 new", len(keys))
	}
	for i, key := range keys {
		if !bytes.Equal(key, make([]byte, 32)) {
			t.Errorf("data key %d is still there", i)
		}
	}
}
