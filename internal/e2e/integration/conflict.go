package integration

import (
	"database/sql"
	"errors"

	"github.com/rowseal/rowseal"
)

// conflictCases are about a row that somebody else has changed since it was loaded.
var conflictCases = []testCase{
	{"two seal the same field of a row for the first time", testBothFirst(second.email)},
	{"two seal a row for the first time", testBothFirst("")},
	{"a writer against a rekey", testAgainstRekey},
	{"a writer against a rewrap", testAgainstRewrap},
	{"a writer against a writer of another field", testAgainstOtherField},
	{"a writer against a writer of the same field", testAgainstSameField},
	{"NULL over NULL takes nothing back", testNullOverNull},
	{"a writer against one that clears", testAgainstClear},
	{"one that clears against a writer", testClearAgainst},
	{"one that clears against a rewrap", testClearAgainstRewrap},
	{"a rekey against a writer", testRekeyAgainst},
	{"a rewrap against a writer", testRewrapAgainst},
	{"a rewrap against a rekey", testRewrapAgainstRekey},
	{"a sealer against a rewrap", testSealerAgainstRewrap},
	{"a column of the context has changed in the database", testContextChanged},
	{"somebody else has given the row another context", testAnotherContext},
	{"a column of the context has changed in the struct", testContextChange},
	{"a column of the context is changed with a new data key", testContextWithKey},
	{"an index over two data keys of which somebody else has made one", testPair(false)},
	{"an index over two data keys under one of which was nothing to open", testPair(true)},
	{"the row is not there any more", testGone},
}

// race is two applications that have loaded the same account.
type race struct {
	id           int64
	here, there  Session
	mine, theirs *Account
}

func (w *world) race(v values, isOpen bool) *race {
	w.Helper()
	r := &race{id: w.given(v), here: w.connect(), there: w.connect()}
	load := find[Account]
	if isOpen {
		load = opened[Account]
	}
	r.mine, r.theirs = load(w, r.here, r.id), load(w, r.there, r.id)
	return r
}

func testBothFirst(email string) func(w *world) {
	return func(w *world) {
		w.eachWay(func(w *world, write writeFunc) {
			r := w.race(values{}, false)
			values{phone: first.phone, email: email}.setIn(r.theirs)
			values{email: first.email}.setIn(r.mine)
			w.must(write(r.there, r.theirs))
			w.requests(1, 0)
			w.must(write(r.here, r.mine))
			w.requests(1, 1) // a data key that loses, and that of the other
			w.holds(r.id, values{email: first.email, phone: first.phone})
		})
	}
}

func testAgainstRekey(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		w.quietly(func() {
			w.must(w.accounts.Rekey(w.Context(), r.theirs))
			w.must(write(r.there, r.theirs))
		})
		r.mine.Phone.Set(second.phone)
		w.must(write(r.here, r.mine))
		w.requests(0, 1)
		w.holds(r.id, values{first.email, second.phone, first.pin})
	})
}

func testAgainstRewrap(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		w.quietly(func() {
			w.must(w.accounts.Rewrap(w.Context(), r.theirs))
			w.must(write(r.there, r.theirs))
		})
		wrapped := r.theirs.EncryptedKMSKey.Wrapped()
		r.mine.Phone.Set(second.phone)
		w.must(write(r.here, r.mine))
		w.requests(0, 1) // which tells that it is the same data key
		w.holds(r.id, values{first.email, second.phone, first.pin})
		if find[Account](w, r.here, r.id).EncryptedKMSKey.Wrapped() != wrapped {
			w.Error("the rewrap was undone")
		}
	})
}

func testAgainstOtherField(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		r.theirs.Email.Set(second.email)
		w.must(write(r.there, r.theirs))
		r.mine.Phone.Set(second.phone)
		w.must(write(r.here, r.mine))
		w.requests(0, 0)
		w.holds(r.id, values{second.email, second.phone, first.pin})
	})
}

func testAgainstSameField(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		r.theirs.Email.Set(secret + " theirs")
		w.must(write(r.there, r.theirs))
		r.mine.Email.Set(second.email)
		w.must(write(r.here, r.mine))
		w.requests(0, 0)
		w.holds(r.id, values{second.email, first.phone, first.pin})
	})
}

// testNullOverNull is for MySQL, which counts no row that an UPDATE leaves as it is.
func testNullOverNull(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(values{phone: first.phone}, true)
		r.theirs.Phone.Set(second.phone)
		w.must(write(r.there, r.theirs))
		r.mine.Email.SetNull()
		w.must(write(r.here, r.mine))
		w.requests(0, 0)
		w.holds(r.id, values{phone: second.phone})
	})
}

func testAgainstClear(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		w.accounts.Clear(r.theirs)
		r.theirs.Email.Set(second.email)
		w.quietly(func() { w.must(write(r.there, r.theirs)) })
		r.mine.Phone.Set(second.phone)
		w.must(write(r.here, r.mine))
		w.requests(0, 1)
		w.holds(r.id, values{email: second.email, phone: second.phone})
	})
}

func testClearAgainst(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		r.theirs.Email.Set(second.email)
		w.must(write(r.there, r.theirs))
		w.accounts.Clear(r.mine)
		r.mine.Phone.Set(second.phone)
		w.unchanged("accounts", func() { w.want(write(r.here, r.mine), rowseal.ErrConflict) })
		w.requests(1, 0)
		w.holds(r.id, values{second.email, first.phone, first.pin})
	})
}

func testClearAgainstRewrap(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		w.quietly(func() {
			w.must(w.accounts.Rewrap(w.Context(), r.theirs))
			w.must(write(r.there, r.theirs))
		})
		w.accounts.Clear(r.mine)
		r.mine.Phone.Set(second.phone)
		w.must(write(r.here, r.mine)) // what it gives up is what it was shown
		w.requests(1, 0)
		w.holds(r.id, values{phone: second.phone})
	})
}

func testRekeyAgainst(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		w.quietly(func() { w.must(w.accounts.Rekey(w.Context(), r.mine)) })
		r.theirs.Email.Set(second.email)
		w.must(write(r.there, r.theirs))
		w.unchanged("accounts", func() { w.want(write(r.here, r.mine), rowseal.ErrConflict) })
		w.requests(0, 0)
		w.holds(r.id, values{second.email, first.phone, first.pin})
	})
}

func testRewrapAgainst(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		w.quietly(func() { w.must(w.accounts.Rewrap(w.Context(), r.mine)) })
		r.theirs.Email.Set(second.email)
		w.must(write(r.there, r.theirs))
		w.must(write(r.here, r.mine))
		w.requests(0, 0)
		w.holds(r.id, values{second.email, first.phone, first.pin})
	})
}

// testRewrapAgainstRekey wants success, since the rewrap has nothing of its own to write: the row is under the newer data key.
func testRewrapAgainstRekey(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, false)
		w.quietly(func() {
			w.must(w.accounts.Rewrap(w.Context(), r.mine))
			w.must(w.accounts.Rekey(w.Context(), r.theirs))
			w.must(write(r.there, r.theirs))
		})
		w.unchanged("accounts", func() { w.must(write(r.here, r.mine)) })
		w.requests(0, 0)
		if r.mine.EncryptedKMSKey.Wrapped() != r.theirs.EncryptedKMSKey.Wrapped() {
			w.Error("the struct has another data key than the row")
		}
		r.mine.Email.Set(second.email)
		w.must(write(r.here, r.mine))
		w.requests(0, 1)
		w.holds(r.id, values{second.email, first.phone, first.pin})
	})
}

func testSealerAgainstRewrap(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, false)
		s := w.connect(Table{Model: w.accounts.Sealer()}, Table{Model: w.notes.Sealer()})
		mine := find[Account](w, s, r.id)
		w.accounts.Sealer().Clear(mine)
		second.setIn(mine)
		w.quietly(func() {
			w.must(w.accounts.Rewrap(w.Context(), r.theirs))
			w.must(write(r.there, r.theirs))
		})
		w.must(write(s, mine))
		w.requests(1, 0)
		w.holds(r.id, second)
	})
}

// visit creates one, and loads it.
func (w *world) visit(s Session) *Visit {
	w.Helper()
	v := &Visit{ID: 3, Clinic: "north", Room: "1"}
	v.Reason.Set(secret + " cough")
	w.quietly(func() { w.must(s.Create(w.Context(), v)) })
	return opened[Visit](w, s, 3)
}

// clinics are texts that are not "north", by the column's type: in other letters, shorter, and with blanks that some types and some
// collations leave out of account.
var clinics = map[string][]string{"varchar(100)": {"NORTH", "nort", "north "}, "text": {"NORTH", "nort", "north "}, "char(5)": {"NORTH", "nort"}}

func testContextChanged(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		for column, changed := range clinics {
			w.sub(column, func(w *world) {
				w.exec("DROP TABLE visits; CREATE TABLE visits (id bigint PRIMARY KEY, clinic " + column + ", room text, encrypted_kms_key text, reason_ciphertext text)")
				s := w.connect()
				for _, clinic := range changed {
					w.exec("DELETE FROM visits")
					v := w.visit(s)
					w.exec("UPDATE visits SET clinic = '" + clinic + "'")
					v.Reason.Set(secret + " fever")
					w.unchanged("visits", func() { w.want(write(s, v), rowseal.ErrContextChanged) })
					w.requests(0, 0)
				}
				w.exec("UPDATE visits SET clinic = 'north'")
				v := opened[Visit](w, s, 3)
				v.Reason.Set(secret + " fever")
				w.must(write(s, v)) // the same text is the same
				w.requests(0, 0)
			})
		}
	})
}

func testAnotherContext(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		s := w.connect()
		mine, theirs := w.visit(s), opened[Visit](w, s, 3)
		w.visits.Clear(theirs)
		theirs.Clinic = "south"
		theirs.Reason.Set(secret + " fever")
		w.quietly(func() { w.must(write(s, theirs)) })
		mine.Reason.Set(secret + " cold")
		w.unchanged("visits", func() { w.want(write(s, mine), rowseal.ErrContextChanged) })
		w.requests(0, 0)
		again := opened[Visit](w, s, 3)
		again.Reason.Set(secret + " cold")
		w.must(write(s, again))
		if got, err := opened[Visit](w, s, 3).Reason.Get(); got != secret+" cold" || err != nil {
			w.Errorf("the visit has %q, %v", got, err)
		}
	})
}

func testContextChange(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		s := w.connect()
		for _, change := range []func(v *Visit){
			func(v *Visit) { v.Clinic = "south" },
			func(v *Visit) { v.Clinic = "south"; v.Reason.Set(secret + " fever") },
			func(v *Visit) { v.Clinic = "South"; v.Reason.SetNull() },
		} {
			w.exec("DELETE FROM visits")
			v := w.visit(s)
			change(v)
			w.unchanged("visits", func() { w.want(write(s, v), rowseal.ErrContextChanged) })
			w.requests(0, 0)
		}
	})
}

func testContextWithKey(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		s := w.connect()
		v := w.visit(s)
		w.visits.Clear(v)
		v.Clinic = "south"
		v.Reason.Set(secret + " fever")
		w.must(write(s, v))
		w.requests(1, 0)
		got := opened[Visit](w, w.connect(), 3)
		if reason, err := got.Reason.Get(); reason != secret+" fever" || err != nil || got.Clinic != "south" {
			w.Errorf("the visit has %q, %q, %v", got.Clinic, reason, err)
		}
		got.Room = "2"
		w.must(write(s, got))
		w.requests(0, 0)
	})
}

func testPair(hasKey bool) func(w *world) {
	return func(w *world) {
		w.eachWay(func(w *world, write writeFunc) {
			s := w.connect()
			p := &Pair{ID: 5}
			p.Left.Set(secret + " left 1")
			if hasKey {
				p.Right.Set(secret + " right 1")
			}
			w.quietly(func() { w.must(s.Create(w.Context(), p)) })
			if hasKey {
				p.Right.SetNull()
				w.must(write(s, p))
			}
			mine, theirs := opened[Pair](w, s, 5), opened[Pair](w, s, 5)
			theirs.Right.Set(secret + " right 2")
			w.must(write(s, theirs))
			mine.Left.Set(secret + " left 2")
			err := write(s, mine)
			if w.ear.hear(err); errors.Is(err, rowseal.ErrConflict) {
				mine = opened[Pair](w, s, 5)
				mine.Left.Set(secret + " left 2")
				err = write(s, mine)
			}
			w.must(err)
			index, err := w.pairs.Lookup(w.Context(), "pair_bidx", secret+" left 2", secret+" right 2")
			w.must(err)
			if got := find[Pair](w, s, 5).Index.Text(); got != index[0] {
				w.Error("the index is not that of the fields")
			}
		})
	}
}

func testGone(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		r := w.race(first, true)
		w.must(r.there.Delete(w.Context(), r.theirs))
		r.mine.Email.Set(second.email)
		w.unchanged("accounts", func() { w.want(write(r.here, r.mine), sql.ErrNoRows) })
		w.requests(0, 0)
	})
}
