package integration

import (
	"errors"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
)

// transactionCases are about transactions of the application's own, whose end rowseal does not learn.
var transactionCases = []testCase{
	{"a row that was created and rolled back is created again", testCreateAgain},
	{"a row that was written and rolled back is written again", testWriteAgain},
	{"a first data key that was rolled back is written again", testFirstKeyAgain},
	{"a row is written twice in a transaction and committed", testTwice(nil)},
	{"a row is written twice in a transaction and rolled back", testTwice(errRollback)},
	{"a save point is rolled back", testSavePoint},
	{"a rekey is rolled back", testRekeyRolledBack},
	{"somebody else writes between a commit and the next write", testAfterCommit},
	{"a transaction that began before a rekey", testSnapshot},
	{"a new row with an id of the application's", testPresetID},
	{"requests to the KMS inside a transaction can be refused", testNoKMSInTransaction},
}

var errRollback = errors.New("the application rolls back")

// transaction runs do in a transaction that ends as told.
func (w *world) transaction(s Session, end error, do func(tx Session)) {
	w.Helper()
	err := s.Transaction(w.Context(), func(tx Session) error {
		do(tx)
		return end
	})
	if !errors.Is(err, end) || end == nil && err != nil {
		w.Fatalf("the transaction ended with %v, want %v", err, end)
	}
}

func testCreateAgain(w *world) {
	s := w.connect()
	a := newAccount(first)
	w.transaction(s, errRollback, func(tx Session) { w.must(tx.Create(w.Context(), a)) })
	w.requests(1, 0)
	if rows := w.stored("accounts"); len(rows) != 0 {
		w.Fatalf("%d rows", len(rows))
	}
	w.must(s.Create(w.Context(), a))
	w.requests(0, 0) // the same id, and the same key
	w.holds(a.ID, first)
	a.Email.Set(second.email)
	w.must(s.Update(w.Context(), a))
	w.requests(0, 0)
	w.holds(a.ID, values{second.email, first.phone, first.pin})
}

func testWriteAgain(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		a := opened[Account](w, s, id)
		a.Email.Set(second.email)
		w.transaction(s, errRollback, func(tx Session) { w.must(write(tx, a)) })
		w.holds(id, first)
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, values{second.email, first.phone, first.pin})
	})
}

func testFirstKeyAgain(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(values{})
		s := w.connect()
		a := find[Account](w, s, id)
		a.Email.Set(first.email)
		w.transaction(s, errRollback, func(tx Session) { w.must(write(tx, a)) })
		w.requests(1, 0)
		w.holds(id, values{})
		a.Phone.Set(first.phone)
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, values{email: first.email, phone: first.phone})
	})
}

func testTwice(end error) func(w *world) {
	return func(w *world) {
		w.eachWay(func(w *world, write writeFunc) {
			id := w.given(values{})
			s := w.connect()
			a := find[Account](w, s, id)
			w.transaction(s, end, func(tx Session) {
				a.Email.Set(secret + " between")
				w.must(write(tx, a))
				a.Email.Set(second.email)
				a.PIN.Set(second.pin)
				w.must(write(tx, a))
			})
			w.requests(2, 0) // a key each
			want := values{email: second.email, pin: second.pin}
			if end != nil {
				w.holds(id, values{})
			} else {
				w.holds(id, want)
			}
			a.Phone.Set(second.phone)
			w.must(write(s, a))
			w.requests(0, 0)
			want.phone = second.phone
			w.holds(id, want) // what was rolled back is still the struct's
		})
	}
}

func testSavePoint(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(values{})
		s := w.connect()
		a := find[Account](w, s, id)
		w.transaction(s, nil, func(tx Session) {
			a.Email.Set(first.email)
			w.must(write(tx, a))
			w.transaction(tx, errRollback, func(tx Session) {
				a.Email.Set(secret + " taken back")
				a.PIN.Set(first.pin)
				w.must(write(tx, a))
			})
			a.Email.Set(second.email)
			w.must(write(tx, a))
		})
		w.requests(2, 0)
		w.holds(id, values{email: second.email, pin: first.pin})
	})
}

func testRekeyRolledBack(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		s := w.connect()
		a := opened[Account](w, s, id)
		w.quietly(func() { w.must(w.accounts.Rekey(w.Context(), a)) })
		w.transaction(s, errRollback, func(tx Session) { w.must(write(tx, a)) })
		w.holds(id, first)
		a.Email.Set(second.email)
		w.must(write(s, a))
		w.requests(0, 0)
		w.holds(id, values{second.email, first.phone, first.pin})
	})
}

func testAfterCommit(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		r.mine.Email.Set(secret + " committed")
		w.transaction(r.here, nil, func(tx Session) { w.must(write(tx, r.mine)) })
		r.theirs = opened[Account](w, r.there, r.id)
		r.theirs.Phone.Set(second.phone)
		w.must(write(r.there, r.theirs))
		r.mine.PIN.Set(second.pin)
		w.must(write(r.here, r.mine))
		w.requests(0, 0)
		w.holds(r.id, values{secret + " committed", second.phone, second.pin})
	})
}

func testSnapshot(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		if w.d.Name == dbtest.SQLite.Name {
			w.Skip("SQLite lets no transaction write that has read what others have changed since")
		}
		r := w.race(first, true)
		w.transaction(r.here, nil, func(tx Session) {
			find[Account](w, tx, r.id) // MariaDB shows the row as it is now until the transaction ends
			w.quietly(func() {
				w.must(w.accounts.Rekey(w.Context(), r.theirs))
				w.must(write(r.there, r.theirs))
			})
			r.mine.Email.Set(second.email)
			w.must(write(tx, r.mine))
		})
		w.requests(0, 1)
		w.holds(r.id, values{second.email, first.phone, first.pin})
	})
}

func testPresetID(w *world) {
	s := w.connect()
	a, b := newAccount(first), newAccount(second)
	a.ID, b.ID = 42, 42
	w.must(s.Create(w.Context(), a))
	w.requests(1, 0)
	w.unchanged("accounts", func() { w.fails(s.Create(w.Context(), b)) })
	w.holds(42, first)
	b.ID = 43 // and its data key is wrapped for 42
	w.unchanged("accounts", func() { w.want(s.Create(w.Context(), b), rowseal.ErrContextChanged) })
	w.kms.Reset()
	c := newAccount(second)
	c.ID = 44
	w.must(s.Create(w.Context(), c))
	w.holds(44, second)
	if s, ok := s.(Saver); ok {
		d := newAccount(second)
		d.ID = 45
		w.must(s.Save(w.Context(), d))
		w.requests(1, 0)
		w.holds(45, second)
	}
}

func testNoKMSInTransaction(w *world) {
	id := w.given(first)
	s := w.connect(Table{Model: w.accounts, NoKMSInTransaction: true}, Table{Model: w.notes, NoKMSInTransaction: true})
	w.unchanged("accounts", func() {
		w.transaction(s, errRollback, func(tx Session) { w.want(tx.Create(w.Context(), newAccount(first)), kms.ErrBudget) })
		a := find[Account](w, s, id)
		a.Email.Set(second.email)
		w.transaction(s, errRollback, func(tx Session) { w.want(tx.Update(w.Context(), a), kms.ErrBudget) })
	})
	w.requests(0, 0)
	a, b := opened[Account](w, s, id), newAccount(second)
	b.ID = 77
	a.Email.Set(second.email)
	w.must(w.accounts.Seal(w.Context(), b)) // before the transaction
	w.requests(1, 0)
	w.transaction(s, nil, func(tx Session) {
		w.must(tx.Update(w.Context(), a))
		w.must(tx.Create(w.Context(), b))
	})
	w.requests(0, 0)
	w.must(s.Create(w.Context(), newAccount(first))) // its own transaction is none of the application's
	w.requests(1, 0)
	w.holds(id, values{second.email, first.phone, first.pin})
	w.holds(77, second)
}
