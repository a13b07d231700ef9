package integration

import (
	"errors"
	"fmt"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// rowCases are about rows that nobody else writes.
var rowCases = []testCase{
	{"what was created is there", testCreate},
	{"a row without values has no data key and costs no request", testCreateEmpty},
	{"1000 rows are created and opened in a request each", testBatch},
	{"1000 rows are written in the request that opens them", testWriteBatch},
	{"finding opens nothing", testFind},
	{"one field is written", testOneField},
	{"a row that was just created is written again", testCreatedAndWritten},
	{"a row that is not open is opened to write it", testNotOpened},
	{"what was not loaded stays", testPartlyLoaded},
	{"columns that are not sealed are written without a request", testPlainColumn},
	{"null", testNull},
	{"a row without a data key gets one", testFirstKey},
	{"a sealer clears and seals anew", testSealer},
	{"a rekeyed row is written", testRekey},
	{"a rewrapped row is written", testRewrap},
	{"loading again drops the data key", testReload},
	{"delete", testDelete},
	{"upsert", testUpsert},
	{"preloaded rows are opened with the others", testPreload},
}

func testCreate(w *world) {
	a := newAccount(first)
	w.must(w.connect().Create(w.Context(), a))
	w.requests(1, 0) // both keys in one
	if !w.ear.heardOf(w.in.Logs) {
		w.Errorf("%q was not logged", w.in.Logs)
	}
	w.ear.hear(a)
	if a.ID == 0 {
		w.Fatal("the row has no id")
	}
	w.holds(a.ID, first)
	s := w.connect()
	got := opened[Account](w, s, a.ID)
	email, err := got.Email.Get()
	w.must(err)
	if email != first.email || got.Name != "ada" {
		w.Errorf("loaded are %q and %q", email, got.Name)
	}
}

func testCreateEmpty(w *world) {
	w.must(w.connect().Create(w.Context(), newAccount(values{})))
	w.requests(0, 0)
	for _, column := range w.accounts.Rows().SealedColumns() {
		if v := w.stored("accounts")[0][column]; v != nil {
			w.Errorf("%s is %q", column, v)
		}
	}
}

const many = 1000

// manyNotes creates them.
func manyNotes(w *world, s Session) {
	w.Helper()
	rows := make([]any, many)
	for i := range rows {
		n := &Note{ID: int64(i) + 1}
		n.Text.Set(noteText(n.ID))
		rows[i] = n
	}
	w.must(s.Create(w.Context(), rows...))
}

func noteText(id int64) string { return fmt.Sprint(secret, " note ", id) }

func testBatch(w *world) {
	s := w.connect()
	manyNotes(w, s)
	w.requests(1, 0)
	checkNotes(w, s, noteText)
}

// checkNotes opens all notes, in one request.
func checkNotes(w *world, s Session, want func(id int64) string) (rows []any) {
	w.Helper()
	var notes []*Note
	w.must(s.FindAll(w.Context(), &notes))
	w.requests(0, 0)
	for _, n := range notes {
		rows = append(rows, n)
	}
	w.must(s.Open(w.Context(), rows...))
	w.requests(0, 1)
	if len(notes) != many {
		w.Fatalf("%d rows", len(notes))
	}
	for _, n := range notes {
		if got, err := n.Text.Get(); err != nil || got != want(n.ID) {
			w.Fatalf("note %d is %q, %v", n.ID, got, err)
		}
	}
	return rows
}

func testWriteBatch(w *world) {
	s := w.connect()
	manyNotes(w, s)
	w.kms.Reset()
	write := s.Update
	if s, ok := s.(Saver); ok {
		write = s.Save
	}
	var notes []*Note
	w.must(s.FindAll(w.Context(), &notes))
	rows := make([]any, len(notes))
	for i, n := range notes {
		n.Text.Set(noteText(-n.ID))
		rows[i] = n
	}
	w.must(write(w.Context(), rows...))
	w.requests(0, 1)
	checkNotes(w, w.connect(), func(id int64) string { return noteText(-id) })
}

func testFind(w *world) {
	id := w.given(first)
	s := w.connect()
	a := find[Account](w, s, id)
	var all []*Account
	w.must(s.FindAll(w.Context(), &all))
	if _, err := a.Email.Get(); !errors.Is(err, rowseal.ErrNotOpened) || a.Email.IsNull() || len(all) != 1 {
		w.Errorf("%d rows, whose field is %v (%v)", len(all), a.Email, err)
	}
	w.requests(0, 0)
	w.must(s.Open(w.Context(), a))
	w.requests(0, 1)
	w.must(s.Open(w.Context(), a))
	w.requests(0, 0)
}

func testOneField(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		a := opened[Account](w, s, id)
		before := w.stored("accounts")[0]
		a.Email.Set(second.email)
		w.ear.hear(a)
		w.must(write(s, a))
		w.requests(0, 0)
		w.ear.hear(a)
		w.holds(id, values{second.email, first.phone, first.pin})
		w.changed(before, "email_ciphertext", "email_bidx")
		if got, err := a.Email.Get(); got != second.email || err != nil {
			w.Errorf("the struct has %q, %v", got, err)
		}
		a.Phone.Set(second.phone)
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, values{second.email, second.phone, first.pin})
	})
}

// changed wants the only account to differ in these columns alone.
func (w *world) changed(before map[string]any, columns ...string) {
	w.Helper()
	want := map[string]bool{}
	for _, c := range columns {
		want[c] = true
	}
	for column, v := range w.stored("accounts")[0] {
		if is := fmt.Sprint(v) != fmt.Sprint(before[column]); is != want[column] {
			w.Errorf("%s: changed is %t, want %t", column, is, want[column])
		}
	}
}

func testCreatedAndWritten(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		s := w.connect()
		a := newAccount(values{email: first.email})
		w.must(s.Create(w.Context(), a))
		w.requests(1, 0)
		a.Email.Set(second.email)
		w.must(write(s, a))
		w.requests(0, 0)
		a.PIN.Set(second.pin)
		w.must(write(s, a))
		w.requests(1, 0)
		w.holds(a.ID, values{email: second.email, pin: second.pin})
	})
}

func testNotOpened(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		a := find[Account](w, s, id)
		a.Phone.Set(second.phone)
		w.must(write(s, a))
		w.requests(0, 1)
		w.holds(id, values{first.email, second.phone, first.pin})
	})
}

func testPartlyLoaded(w *world) {
	id := w.given(first)
	s := w.connect()
	a := &Account{}
	w.must(s.Find(w.Context(), a, id, "id", "name", "encrypted_kms_key"))
	a.Phone.Set(second.phone)
	w.must(s.Update(w.Context(), a))
	w.requests(0, 1)
	w.holds(id, values{first.email, second.phone, first.pin})
}

func testPlainColumn(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		before := w.stored("accounts")[0]
		for i, a := range []*Account{find[Account](w, s, id), opened[Account](w, s, id)} {
			a.Name = fmt.Sprint("bob ", i)
			w.must(write(s, a))
			w.requests(0, 0)
		}
		w.changed(before, "name")
	})
}

func testNull(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		a := find[Account](w, s, id)
		a.Email.SetNull()
		w.must(write(s, a))
		w.holds(id, values{"", first.phone, first.pin})
		a = opened[Account](w, s, id)
		a.Phone.SetNull()
		a.PIN.Set(second.pin)
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, values{"", "", second.pin})
		a.Email.Set(second.email)
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, values{second.email, "", second.pin})
	})
}

func testFirstKey(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(values{})
		s := w.connect()
		a := find[Account](w, s, id)
		first.setIn(a)
		w.must(write(s, a))
		w.requests(1, 0)
		w.holds(id, first)
	})
}

func testSealer(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		w.kms.Deny(kms.OpDecrypt)
		s := w.connect(Table{Model: w.accounts.Sealer()}, Table{Model: w.notes.Sealer()})
		a := find[Account](w, s, id)
		a.Email.Set(second.email)
		w.unchanged("accounts", func() { w.fails(write(s, a)) })
		w.kms.Reset()

		a = find[Account](w, s, id)
		w.accounts.Sealer().Clear(a)
		a.Email.Set(second.email)
		a.PIN.Set(second.pin)
		w.must(write(s, a))
		w.requests(1, 0)
		a.Phone.Set(second.phone) // under the key that is known
		w.must(write(s, a))
		w.requests(0, 0)

		b := newAccount(second)
		w.must(s.Create(w.Context(), b))
		w.requests(1, 0)
		w.kms.Allow(kms.OpDecrypt)
		w.holds(id, second)
		w.holds(b.ID, second)
	})
}

func testRekey(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		before := w.stored("accounts")[0]
		a := find[Account](w, s, id)
		w.must(w.accounts.Rekey(w.Context(), a))
		w.requests(1, 1)
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, first)
		w.changed(before, "encrypted_kms_key", "email_ciphertext", "phone_ciphertext", "encrypted_kms_key_pin", "pin_ciphertext")
	})
}

func testRewrap(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		before := w.stored("accounts")[0]
		a := find[Account](w, s, id)
		w.quietly(func() { w.must(w.accounts.Rewrap(w.Context(), a)) })
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, first)
		w.changed(before, "encrypted_kms_key", "encrypted_kms_key_pin")
	})
}

func testReload(w *world) {
	id := w.given(first)
	s := w.connect()
	a := opened[Account](w, s, id)
	w.must(s.Find(w.Context(), a, id))
	if _, err := a.Email.Get(); !errors.Is(err, rowseal.ErrNotOpened) {
		w.Errorf("the field that was loaded again: %v", err)
	}
	w.exec("UPDATE accounts SET encrypted_kms_key = NULL, email_ciphertext = NULL, email_bidx = NULL, phone_ciphertext = NULL")
	w.must(s.Find(w.Context(), a, id))
	if !a.EncryptedKMSKey.IsNull() || !a.Email.IsNull() {
		w.Error("the struct keeps what is NULL in the database now")
	}
	a.Email.Set(second.email)
	w.must(s.Update(w.Context(), a))
	w.requests(1, 0)
	w.holds(id, values{second.email, "", first.pin})
}

func testDelete(w *world) {
	id := w.given(first)
	other := w.given(second)
	s := w.connect()
	w.must(s.Delete(w.Context(), find[Account](w, s, id)))
	w.requests(0, 0)
	w.holds(other, second)
	if rows := w.stored("accounts"); len(rows) != 1 {
		w.Errorf("%d rows are left", len(rows))
	}
}

func testUpsert(w *world) {
	s := w.connect()
	for i, v := range []values{first, {email: second.email}} {
		a := newAccount(v)
		a.ID, a.Name = 7, fmt.Sprint("bob ", i)
		w.must(s.Upsert(w.Context(), []string{"id"}, a))
		w.requests(1, 0)
		w.holds(7, v)
	}
	if name := w.dump("accounts"); len(w.stored("accounts")) != 1 {
		w.Errorf("the table is %s", name)
	}
}

func testPreload(w *world) {
	s, ok := w.connect().(Preloader)
	if !ok {
		w.Skip("this integration loads no associations")
	}
	id := w.given(first)
	w.given(second)
	for i := range int64(3) {
		n := &Note{ID: i + 1, AccountID: &id}
		n.Text.Set(noteText(n.ID))
		w.must(w.connect().Create(w.Context(), n))
	}
	w.kms.Reset()
	var all []*Account
	w.must(s.FindWithNotes(w.Context(), &all))
	w.requests(0, 0)
	w.ear.hear(all)
	rows := []any{}
	for _, a := range all {
		rows = append(rows, a)
	}
	w.must(s.(Session).Open(w.Context(), rows...))
	w.requests(0, 1)
	if len(all) != 2 || len(all[0].Notes) != 3 || len(all[1].Notes) != 0 {
		w.Fatalf("%d accounts", len(all))
	}
	for _, n := range all[0].Notes {
		if got, err := n.Text.Get(); err != nil || got != noteText(n.ID) {
			w.Errorf("note %d is %q, %v", n.ID, got, err)
		}
	}
}
