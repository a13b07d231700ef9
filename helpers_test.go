package rowseal_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// user is the row of most tests: two data keys, and under each a text field and a padded raw one.
type user struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	Notes           rowseal.Sealed[[]byte] `rowseal:"padding=16,raw"`
	KMSKeyPhone     rowseal.DataKey        `rowseal:"name=phone"`
	Phone           rowseal.Sealed[string] `rowseal:"key=phone"`
	Code            rowseal.Sealed[[]byte] `rowseal:"key=phone,padding=16,raw"`
}

// newUser is a user with values that no other has.
func newUser(id int64, name string) *user {
	u := &user{ID: id}
	u.Email.Set(name + "@example.org")
	u.Notes.Set([]byte("notes of " + name))
	u.Phone.Set("phone of " + name)
	u.Code.Set([]byte("code of " + name))
	return u
}

func newRing(tb testing.TB, versions ...rowseal.Version) *rowseal.Keyring {
	tb.Helper()
	ring, err := rowseal.NewKeyring(versions...)
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

// ringOf has version 1 with a Key around the service.
func ringOf(tb testing.TB, s kms.Service) *rowseal.Keyring {
	tb.Helper()
	return newRing(tb, rowseal.Version{Number: 1, Key: kms.NewKey(s, nil)})
}

func newModel[T any](tb testing.TB, table string, ring *rowseal.Keyring, opts *rowseal.Options) *rowseal.Model[T] {
	tb.Helper()
	m, err := rowseal.NewModel[T](table, ring, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func usersOf(tb testing.TB, s kms.Service) *rowseal.Model[user] {
	tb.Helper()
	return newModel[user](tb, "users", ringOf(tb, s), nil)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantErr(tb testing.TB, what string, got, want error) {
	tb.Helper()
	if !errors.Is(got, want) {
		tb.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// wantPlace demands that an error is an *Error of that place.
func wantPlace(tb testing.TB, err error, table, id, column string, version int) {
	tb.Helper()
	var e *rowseal.Error
	if !errors.As(err, &e) {
		tb.Errorf("%v names no place", err)
		return
	}
	if e.Table != table || e.ID != id || e.Column != column || e.Version != version {
		tb.Errorf("the place is %s %q %s version %d, want %s %q %s version %d",
			e.Table, e.ID, e.Column, e.Version, table, id, column, version)
	}
}

func wantMessage(tb testing.TB, err error, parts ...string) {
	tb.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			tb.Errorf("error %q does not say %q", err, part)
		}
	}
}

// wantRequests compares how many requests came since the last Reset, and resets.
func wantRequests(tb testing.TB, what string, f *kmstest.Fake, encrypt, decrypt int) {
	tb.Helper()
	if e, d, all := f.Requests(kms.OpEncrypt), f.Requests(kms.OpDecrypt), f.Requests(); e != encrypt || d != decrypt || all != e+d {
		tb.Errorf("%s: %d requests encrypted and %d decrypted of %d, want %d and %d", what, e, d, all, encrypt, decrypt)
	}
	f.Reset()
}

// stored is what the database holds of a row: the value that a driver got, by the struct's field.
type stored map[string]driver.Value

// save asks every column for its value, as an INSERT does.
func save(tb testing.TB, row any) stored {
	tb.Helper()
	s := stored{}
	for name, value := range values(row) {
		if value.err != nil {
			tb.Fatalf("%s: %v", name, value.err)
		}
		s[name] = value.v
	}
	return s
}

type valued struct {
	v   driver.Value
	err error
}

// values is what Value of every column returns, errors included.
func values(row any) map[string]valued {
	all := map[string]valued{}
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		if valuer, ok := v.Field(i).Interface().(driver.Valuer); ok {
			value, err := valuer.Value()
			all[v.Type().Field(i).Name] = valued{value, err}
		}
	}
	return all
}

// load makes a row of type T as a SELECT does, under any id.
func load[T any](tb testing.TB, id int64, s stored) *T {
	tb.Helper()
	row := new(T)
	v := reflect.ValueOf(row).Elem()
	v.FieldByName("ID").SetInt(id)
	for name, value := range s {
		if err := v.FieldByName(name).Addr().Interface().(sql.Scanner).Scan(value); err != nil {
			tb.Fatalf("%s: %v", name, err)
		}
	}
	return row
}

// sealed saves a row that the model has sealed.
func sealed[T any](tb testing.TB, m *rowseal.Model[T], row *T) stored {
	tb.Helper()
	must(tb, m.Seal(tb.Context(), row))
	return save(tb, row)
}

func (s stored) with(name string, v driver.Value) stored {
	other := maps.Clone(s)
	other[name] = v
	return other
}

// get is what Get of each Sealed says, as text.
func get(u *user) map[string]opened {
	return map[string]opened{
		"Email": textOf(u.Email.Get()), "Notes": bytesOf(u.Notes.Get()),
		"Phone": textOf(u.Phone.Get()), "Code": bytesOf(u.Code.Get()),
	}
}

type opened struct {
	text string
	err  error
}

func textOf(v string, err error) opened  { return opened{v, err} }
func bytesOf(v []byte, err error) opened { return opened{string(v), err} }

// wantUser demands that every field of u opens to what newUser has set.
func wantUser(tb testing.TB, u *user, name string) {
	tb.Helper()
	want := get(newUser(0, name))
	for field, got := range get(u) {
		if got.err != nil || got.text != want[field].text {
			tb.Errorf("%s is %q, %v; want %q", field, got.text, got.err, want[field].text)
		}
	}
}

// witness sees the plaintexts that a Fake was given to wrap: the data keys.
type witness struct {
	mu   sync.Mutex
	seen [][]byte
}

func watch(f *kmstest.Fake) *witness {
	w := &witness{}
	f.Fault = func(r kmstest.Request, it kms.Item) error {
		if r.Op == kms.OpEncrypt {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.seen = append(w.seen, slices.Clone(it.Data))
		}
		return nil
	}
	return w
}

func cancelled(tb testing.TB) context.Context {
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	return ctx
}
