package rowseal_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// contexts records what the KMS is told, per request item.
func contexts(f *kmstest.Fake) *[]kms.Context {
	var seen []kms.Context
	f.Fault = func(_ kmstest.Request, it kms.Item) error { seen = append(seen, it.Context); return nil }
	return &seen
}

func wantContexts(t *testing.T, what string, got *[]kms.Context, want ...kms.Context) {
	t.Helper()
	if len(*got) != len(want) || len(want) > 0 && !reflect.DeepEqual(*got, want) {
		t.Errorf("%s: the KMS was told %v, want %v", what, *got, want)
	}
	*got = nil
}

func TestTheDefaultContextNamesTheRowAndANamedKey(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	seen := contexts(fake)
	for binding, phone := range map[rowseal.Binding]kms.Context{
		rowseal.BindColumn: {"model_name": "user", "model_id": "7", "key_name": "phone"},
		rowseal.BindRow:    {"model_name": "user", "model_id": "7", "key_name": "phone"},
		rowseal.BindNone:   {"model_name": "user", "model_id": "7"}, // what kms_encrypted sends
	} {
		users := newModel[user](t, "users", ringOf(t, fake), &rowseal.Options{Binding: binding})
		must(t, users.Seal(t.Context(), newUser(7, "ada")))
		wantContexts(t, binding.String(), seen, kms.Context{"model_name": "user", "model_id": "7"}, phone)
	}
}

// pet is a row of which contexts use several columns.
type pet struct {
	ID              int64
	Type            string
	Tenant          string
	Age             *int
	Weight          float64
	Tame            bool
	BornAt          time.Time
	Photo           []byte
	EncryptedKMSKey rowseal.DataKey
	Name            rowseal.Sealed[string]
}

func newPet(id int64) *pet {
	p := &pet{ID: id, Type: "Dog", Tenant: "t1"}
	p.Name.Set("rex")
	return p
}

func petOptions(o rowseal.KeyOptions) *rowseal.Options {
	return &rowseal.Options{Model: "Pet", Keys: map[string]rowseal.KeyOptions{"": o}}
}

func names(pairs ...string) rowseal.ContextRule {
	rule := rowseal.ContextRule{Names: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		rule.Names[pairs[i]] = pairs[i+1]
	}
	return rule
}

func TestContextsAreMadeOfLiteralsColumnsAndFunctions(t *testing.T) {
	fake := &kmstest.Fake{}
	seen := contexts(fake)
	asTenant := func(r rowseal.Row) (kms.Context, error) {
		tenant, err := r.Column("tenant")
		id, err2 := r.Column("id") // the primary key needs no declaration
		return kms.Context{"who": tenant + "/" + id}, errors.Join(err, err2)
	}
	for what, test := range map[string]struct {
		opts *rowseal.Options
		want kms.Context
	}{
		"model_name from a column": {&rowseal.Options{Model: "{type}"}, kms.Context{"model_name": "Dog", "model_id": "7"}},
		"literals and columns":     {petOptions(rowseal.KeyOptions{Context: names("a", "x", "b", "{tenant}", "c", "")}), kms.Context{"a": "x", "b": "t1", "c": ""}},
		"no names":                 {petOptions(rowseal.KeyOptions{Context: names()}), kms.Context{}},
		"a function": {petOptions(rowseal.KeyOptions{Context: rowseal.ContextRule{Func: asTenant, Columns: []string{"tenant"}}}),
			kms.Context{"who": "t1/7"}},
		"another version's is not used": {petOptions(rowseal.KeyOptions{Versions: map[int]rowseal.ContextRule{2: names("a", "b")}}),
			kms.Context{"model_name": "Pet", "model_id": "7"}},
		"this version's is": {petOptions(rowseal.KeyOptions{Versions: map[int]rowseal.ContextRule{1: names("a", "b")}}), kms.Context{"a": "b"}},
	} {
		pets := newModel[pet](t, "pets", ringOf(t, fake), test.opts)
		row := sealed(t, pets, newPet(7))
		wantContexts(t, what, seen, test.want)
		p := load[pet](t, 7, row)
		p.Type, p.Tenant = "Dog", "t1"
		must(t, pets.Open(t.Context(), p))
		wantContexts(t, what+", opened", seen, test.want)
	}
}

// A change of context is a new version: old rows open under the old one, and Rewrap moves them.
func TestEachVersionHasItsContext(t *testing.T) {
	fake := &kmstest.Fake{Support: kms.RewrapAnyContext}
	seen := contexts(fake)
	key := kms.NewKey(fake, nil)
	v1, v2 := rowseal.Version{Number: 1, Key: key}, rowseal.Version{Number: 2, Key: key}
	before := newModel[pet](t, "pets", newRing(t, v1), petOptions(rowseal.KeyOptions{Context: names("old", "{id}")}))
	row := sealed(t, before, newPet(7))
	for what, versions := range map[string]map[int]rowseal.ContextRule{"old": {1: names("old", "{id}")}} {
		now := newModel[pet](t, "pets", newRing(t, v2, v1), petOptions(rowseal.KeyOptions{Versions: versions}))
		*seen = nil
		p := load[pet](t, 7, row)
		must(t, now.Open(t.Context(), p))
		wantContexts(t, what, seen, kms.Context{"old": "7"})
		must(t, now.Rewrap(t.Context(), p))
		*seen = nil
		p.Name.Set("new")
		must(t, now.Seal(t.Context(), p)) // the context is now the new version's, and not taken for a changed one
		p = load[pet](t, 7, save(t, p))
		must(t, now.Open(t.Context(), p))
		wantContexts(t, "rewrapped", seen, kms.Context{"model_name": "Pet", "model_id": "7"})
		if fake.Requests(kms.OpRewrap) != 1 {
			t.Error("the rewrap went another way")
		}
	}
}

func TestContextsThatCannotBeAreRefusedWhenTheModelIsMade(t *testing.T) {
	fn := func(rowseal.Row) (kms.Context, error) { return kms.Context{}, nil }
	ring := ringOf(t, &kmstest.Fake{})
	for want, opts := range map[string]*rowseal.Options{
		`options for the key "phone", which no field has; name one of ""`: {Keys: map[string]rowseal.KeyOptions{"phone": {}}},
		"needs column owner_id":        petOptions(rowseal.KeyOptions{Context: names("owner", "{owner_id}")}),
		"needs column tenant_id":       petOptions(rowseal.KeyOptions{Versions: map[int]rowseal.ContextRule{3: names("t", "{tenant_id}")}}),
		"needs column name_ciphertext": petOptions(rowseal.KeyOptions{Context: names("n", "{name_ciphertext}")}),
		"needs column kind":            {Model: "{kind}"},
		"needs column uuid":            {PrimaryKey: "uuid"},
		"needs column x":               petOptions(rowseal.KeyOptions{Context: rowseal.ContextRule{Func: fn, Columns: []string{"x"}}}),
		"needs column shard":           petOptions(rowseal.KeyOptions{KeyringFor: func(rowseal.Row) (*rowseal.Keyring, error) { return ring, nil }, KeyringColumns: []string{"shard"}}),
		`"a": "{id}x" is neither a literal nor exactly one {column}`: petOptions(rowseal.KeyOptions{Context: names("a", "{id}x")}),
		`"{}" is neither`:                petOptions(rowseal.KeyOptions{Context: names("a", "{}")}),
		`"{{id}}" is neither`:            petOptions(rowseal.KeyOptions{Context: names("a", "{{id}}")}),
		`"User{" is neither`:             {Model: "User{"},
		"it has Names and Func":          petOptions(rowseal.KeyOptions{Context: rowseal.ContextRule{Func: fn, Names: map[string]string{}}}),
		"Columns without Func":           petOptions(rowseal.KeyOptions{Context: rowseal.ContextRule{Columns: []string{"id"}}}),
		"has a Keyring and a KeyringFor": petOptions(rowseal.KeyOptions{Keyring: ring, KeyringFor: func(rowseal.Row) (*rowseal.Keyring, error) { return ring, nil }}),
	} {
		_, err := rowseal.NewModel[pet]("pets", ring, opts)
		wantErr(t, want, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "rowseal: ", want)
	}
	_, err := rowseal.NewModel[pet]("pets", nil, nil)
	wantErr(t, "no keyring", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "encrypted_kms_key has no keyring")
	newModel[pet](t, "pets", nil, petOptions(rowseal.KeyOptions{Keyring: ring}))
	newModel[pet](t, "pets", ring, &rowseal.Options{PrimaryKey: "tenant"})
}

// What fails while a context is made costs no request and changes nothing.
func TestContextsThatARowCannotGive(t *testing.T) {
	failure := errors.New("own failure")
	byFunc := func(f func(rowseal.Row) (kms.Context, error)) *rowseal.Options {
		return petOptions(rowseal.KeyOptions{Context: rowseal.ContextRule{Func: f, Columns: []string{"tenant"}}})
	}
	column := func(name string) *rowseal.Options {
		return petOptions(rowseal.KeyOptions{Context: names("x", "{"+name+"}")})
	}
	for what, test := range map[string]struct {
		opts  *rowseal.Options
		spoil func(*pet)
		want  error
		says  string
	}{
		"no id yet":       {nil, func(p *pet) { p.ID = 0 }, rowseal.ErrNotReady, "id has no value yet; insert the row first"},
		"NULL":            {column("age"), nil, kms.ErrInvalidRequest, "column age: NULL cannot be in an encryption context"},
		"a float":         {column("weight"), nil, kms.ErrInvalidRequest, "column weight: a float64 cannot be"},
		"a bool":          {column("tame"), nil, kms.ErrInvalidRequest, "column tame: a bool cannot be"},
		"a time":          {column("born_at"), nil, kms.ErrInvalidRequest, "column born_at: a time.Time cannot be"},
		"bytes":           {column("photo"), nil, kms.ErrInvalidRequest, "column photo: a []uint8 cannot be"},
		"not valid UTF-8": {column("tenant"), func(p *pet) { p.Tenant = "t\xff" }, kms.ErrInvalidRequest, `context value of "x" is not valid UTF-8`},
		"an undeclared column": {byFunc(func(r rowseal.Row) (kms.Context, error) { _, err := r.Column("type"); return nil, err }), nil,
			kms.ErrInvalidRequest, "column type is used and not declared"},
		"a function's error": {byFunc(func(rowseal.Row) (kms.Context, error) { return nil, failure }), nil, failure, "own failure"},
		"a function's ErrNotReady": {byFunc(func(rowseal.Row) (kms.Context, error) { return nil, rowseal.ErrNotReady }), nil,
			rowseal.ErrNotReady, "not ready"},
		"a function's nil": {byFunc(func(rowseal.Row) (kms.Context, error) { return nil, nil }), nil, kms.ErrInvalidRequest, "Func returned none"},
	} {
		fake := &kmstest.Fake{}
		pets := newModel[pet](t, "pets", ringOf(t, fake), test.opts)
		p := newPet(1)
		if test.spoil != nil {
			test.spoil(p)
		}
		for call, do := range map[string]func(context.Context, ...*pet) error{
			"Seal": pets.Seal,
			"Open": func(ctx context.Context, p ...*pet) error {
				loaded := load[pet](t, p[0].ID, stored{"EncryptedKMSKey": "v1:aaaa", "Name": "aaaa"})
				loaded.Tenant = p[0].Tenant
				return pets.Open(ctx, loaded)
			},
		} {
			err := do(t.Context(), p)
			wantErr(t, what+", "+call, err, test.want)
			wantMessage(t, err, "rowseal: pets", "encrypted_kms_key", test.says)
			wantRequests(t, what, fake, 0, 0)
		}
		_, err := p.Name.Value()
		wantErr(t, what, err, rowseal.ErrUnsealed)
	}
}

func TestRowsThatAreNotReadyDoNotStopTheOthers(t *testing.T) {
	fake := &kmstest.Fake{}
	pets := newModel[pet](t, "pets", ringOf(t, fake), nil)
	rows := []pet{*newPet(1), *newPet(0), *newPet(3)}
	err := pets.SealSlice(t.Context(), rows)
	wantRows(t, "Seal", err, 3, 1)
	wantErr(t, "Seal", err, rowseal.ErrNotReady)
	save(t, &rows[0])
	save(t, &rows[2])
	rows[1].ID = 2 // the INSERT has answered
	must(t, pets.SealSlice(t.Context(), rows))
	wantRequests(t, "each row once", fake, 3, 0)
}

type upperUUID [16]byte

func (u upperUUID) Value() (driver.Value, error) { return fmt.Sprintf("uuid-%X", u[0]), nil }

type (
	text  string
	id32  uint32
	twice struct{ n int }
	oops  struct{}
)

func (twice) Value() (driver.Value, error) { return twice{1}, nil }
func (oops) Value() (driver.Value, error)  { return nil, errors.New("oops") }

type byteType byte

// idOf seals a row whose id is of type T and returns the model_id that the KMS was told.
func idOf[T any](t *testing.T, id T) (string, error) {
	type row struct {
		ID              T
		EncryptedKMSKey rowseal.DataKey
		Name            rowseal.Sealed[string]
	}
	fake := &kmstest.Fake{}
	seen := contexts(fake)
	rows := newModel[row](t, "rows", ringOf(t, fake), &rowseal.Options{Model: "Row", Binding: rowseal.BindRow})
	r := row{ID: id}
	r.Name.Set("x")
	if err := rows.Seal(t.Context(), &r); err != nil {
		return "", err
	}
	rows.Wipe(&r)
	must(t, rows.Open(t.Context(), &r))
	if name, err := r.Name.Get(); name != "x" || err != nil {
		t.Errorf("id %v: %q, %v", id, name, err)
	}
	return (*seen)[0]["model_id"], nil
}

func TestIDsBecomeTextInOneWay(t *testing.T) {
	n, s := int64(-7), "seven"
	uuid := [16]byte{0xAB, 0xCD, 0xEF, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xFF}
	np := &n
	for want, got := range map[string]func() (string, error){
		"9223372036854775807":                  func() (string, error) { return idOf(t, int64(9223372036854775807)) },
		"-7":                                   func() (string, error) { return idOf(t, n) },
		"-7 ":                                  func() (string, error) { return spaced(idOf(t, &n)) },
		"-7  ":                                 func() (string, error) { return spaced(spaced(idOf(t, &np))) },
		"18446744073709551615":                 func() (string, error) { return idOf(t, uint64(18446744073709551615)) },
		"8":                                    func() (string, error) { return idOf(t, int8(8)) },
		"32":                                   func() (string, error) { return idOf(t, id32(32)) },
		"seven":                                func() (string, error) { return idOf(t, &s) },
		"Ünïcode <&>":                          func() (string, error) { return idOf(t, text("Ünïcode <&>")) },
		"abcdef01-0203-0405-0607-08090a0b0cff": func() (string, error) { return idOf(t, uuid) },
		"ABCDEF01-0203-0405-0607-08090A0B0CFF": func() (string, error) { return idOf(t, "ABCDEF01-0203-0405-0607-08090A0B0CFF") },
		"uuid-AB":                              func() (string, error) { return idOf(t, upperUUID(uuid)) },
		"from sql":                             func() (string, error) { return idOf(t, sql.NullString{String: "from sql", Valid: true}) },
		"5":                                    func() (string, error) { return idOf(t, &sql.NullInt64{Int64: 5, Valid: true}) },
		"6":                                    func() (string, error) { return idOf(t, any(6)) },
	} {
		if id, err := got(); id != want || err != nil {
			t.Errorf("got %q, %v; want %q", id, err, want)
		}
	}
}

func spaced(s string, err error) (string, error) { return s + " ", err }

func TestIDsThatAreNoneAreRefused(t *testing.T) {
	for what, test := range map[string]struct {
		id   func() (string, error)
		want error
	}{
		"0":              {func() (string, error) { return idOf(t, 0) }, rowseal.ErrNotReady},
		"no text":        {func() (string, error) { return idOf(t, "") }, rowseal.ErrNotReady},
		"nil pointer":    {func() (string, error) { return idOf[*int](t, nil) }, rowseal.ErrNotReady},
		"nil interface":  {func() (string, error) { return idOf[any](t, nil) }, rowseal.ErrNotReady},
		"nil UUID":       {func() (string, error) { return idOf(t, [16]byte{}) }, rowseal.ErrNotReady},
		"NULL":           {func() (string, error) { return idOf(t, sql.NullInt64{}) }, rowseal.ErrNotReady},
		"invalid, set":   {func() (string, error) { return idOf(t, sql.NullInt64{Int64: 5}) }, kms.ErrInvalidRequest},
		"float":          {func() (string, error) { return idOf(t, 1.5) }, kms.ErrInvalidRequest},
		"bool":           {func() (string, error) { return idOf(t, true) }, kms.ErrInvalidRequest},
		"time":           {func() (string, error) { return idOf(t, time.Unix(1, 0)) }, kms.ErrInvalidRequest},
		"bytes":          {func() (string, error) { return idOf(t, []byte("12")) }, kms.ErrInvalidRequest},
		"15 bytes":       {func() (string, error) { return idOf(t, [15]byte{1}) }, kms.ErrInvalidRequest},
		"16 other bytes": {func() (string, error) { return idOf(t, [16]byteType{1}) }, kms.ErrInvalidRequest},
		"a valuer twice": {func() (string, error) { return idOf(t, twice{1}) }, kms.ErrInvalidRequest},
		"a valuer's err": {func() (string, error) { return idOf(t, &oops{}) }, nil},
	} {
		id, err := test.id()
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %q, %v; want %v", what, id, err, test.want)
		}
	}
}

func TestAChangedIDOrContextIsRefusedOnceTheKeyIsOpen(t *testing.T) {
	custom := petOptions(rowseal.KeyOptions{Context: names("tenant", "{tenant}")})
	bound := petOptions(rowseal.KeyOptions{Context: names("tenant", "{tenant}")})
	bound.Binding = rowseal.BindRow
	for what, test := range map[string]struct {
		opts   *rowseal.Options
		change func(*pet)
		want   error
	}{
		"id":                                {nil, func(p *pet) { p.ID = 2 }, rowseal.ErrContextChanged},
		"a context column":                  {custom, func(p *pet) { p.Tenant = "t2" }, rowseal.ErrContextChanged},
		"id, which the fields are bound to": {bound, func(p *pet) { p.ID = 2 }, rowseal.ErrContextChanged},
		"id, of which the context is free":  {custom, func(p *pet) { p.ID = 2 }, nil},
		"a column that no context uses":     {nil, func(p *pet) { p.Tenant = "t2" }, nil},
		"id is gone":                        {nil, func(p *pet) { p.ID = 0 }, rowseal.ErrNotReady},
	} {
		pets := newModel[pet](t, "pets", ringOf(t, &kmstest.Fake{}), test.opts)
		row := sealed(t, pets, newPet(1))
		for how, make := range map[string]func() *pet{
			"opened": func() *pet { p := load[pet](t, 1, row); p.Tenant = "t1"; must(t, pets.Open(t.Context(), p)); return p },
			"sealed": func() *pet { p := newPet(1); must(t, pets.Seal(t.Context(), p)); return p },
			"rewrapped": func() *pet {
				p := load[pet](t, 1, row)
				p.Tenant = "t1"
				must(t, pets.Open(t.Context(), p))
				must(t, pets.Rewrap(t.Context(), p))
				return p
			},
		} {
			for _, set := range []bool{true, false} {
				p := make()
				test.change(p)
				if set {
					p.Name.Set("new")
				}
				if err := pets.Seal(kms.WithBudget(t.Context(), 0), p); !errors.Is(err, test.want) {
					t.Errorf("%s, %s, set %v: %v, want %v", what, how, set, err, test.want)
				}
			}
		}
	}
}

func TestEachRowChoosesItsKeyring(t *testing.T) {
	fakes := map[string]*kmstest.Fake{"t1": {ID: "k1"}, "t2": {ID: "k2"}}
	rings := map[string]*rowseal.Keyring{"t1": ringOf(t, fakes["t1"]), "t2": ringOf(t, fakes["t2"]),
		"loose": ringOf(t, &kmstest.Fake{IgnoreContext: true})}
	choose := func(r rowseal.Row) (*rowseal.Keyring, error) {
		tenant, err := r.Column("tenant")
		if tenant == "broken" {
			err = errors.New("no such tenant")
		}
		return rings[tenant], err
	}
	pets := newModel[pet](t, "pets", nil, petOptions(rowseal.KeyOptions{KeyringFor: choose, KeyringColumns: []string{"tenant"}}))
	var rows []pet
	for i, tenant := range []string{"t1", "t2", "t3", "broken", "loose"} {
		p := newPet(int64(i + 1))
		p.Tenant = tenant
		rows = append(rows, *p)
	}
	err := pets.SealSlice(t.Context(), rows)
	wantRows(t, "Seal", err, 5, 2, 3, 4)
	wantMessage(t, rowError(err, 2), "KeyringFor chose none")
	wantMessage(t, rowError(err, 3), "no such tenant")
	wantMessage(t, rowError(err, 4), "does not enforce the encryption context")
	wantRequests(t, "t1", fakes["t1"], 1, 0)
	wantRequests(t, "t2", fakes["t2"], 1, 0)

	p := load[pet](t, 1, save(t, &rows[0]))
	p.Tenant = "t2"
	wantErr(t, "another tenant's keyring", pets.Open(t.Context(), p), rowseal.ErrDecryptionFailed)
	p.Tenant = "t1"
	must(t, pets.Open(t.Context(), p))

	undeclared := newModel[pet](t, "pets", nil, petOptions(rowseal.KeyOptions{KeyringFor: choose}))
	err = undeclared.Seal(t.Context(), newPet(1))
	wantMessage(t, err, "column tenant is used and not declared")
}

func rowError(err error, index int) error {
	var batch *rowseal.BatchError
	if errors.As(err, &batch) {
		for _, r := range batch.Rows {
			if r.Index == index {
				return r.Err
			}
		}
	}
	return nil
}

// Where the KMS opens any row's key for any other, only the fields' own binding holds them in their rows.
func TestAKMSThatDoesNotEnforceTheContextNeedsBoundRows(t *testing.T) {
	ring := ringOf(t, &kmstest.Fake{ID: "loose", IgnoreContext: true})
	strict := ringOf(t, &kmstest.Fake{ID: "strict"})
	mixed := newRing(t, rowseal.Version{Number: 2, Key: strict.Versions()[0].Key}, rowseal.Version{Number: 1, Key: ring.Versions()[0].Key})
	type own struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Name            rowseal.Sealed[string] `rowseal:"ad=pets.name"`
	}
	for what, make := range map[string]func() error{
		"column": func() error { return second(rowseal.NewModel[pet]("pets", ring, nil)) },
		"none": func() error {
			return second(rowseal.NewModel[pet]("pets", ring, &rowseal.Options{Binding: rowseal.BindNone}))
		},
		"an old version": func() error { return second(rowseal.NewModel[pet]("pets", mixed, nil)) },
		"a key's own": func() error {
			return second(rowseal.NewModel[pet]("pets", strict, petOptions(rowseal.KeyOptions{Keyring: ring})))
		},
		"associated data of the field's own": func() error {
			return second(rowseal.NewModel[own]("pets", ring, &rowseal.Options{Binding: rowseal.BindRow}))
		},
	} {
		err := make()
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "loose does not enforce the encryption context", "name_ciphertext", "use BindRow")
	}
	newModel[pet](t, "pets", ring, &rowseal.Options{Binding: rowseal.BindRow})
	newModel[own](t, "pets", strict, nil)
}
