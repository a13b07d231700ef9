package integration

import (
	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// refusalCases are about what would lose something, or write it in plaintext. Each is an error, and nothing is written.
var refusalCases = []testCase{
	{"refused: a row whose key was not loaded", testKeyNotLoaded},
	{"refused: a row that was never loaded", testNeverLoaded},
	{"refused: a row without its primary key", testNoPrimaryKey},
	{"refused: a value that is set and not sealed", testUnsealed},
	{"refused: a row that was loaded is inserted as another", testLoadedAsAnother},
	{"refused: a field that was loaded is moved to another row", testMovedField},
	{"refused: a new data key beside a sealed column that nobody declared", testUndeclared},
	{"refused: an upsert whose target does not name the row", testUpsertTarget},
	{"refused: a KMS that answers with an error", testKMSDown},
}

func testKeyNotLoaded(w *world) {
	for _, v := range []values{first, {}} {
		id := w.given(v)
		s := w.connect()
		a := &Account{}
		w.must(s.Find(w.Context(), a, id, "id", "name", "email_ciphertext"))
		a.Email.Set(second.email)
		w.unchanged("accounts", func() {
			w.want(s.Update(w.Context(), a), rowseal.ErrNoKey)
			if s, ok := s.(Saver); ok { // which takes such a row for a new one
				w.fails(s.Save(w.Context(), a))
			}
		})
		w.holds(id, v)
	}
}

func testNeverLoaded(w *world) {
	for _, v := range []values{first, {}} {
		id := w.given(v)
		s := w.connect()
		a := &Account{ID: id, Name: "ada"}
		a.Email.Set(second.email)
		w.unchanged("accounts", func() { w.want(s.Update(w.Context(), a), rowseal.ErrNoKey) })
		w.holds(id, v)
	}
}

func testNoPrimaryKey(w *world) {
	id := w.given(first)
	w.given(second)
	s := w.connect()
	a := opened[Account](w, s, id)
	a.ID = 0
	a.Email.Set(second.email)
	w.unchanged("accounts", func() { w.fails(s.Update(w.Context(), a)) })
	w.requests(0, 0)
}

func testUnsealed(w *world) {
	id := w.given(first)
	s := w.connect()
	a := opened[Account](w, s, id)
	a.Email.Set(second.email)
	d := DialectOf(w.d)
	update := "UPDATE accounts SET email_ciphertext = " + d.Placeholder(1) + " WHERE id = " + d.Placeholder(2)
	w.unchanged("accounts", func() {
		w.want(s.Exec(w.Context(), update, a.Email, id), rowseal.ErrUnsealed)
		w.want(s.Exec(w.Context(), update, &a.Email, id), rowseal.ErrUnsealed)
		w.want(s.Exec(w.Context(), update, rowseal.DataKey{}, id), rowseal.ErrUnsealed)
	})
	w.requests(0, 0)
}

func testLoadedAsAnother(w *world) {
	id := w.given(first)
	s := w.connect()
	for _, other := range []int64{0, id + 1} {
		for _, load := range []func(*world, Session, any) *Account{find[Account], opened[Account]} {
			a := load(w, s, id)
			a.ID = other
			w.unchanged("accounts", func() { w.fails(s.Create(w.Context(), a)) })
			a = load(w, s, id)
			a.ID = other
			a.Email.Set(second.email)
			w.unchanged("accounts", func() { w.fails(s.Create(w.Context(), a)) })
		}
	}
	w.requests(0, 0)
	w.holds(id, first)
}

// testMovedField assigns a field of a row to another row. Whichever of the two is open, it shows that the ciphertext is under
// another data key; where none is, a field that is not set is not written, and Get tells.
func testMovedField(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		one, two := w.given(first), w.given(second)
		s := w.connect()
		type loader = func(*world, Session, any) *Account
		move := func(from, to loader) *Account {
			a, b := from(w, s, one), to(w, s, two)
			b.Email = a.Email
			return b
		}
		foreign := []error{kms.ErrInvalidRequest, kms.ErrDecryptionFailed} // seen by its key, or by opening it
		w.unchanged("accounts", func() {
			for _, loaders := range [][2]loader{{opened[Account], opened[Account]}, {opened[Account], find[Account]}, {find[Account], opened[Account]}} {
				w.want(write(s, move(loaders[0], loaders[1])), foreign...)
			}
			b := move(find[Account], find[Account])
			w.must(write(s, b))
			b.Phone.Set(second.phone) // which opens the data key
			w.want(write(s, b), foreign...)
			b = move(find[Account], find[Account])
			w.must(s.Open(w.Context(), b))
			_, err := b.Email.Get()
			w.want(err, kms.ErrDecryptionFailed)
		})
		w.holds(one, first)
		w.holds(two, second)
	})
}

func testUndeclared(w *world) {
	w.eachWay(func(w *world, write writeFunc) {
		id := w.given(first)
		w.exec("ALTER TABLE accounts ADD COLUMN fax_ciphertext text")
		s := w.connect()
		cleared, rekeyed := find[Account](w, s, id), find[Account](w, s, id)
		w.accounts.Clear(cleared)
		cleared.Email.Set(second.email)
		w.must(w.accounts.Rekey(w.Context(), rekeyed))
		w.unchanged("accounts", func() {
			w.want(write(s, cleared), kms.ErrInvalidRequest)
			w.want(write(s, rekeyed), kms.ErrInvalidRequest)
			replacing := newAccount(second)
			replacing.ID = id
			w.want(s.Upsert(w.Context(), []string{"id"}, replacing), kms.ErrInvalidRequest)
		})
		a := find[Account](w, s, id)
		a.Email.Set(second.email)
		w.must(write(s, a)) // which keeps the data key
		w.holds(id, values{second.email, first.phone, first.pin})
	})
}

func testUpsertTarget(w *world) {
	w.exec("CREATE UNIQUE INDEX accounts_name ON accounts (name)")
	w.exec("CREATE UNIQUE INDEX visits_room ON visits (room)")
	id := w.given(first)
	s := w.connect()
	w.visit(s)
	a, v := newAccount(second), &Visit{ID: 4, Clinic: "south", Room: "1"}
	a.ID = id + 1
	v.Reason.Set(secret + " fever")
	w.unchanged("accounts", func() { w.want(s.Upsert(w.Context(), []string{"name"}, a), kms.ErrInvalidRequest) })
	w.unchanged("visits", func() {
		w.want(s.Upsert(w.Context(), []string{"room"}, v), kms.ErrInvalidRequest, rowseal.ErrContextChanged)
	})
	v.ID = 3
	w.unchanged("visits", func() { // whose clinic is another
		w.want(s.Upsert(w.Context(), []string{"id"}, v), kms.ErrInvalidRequest, rowseal.ErrContextChanged)
	})
	w.requests(0, 0)
	w.holds(id, first)
}

func testKMSDown(w *world) {
	id := w.given(values{})
	s := w.connect()
	w.kms.Disable()
	w.unchanged("accounts", func() {
		w.want(s.Create(w.Context(), newAccount(first)), kms.ErrKeyDisabled)
		a := find[Account](w, s, id)
		a.Email.Set(first.email)
		w.want(s.Update(w.Context(), a), kms.ErrKeyDisabled)
	})
	w.kms.Enable()
	a := newAccount(second)
	w.must(s.Create(w.Context(), a))
	w.holds(a.ID, second)
}
