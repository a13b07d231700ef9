package rowseal_test

import (
	"bytes"
	"database/sql/driver"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

type (
	email  string
	blob   []byte
	flag   bool
	level  int8
	amount float64
	moment time.Time
)

// roundTrip seals v, loads the row, and returns what Get gives.
func roundTrip[T any](t *testing.T, v T) (T, error) {
	t.Helper()
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		V               rowseal.Sealed[T]
	}
	rows := newModel[row](t, "rows", ringOf(t, &kmstest.Fake{}), &rowseal.Options{Model: "Row"})
	r := &row{ID: 1}
	r.V.Set(v)
	must(t, rows.Seal(t.Context(), r))
	if now, err := r.V.Get(); err != nil || !reflect.DeepEqual(now, v) {
		t.Errorf("after Seal %T is %v, %v", v, now, err)
	}
	r = load[row](t, 1, save(t, r))
	if _, err := r.V.Get(); !errors.Is(err, rowseal.ErrNotOpened) {
		t.Errorf("before Open: %v", err)
	}
	must(t, rows.Open(t.Context(), r))
	p, err := r.V.Ptr()
	if err != nil || p == nil || !reflect.DeepEqual(any(*p), any(second2(r.V.Get()))) {
		t.Errorf("Ptr of a %T is %v, %v", v, p, err)
	}
	return r.V.Get()
}

func second2[T any](v T, _ error) T { return v }

func same[T any](t *testing.T, v T) {
	t.Helper()
	if got, err := roundTrip(t, v); err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%T %v became %v, %v", v, v, got, err)
	}
}

func TestEveryTypeComesBackAsItWas(t *testing.T) {
	same(t, "text with \x00 and ünïcode")
	same(t, "")
	same(t, []byte{0, 1, 255})
	same(t, []byte{})
	same(t, true)
	same(t, false)
	same(t, -1)
	same(t, int8(math.MinInt8))
	same(t, int16(math.MinInt16))
	same(t, int32(math.MinInt32))
	same(t, int64(math.MinInt64))
	same(t, uint(7))
	same(t, uint8(math.MaxUint8))
	same(t, uint16(math.MaxUint16))
	same(t, uint32(math.MaxUint32))
	same(t, uint64(math.MaxInt64))
	same(t, 0)
	same(t, math.Pi)
	same(t, float32(math.MaxFloat32))
	same(t, math.Inf(-1))
	same(t, time.Date(2024, 2, 29, 23, 59, 59, 999999999, time.UTC))
	same(t, email("named"))
	same(t, blob{1, 2})
	same(t, flag(true))
	same(t, level(-3))
	same(t, amount(1.5))
	same(t, moment(time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)))
}

func TestAValueThatItsTypeCannotSealIsAnErrorWithThePlace(t *testing.T) {
	type row struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		V               rowseal.Sealed[uint64]
	}
	fake := &kmstest.Fake{}
	rows := newModel[row](t, "rows", ringOf(t, fake), nil)
	r := &row{ID: 1}
	r.V.Set(math.MaxUint64)
	err := rows.Seal(t.Context(), r)
	wantPlace(t, err, "rows", "1", "v_ciphertext", 0)
	wantRequests(t, "such a value", fake, 0, 0)
	_, err = r.V.Value()
	wantErr(t, "Value", err, rowseal.ErrUnsealed)
}

func TestNULLHasAZeroValueAndNoError(t *testing.T) {
	var zero, set, scanned rowseal.Sealed[string]
	set.Set("x")
	set.SetNull()
	must(t, scanned.Scan(nil))
	for what, s := range map[string]rowseal.Sealed[string]{"zero": zero, "SetNull": set, "scanned": scanned} {
		v, err := s.Get()
		p, err2 := s.Ptr()
		value, err3 := s.Value()
		if v != "" || p != nil || value != nil || !s.IsNull() || s.Ciphertext() != "" || errors.Join(err, err2, err3) != nil {
			t.Errorf("%s: %q, %v, %v, null %v, %v", what, v, p, value, s.IsNull(), errors.Join(err, err2, err3))
		}
	}
}

// database/sql has it so: a nil []byte is NULL, an empty one is not.
func TestANilSliceIsNULLAndAnEmptyOneIsNot(t *testing.T) {
	var plain rowseal.Sealed[[]byte]
	var named rowseal.Sealed[blob]
	plain.Set(nil)
	named.Set(nil)
	if !plain.IsNull() || !named.IsNull() {
		t.Error("nil is not NULL")
	}
	plain.Set([]byte{})
	named.Set(blob{})
	if plain.IsNull() || named.IsNull() {
		t.Error("empty is NULL")
	}
}

func TestSetCopiesSlices(t *testing.T) {
	var plain rowseal.Sealed[[]byte]
	var named rowseal.Sealed[blob]
	b := []byte("before")
	plain.Set(b)
	named.Set(b)
	copy(b, "AFTER!")
	v, err := plain.Get()
	w, err2 := named.Get()
	if string(v) != "before" || string(w) != "before" || errors.Join(err, err2) != nil {
		t.Errorf("%q, %q", v, w)
	}
}

func TestCopiesOfASealedValueAreIndependent(t *testing.T) {
	var a rowseal.Sealed[string]
	a.Set("a")
	b := a
	b.Set("b")
	if v, _ := a.Get(); v != "a" {
		t.Errorf("the first copy is %q", v)
	}
}

// Drivers reuse the buffer that they hand to Scan.
func TestScanCopiesTheDriversBuffer(t *testing.T) {
	var s rowseal.Sealed[string]
	var k rowseal.DataKey
	buffer := []byte("v1:first")
	must(t, s.Scan(buffer))
	must(t, k.Scan(buffer))
	copy(buffer, "v1:other")
	if s.Ciphertext() != "v1:first" || k.Wrapped() != "v1:first" {
		t.Errorf("%q, %q", s.Ciphertext(), k.Wrapped())
	}
}

func TestScanTakesTextBytesAndNULL(t *testing.T) {
	for _, src := range []any{"text", []byte("text"), nil} {
		var s rowseal.Sealed[int]
		var k rowseal.DataKey
		must(t, s.Scan(src))
		must(t, k.Scan(src))
		for what, valuer := range map[string]driver.Valuer{"Sealed": s, "DataKey": k} {
			if v, err := valuer.Value(); !reflect.DeepEqual(v, src) || err != nil {
				t.Errorf("%s: %T %v came back as %T %v, %v", what, src, src, v, v, err)
			}
		}
		if s.IsNull() != (src == nil) || k.IsNull() != (src == nil) {
			t.Errorf("%v: null %v, %v", src, s.IsNull(), k.IsNull())
		}
	}
}

func TestScanRefusesOtherTypesAndKeepsWhatItHas(t *testing.T) {
	for _, src := range []any{int64(1), 1.5, true, time.Now(), []string{"x"}, struct{}{}} {
		var s rowseal.Sealed[string]
		var k rowseal.DataKey
		must(t, s.Scan("before"))
		must(t, k.Scan("before"))
		for _, err := range []error{s.Scan(src), k.Scan(src)} {
			wantErr(t, fmt.Sprintf("%T", src), err, kms.ErrInvalidRequest)
			wantMessage(t, err, fmt.Sprintf("%T", src))
		}
		if s.Ciphertext() != "before" || k.Wrapped() != "before" {
			t.Errorf("%T: now %q, %q", src, s.Ciphertext(), k.Wrapped())
		}
	}
}

func TestScanForgetsWhatWasSetOrOpened(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := newUser(1, "ada")
	must(t, users.Seal(t.Context(), u))
	row := save(t, u)
	must(t, u.Email.Scan(row["Email"]))
	if _, err := u.Email.Get(); !errors.Is(err, rowseal.ErrNotOpened) {
		t.Errorf("still open: %v", err)
	}
	must(t, users.Open(kms.WithBudget(t.Context(), 0), u)) // the data key is open
	wantUser(t, u, "ada")
}

// The column's type is declared (raw) and not guessed; a key column keeps the type that it was loaded with.
func TestTextColumnsGetTextAndRawOnesBytes(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	row := sealed(t, users, newUser(1, "ada"))
	for column, value := range row {
		_, isBytes := value.([]byte)
		if isBytes != rawOf[column] {
			t.Errorf("%s is a %T", column, value)
		}
	}
	asBytes := stored{}
	for column, value := range row {
		asBytes[column] = []byte(textOfValue(value))
	}
	u := load[user](t, 1, asBytes)
	if again := save(t, u); !reflect.DeepEqual(again, asBytes) {
		t.Errorf("loaded as bytes and saved as %v", again)
	}
	must(t, users.Open(t.Context(), u))
	wantUser(t, u, "ada")
	must(t, users.Rewrap(t.Context(), u))
	if v, _ := u.EncryptedKMSKey.Value(); reflect.TypeOf(v) != reflect.TypeFor[[]byte]() {
		t.Errorf("the rewrapped key is a %T", v)
	}
	users.Clear(u)
	u.Email.Set("new")
	must(t, users.Seal(t.Context(), u))
	if v, _ := u.EncryptedKMSKey.Value(); reflect.TypeOf(v) != reflect.TypeFor[[]byte]() {
		t.Errorf("the new key is a %T", v)
	}
}

func TestValueOfBytesIsTheCallers(t *testing.T) {
	var s rowseal.Sealed[string]
	must(t, s.Scan([]byte("before")))
	v, err := s.Value()
	must(t, err)
	copy(v.([]byte), "AFTER!")
	if again, _ := s.Value(); !bytes.Equal(again.([]byte), []byte("before")) {
		t.Errorf("now %q", again)
	}
}

func TestPaddingHidesTheLength(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	var sizes []int
	for _, n := range []int{0, 1, 15} {
		u := &user{ID: 1}
		u.Notes.Set(make([]byte, n))
		sizes = append(sizes, len(textOfValue(sealed(t, users, u)["Notes"])))
	}
	if len(slices.Compact(sizes)) != 1 {
		t.Errorf("sizes differ: %v", sizes)
	}
}

func TestTheSameValueIsSealedDifferentlyEachTime(t *testing.T) {
	users := usersOf(t, &kmstest.Fake{})
	u := newUser(1, "ada")
	first := sealed(t, users, u)
	u.Email.Set("ada@example.org")
	if again := sealed(t, users, u); again["Email"] == first["Email"] {
		t.Error("the ciphertext repeats, and so the nonce")
	}
}

func TestColumnTypesForGORM(t *testing.T) {
	if got := rowseal.DataKey.GormDataType(rowseal.DataKey{}) + rowseal.Sealed[int].GormDataType(rowseal.Sealed[int]{}); got != "texttext" {
		t.Error(got)
	}
}
