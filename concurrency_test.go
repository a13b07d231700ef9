package rowseal_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// These tests are for the race detector as much as for what they compare.

func atOnce(n int, work func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { work(i) })
	}
	wg.Wait()
}

func TestOneModelServesManyGoroutines(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{BatchSize: 3})
	sealer, only := users.Sealer(), users.Only("phone")
	atOnce(8, func(i int) {
		name := fmt.Sprint("user", i)
		rows := []*user{newUser(int64(2*i+1), name), newUser(int64(2*i+2), name)}
		if err := sealer.Seal(t.Context(), rows...); err != nil {
			t.Error(err)
			return
		}
		for _, u := range rows {
			u = load[user](t, u.ID, save(t, u))
			for _, err := range []error{only.Open(t.Context(), u), users.Open(t.Context(), u), users.Rewrap(t.Context(), u)} {
				if err != nil {
					t.Error(err)
				}
			}
			wantUser(t, u, name)
			users.Wipe(u)
			users.Clear(u)
			users.Schema()
		}
	})
}

func TestOneKeyringServesManyGoroutines(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 3}
	ring := newRing(t, rowseal.Version{Number: 2, Key: kms.NewKey(fake, nil)}, rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil)})
	atOnce(8, func(i int) {
		ec := kms.Context{"model_id": fmt.Sprint(i)}
		text, err := ring.Encrypt(t.Context(), []byte{byte(i)}, ec)
		if err == nil {
			text, err = ring.Rewrap(t.Context(), text, ec, ec)
		}
		plaintext, err2 := ring.Decrypt(t.Context(), text, ec)
		if err != nil || err2 != nil || len(plaintext) != 1 || plaintext[0] != byte(i) {
			t.Error(i, plaintext, err, err2)
		}
	})
}

// Copies of a row share the handle of its data key.
func TestCopiesOfARowAreOpenedAndSealedAtOnce(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	atOnce(8, func(i int) {
		copied := *u
		for _, err := range []error{users.Open(t.Context(), &copied), users.Seal(t.Context(), &copied)} {
			if err != nil {
				t.Error(err)
			}
		}
		wantUser(t, &copied, "ada")
		copied.Email.Set(fmt.Sprint("new", i))
		if err := users.Seal(t.Context(), &copied); err != nil {
			t.Error(err)
		}
		again := load[user](t, 1, save(t, &copied))
		if err := users.Open(t.Context(), again); err != nil {
			t.Error(err)
		}
		if email, err := again.Email.Get(); email != fmt.Sprint("new", i) || err != nil {
			t.Errorf("%q, %v", email, err)
		}
	})
}

func TestGetFromManyGoroutines(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := load[user](t, 1, sealed(t, users, newUser(1, "ada")))
	must(t, users.Open(t.Context(), u))
	atOnce(16, func(int) { wantUser(t, u, "ada") })
}

// Beside a Wipe a value is read whole or not at all.
func TestWipeBesideGet(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	for range 50 {
		u := load[user](t, 1, row)
		must(t, users.Open(t.Context(), u))
		copied := *u
		atOnce(4, func(i int) {
			if i == 0 {
				copied.EncryptedKMSKey.Wipe()
				return
			}
			if email, err := u.Email.Get(); !errors.Is(err, rowseal.ErrNotOpened) && email != "ada@example.org" {
				t.Errorf("%q, %v", email, err)
			}
			_ = fmt.Sprint(u.EncryptedKMSKey, u.Email)
		})
	}
}
