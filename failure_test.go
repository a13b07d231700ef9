package rowseal_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// wantRows demands that err is a *BatchError over that many rows with errors in exactly the rows at the indexes.
func wantRows(tb testing.TB, what string, err error, of int, indexes ...int) {
	tb.Helper()
	var batch *rowseal.BatchError
	if !errors.As(err, &batch) {
		tb.Errorf("%s: %v is no *BatchError", what, err)
		return
	}
	var got []int
	for _, r := range batch.Rows {
		got = append(got, r.Index)
	}
	if got = slices.Compact(got); batch.Of != of || !slices.Equal(got, indexes) {
		tb.Errorf("%s: errors in rows %v of %d, want %v of %d", what, got, batch.Of, indexes, of)
	}
}

// faults are all the ways in which a KMS fails as a whole, and what they are called.
var faults = map[string]struct {
	set  func(*kmstest.Fake)
	ctx  func(testing.TB) context.Context
	want error
}{
	"denied":      {set: func(f *kmstest.Fake) { f.Deny(kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap) }, want: kms.ErrAccessDenied},
	"disabled":    {set: func(f *kmstest.Fake) { f.Disable() }, want: kms.ErrKeyDisabled},
	"throttled":   {set: func(f *kmstest.Fake) { f.Throttle(1000) }, want: kms.ErrThrottled},
	"unavailable": {set: failWith(kms.ErrUnavailable), want: kms.ErrUnavailable},
	"not found":   {set: failWith(kms.ErrKeyNotFound), want: kms.ErrKeyNotFound},
	"short":       {set: func(f *kmstest.Fake) { f.After = kmstest.Short }, want: kms.ErrUnavailable},
	"long":        {set: func(f *kmstest.Fake) { f.After = kmstest.Long }, want: kms.ErrUnavailable},
	"permuted":    {set: func(f *kmstest.Fake) { f.After = kmstest.Reverse }, want: kms.ErrUnavailable},
	"cancelled":   {set: func(*kmstest.Fake) {}, ctx: cancelled, want: context.Canceled},
	"no budget": {set: func(*kmstest.Fake) {}, want: kms.ErrBudget,
		ctx: func(tb testing.TB) context.Context { return kms.WithBudget(tb.Context(), 0) }},
}

func failWith(err error) func(*kmstest.Fake) {
	return func(f *kmstest.Fake) { f.Before = func(context.Context, kmstest.Request) error { return err } }
}

// underEachFault runs a test under each fault, with a KMS that took what prepare has done before it began to fail. The bubble
// of synctest keeps the waits of a throttled Key from being real ones.
func underEachFault(t *testing.T, test func(t *testing.T, ctx context.Context, users *rowseal.Model[user], row stored, want error)) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &kmstest.Fake{BatchSize: 10}
				users := usersOf(t, fake)
				row := sealed(t, users, newUser(1, "ada"))
				fault.set(fake)
				ctx := t.Context()
				if fault.ctx != nil {
					ctx = fault.ctx(t)
				}
				test(t, ctx, users, row, fault.want)
			})
		})
	}
}

// unchanged runs a call that must fail and demands that every column of the row would be written, or refused, as before.
func unchanged(t *testing.T, row *user, want error, call func() error) {
	t.Helper()
	columns, fields := values(row), get(row)
	wantErr(t, "the call", call(), want)
	if now := values(row); !sameValues(now, columns) {
		t.Errorf("the row is now %v, and was %v", now, columns)
	}
	for field, now := range get(row) {
		if was := fields[field]; now.text != was.text || (now.err == nil) != (was.err == nil) {
			t.Errorf("%s is now %q, %v; and was %q, %v", field, now.text, now.err, was.text, was.err)
		}
	}
}

func sameValues(a, b map[string]valued) bool {
	for column := range a {
		if !reflect.DeepEqual(a[column].v, b[column].v) || (a[column].err == nil) != (b[column].err == nil) {
			return false
		}
	}
	return len(a) == len(b)
}

func TestAFailedSealLeavesANewRowAsItWas(t *testing.T) {
	underEachFault(t, func(t *testing.T, ctx context.Context, users *rowseal.Model[user], _ stored, want error) {
		u := newUser(2, "eve")
		unchanged(t, u, want, func() error { return users.Seal(ctx, u) })
		for column, v := range values(u) {
			refuses(t, column, v)
		}
	})
}

func TestAFailedSealLeavesALoadedRowAsItWas(t *testing.T) {
	underEachFault(t, func(t *testing.T, ctx context.Context, users *rowseal.Model[user], row stored, want error) {
		u := load[user](t, 1, row)
		u.Email.Set("new@example.org")
		u.Code.Set([]byte("new"))
		unchanged(t, u, want, func() error { return users.Seal(ctx, u) })
		refuses(t, "Email", values(u)["Email"])
		refuses(t, "Code", values(u)["Code"])
	})
}

// A KMS that cannot answer does not mean that a column was never encrypted.
func TestAFailedOpenLeavesTheRowSealed(t *testing.T) {
	underEachFault(t, func(t *testing.T, ctx context.Context, users *rowseal.Model[user], row stored, want error) {
		u := load[user](t, 1, row)
		unchanged(t, u, want, func() error { return users.Open(ctx, u) })
		for field, got := range get(u) {
			wantErr(t, field, got.err, rowseal.ErrNotOpened)
			if got.text != "" {
				t.Errorf("%s is handed out as %q", field, got.text)
			}
		}
	})
}

func TestAFailedRewrapLeavesTheRowAsItWas(t *testing.T) {
	underEachFault(t, func(t *testing.T, ctx context.Context, users *rowseal.Model[user], row stored, want error) {
		u := load[user](t, 1, row)
		unchanged(t, u, want, func() error { return users.Rewrap(ctx, u) })
	})
}

// failFor makes the KMS refuse the contexts that contain all of these entries.
func failFor(f *kmstest.Fake, entries kms.Context) {
	f.Fault = func(_ kmstest.Request, it kms.Item) error {
		for name, value := range entries {
			if it.Context[name] != value {
				return nil
			}
		}
		return kms.ErrDecryptionFailed
	}
}

func TestARowOfWhichOneKeyFailsIsNotSealedAtAll(t *testing.T) {
	for what, row := range map[string]func(*testing.T, *rowseal.Model[user]) *user{
		"new": func(*testing.T, *rowseal.Model[user]) *user { return newUser(2, "eve") },
		"loaded": func(t *testing.T, users *rowseal.Model[user]) *user {
			u := load[user](t, 2, sealed(t, users, newUser(2, "eve")))
			u.Email.Set("new@example.org")
			u.Phone.Set("new")
			return u
		},
	} {
		t.Run(what, func(t *testing.T) {
			fake := &kmstest.Fake{BatchSize: 10}
			users := usersOf(t, fake)
			rows := []*user{newUser(1, "ada"), row(t, users), newUser(3, "bob")}
			failFor(fake, kms.Context{"model_id": "2", "key_name": "phone"})
			unchanged(t, rows[1], kms.ErrDecryptionFailed, func() error {
				err := users.Seal(t.Context(), rows...)
				wantRows(t, "Seal", err, 3, 1)
				wantPlace(t, err, "users", "2", "encrypted_kms_key_phone", 1)
				return err
			})
			refuses(t, "the field under the key that did not fail", values(rows[1])["Email"])
			fake.Fault = nil
			for i, name := range map[int]string{0: "ada", 2: "bob"} {
				u := load[user](t, int64(i+1), save(t, rows[i]))
				must(t, users.Open(t.Context(), u))
				wantUser(t, u, name)
			}
			must(t, users.Seal(t.Context(), rows[1])) // the same row, once the KMS answers
			save(t, rows[1])
		})
	}
}

func TestKeysAndRowsThatDoNotFailAreOpened(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	users := usersOf(t, fake)
	var rows []user
	for i, name := range []string{"ada", "eve", "bob"} {
		rows = append(rows, *load[user](t, int64(i+1), sealed(t, users, newUser(int64(i+1), name))))
	}
	failFor(fake, kms.Context{"model_id": "2", "key_name": "phone"})
	err := users.OpenSlice(t.Context(), rows)
	wantRows(t, "Open", err, 3, 1)
	wantPlace(t, err, "users", "2", "encrypted_kms_key_phone", 1)
	wantUser(t, &rows[0], "ada")
	wantUser(t, &rows[2], "bob")
	if email, err := rows[1].Email.Get(); email != "eve@example.org" || err != nil {
		t.Errorf("the other key's field is %q, %v", email, err)
	}
	_, err = rows[1].Phone.Get()
	wantErr(t, "the failed key's field", err, rowseal.ErrNotOpened)
}

func TestBatchErrorSaysTheFirstAndHowMany(t *testing.T) {
	fake := &kmstest.Fake{ID: "vault/users"}
	users := usersOf(t, fake)
	fake.Deny(kms.OpEncrypt)
	err := users.Seal(t.Context(), newUser(1, "ada"), newUser(2, "eve"))
	want := `rowseal: users "1" encrypted_kms_key (version 1): kms: encrypt with vault/users: access denied (and 3 more errors in a call over 2 rows)`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	one := newUser(3, "bob")
	err = users.Only("phone").Seal(t.Context(), one)
	if want := `rowseal: users "3" encrypted_kms_key_phone (version 1): kms: encrypt with vault/users: access denied`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
