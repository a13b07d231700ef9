package rowseal_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// one has a single key, so that rows and requests can be counted against each other.
type one struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

func newOne(id int64) *one {
	o := &one{ID: id}
	o.Email.Set(fmt.Sprint("row ", id))
	return o
}

// Sealing needs the right to open only where the row's existing data key is used again.
func TestSealAsksTheKMSForNoMoreThanItNeeds(t *testing.T) {
	fake := &kmstest.Fake{}
	ones := newModel[one](t, "ones", ringOf(t, fake), nil)
	row := sealed(t, ones, newOne(1))
	for _, test := range []struct {
		what             string
		row              func() *one
		encrypt, decrypt int
	}{
		{"a new row", func() *one { return newOne(2) }, 1, 0},
		{"nothing set", func() *one { return load[one](t, 1, row) }, 0, 0},
		{"a row with a key", func() *one { o := load[one](t, 1, row); o.Email.Set("new"); return o }, 0, 1},
		{"the same, opened", func() *one {
			o := load[one](t, 1, row)
			must(t, ones.Open(t.Context(), o))
			o.Email.Set("new")
			return o
		}, 0, 0},
		{"sealed just now", func() *one { o := newOne(3); must(t, ones.Seal(t.Context(), o)); o.Email.Set("new"); return o }, 0, 0},
		{"cleared", func() *one { o := load[one](t, 1, row); ones.Clear(o); o.Email.Set("new"); return o }, 1, 0},
		{"set to NULL", func() *one { o := load[one](t, 1, row); o.Email.SetNull(); return o }, 0, 0},
		{`""`, func() *one { o := &one{ID: 4}; o.Email.Set(""); return o }, 0, 0},
		{"wiped", func() *one {
			o := load[one](t, 1, row)
			must(t, ones.Open(t.Context(), o))
			ones.Wipe(o)
			o.Email.Set("new")
			return o
		}, 0, 1},
	} {
		o := test.row()
		fake.Reset()
		must(t, ones.Seal(t.Context(), o))
		wantRequests(t, test.what, fake, test.encrypt, test.decrypt)
		must(t, ones.Seal(t.Context(), o))
		wantRequests(t, test.what+", again", fake, 0, 0)
		save(t, o)
	}
}

func TestOpenAsksTheKMSForNoMoreThanItNeeds(t *testing.T) {
	fake := &kmstest.Fake{}
	users := usersOf(t, fake)
	row := sealed(t, users, newUser(1, "ada"))
	fake.Reset()
	for _, test := range []struct {
		what    string
		row     stored
		decrypt int
	}{
		{"two keys", row, 2},
		{"the fields of one are NULL", row.with("Phone", nil).with("Code", nil), 1},
		{`the fields of one are "" or NULL`, row.with("Phone", "").with("Code", nil), 1},
		{"one key is NULL, and its fields", row.with("KMSKeyPhone", nil).with("Phone", nil).with("Code", nil), 1},
		{"nothing was loaded", stored{}, 0},
	} {
		u := load[user](t, 1, test.row)
		must(t, users.Open(t.Context(), u))
		wantRequests(t, test.what, fake, 0, test.decrypt)
		get(u)
		must(t, users.Open(t.Context(), u))
		wantRequests(t, test.what+", again", fake, 0, 0)
	}
}

func TestOnlyTheKeyThatIsAskedForIsOpenedAndSealed(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	var contexts []kms.Context
	fake.Fault = func(_ kmstest.Request, it kms.Item) error { contexts = append(contexts, it.Context); return nil }
	users := usersOf(t, fake)
	row := sealed(t, users, newUser(1, "ada"))
	contexts = nil
	for _, name := range []string{"phone", "encrypted_kms_key_phone"} {
		u := load[user](t, 1, row)
		must(t, users.Only(name).Open(t.Context(), u))
		if phone, err := u.Phone.Get(); phone != "phone of ada" || err != nil {
			t.Errorf("Only(%q): %q, %v", name, phone, err)
		}
		_, err := u.Email.Get()
		wantErr(t, "the other key's field", err, rowseal.ErrNotOpened)

		u.Email.Set("new")
		u.Phone.Set("new")
		must(t, users.Only(name).Seal(t.Context(), u))
		refuses(t, "the other key's field", values(u)["Email"])
		users.Only(name).Wipe(u)
	}
	for _, ec := range contexts {
		if ec["key_name"] != "phone" {
			t.Errorf("the KMS was asked for %v", ec)
		}
	}
	if len(contexts) != 2 {
		t.Errorf("%d items", len(contexts))
	}

	u := load[user](t, 1, row)
	must(t, users.Only("").Open(t.Context(), u))
	if email, err := u.Email.Get(); email != "ada@example.org" || err != nil {
		t.Errorf(`Only(""): %q, %v`, email, err)
	}
	contexts = nil
	must(t, users.Only("phone").Only("").Open(t.Context(), load[user](t, 1, row)))
	if contexts != nil {
		t.Errorf("Only within Only widened it: %v", contexts)
	}
}

func TestOnlyAnUnknownKeyIsAnErrorOfEveryCall(t *testing.T) {
	fake := &kmstest.Fake{}
	users := usersOf(t, fake).Only("phone", "fone")
	for what, call := range map[string]func(context.Context, ...*user) error{
		"Seal": users.Seal, "Open": users.Open, "Rewrap": users.Rewrap, "Sealer": users.Sealer().Seal, "Only": users.Only("phone").Seal,
		"Sealer.Only": usersOf(t, fake).Sealer().Only("fone").Seal,
	} {
		err := call(t.Context(), newUser(1, "ada"))
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, `"fone"`, `"phone"`)
	}
	wantRequests(t, "an unknown key", fake, 0, 0)
}

// n rows cost ceil(n/batch) requests of each KMS key.
func TestRequestsArePerBatchAndKMSKey(t *testing.T) {
	for _, batch := range []int{1, 7, 100} {
		for _, n := range []int{1, 7, 20} {
			for what, keys := range map[string]int{"two key columns share a KMS key": 1, "two KMS keys": 2} {
				t.Run(fmt.Sprintf("batch %d, %d rows, %s", batch, n, what), func(t *testing.T) { countRequests(t, batch, n, keys) })
			}
		}
	}
}

func countRequests(t *testing.T, batch, n, keys int) {
	fakes := []*kmstest.Fake{{ID: "a", BatchSize: batch}, {ID: "b", BatchSize: batch}}
	opts := &rowseal.Options{Keys: map[string]rowseal.KeyOptions{}}
	if keys == 2 {
		opts.Keys["phone"] = rowseal.KeyOptions{Keyring: ringOf(t, fakes[1])}
	}
	users := newModel[user](t, "users", ringOf(t, fakes[0]), opts)
	var rows []*user
	for i := range n {
		rows = append(rows, newUser(int64(i+1), fmt.Sprint("user", i)))
	}

	items := []int{2 * n, 0} // wrapped keys, by KMS key
	if keys == 2 {
		items = []int{n, n}
	}
	requests := func(i int) int { return (items[i] + batch - 1) / batch }
	must(t, users.Sealer().Seal(t.Context(), rows...))
	for i, f := range fakes {
		wantRequests(t, "Seal", f, requests(i), 0)
	}
	var loaded []user
	for i, u := range rows {
		loaded = append(loaded, *load[user](t, int64(i+1), save(t, u)))
	}
	must(t, users.OpenSlice(t.Context(), loaded))
	for i, f := range fakes {
		wantRequests(t, "Open", f, 0, requests(i))
	}
	for i := range loaded {
		wantUser(t, &loaded[i], fmt.Sprint("user", i))
	}
}

// A Sealer of tenants must not lose the batches that a Model has.
func TestASealersRowsOfOneTenantShareABatch(t *testing.T) {
	fakes := []*kmstest.Fake{{ID: "even", BatchSize: 100}, {ID: "odd", BatchSize: 100}}
	rings := []*rowseal.Keyring{ringOf(t, fakes[0]), ringOf(t, fakes[1])}
	choose := func(r rowseal.Row) (*rowseal.Keyring, error) {
		id, err := r.Column("id")
		return rings[int(id[len(id)-1]-'0')%2], err
	}
	ones := newModel[one](t, "ones", nil, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{"": {KeyringFor: choose, KeyringColumns: []string{"id"}}}})
	var rows []one
	for i := range 10 {
		rows = append(rows, *newOne(int64(i + 1)))
	}
	must(t, ones.Sealer().SealSlice(t.Context(), rows))
	for _, f := range fakes {
		if f.Items() != 5 {
			t.Errorf("%s wrapped %d keys", f.ID, f.Items())
		}
		wantRequests(t, f.ID, f, 1, 0)
	}
}

// Twenty tenants, each with a KMS key that takes a second to answer, are asked eight at a time.
func TestKMSKeysAreAskedSideBySideWithinBounds(t *testing.T) {
	fakes, rings := make([]*kmstest.Fake, 20), make([]*rowseal.Keyring, 20)
	for i := range fakes {
		fakes[i] = &kmstest.Fake{ID: fmt.Sprint("tenant", i), BatchSize: 100}
		rings[i] = ringOf(t, fakes[i])
	}
	choose := func(r rowseal.Row) (*rowseal.Keyring, error) {
		id, err := r.Column("id")
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(id)
		return rings[n%20], err
	}
	ones := newModel[one](t, "ones", nil, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{"": {KeyringFor: choose, KeyringColumns: []string{"id"}}}})
	var loaded []one
	for i := range 40 {
		loaded = append(loaded, *load[one](t, int64(i+1), sealed(t, ones, newOne(int64(i+1)))))
	}
	synctest.Test(t, func(t *testing.T) {
		for _, f := range fakes {
			f.Latency = time.Second
		}
		start := time.Now()
		must(t, ones.OpenSlice(t.Context(), loaded))
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("20 keys took %v, and three rounds of eight, eight and four take 3 seconds", took)
		}
	})
}
