package integration

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// world is what a case has: empty tables, a KMS that counts, and the integration.
type world struct {
	*testing.T
	in   Integration
	d    dbtest.Database
	dsn  string
	look *sql.DB // reads and writes the database without rowseal
	kms  *kmstest.Fake
	ring *rowseal.Keyring
	ear  *ear

	accounts *rowseal.Model[Account]
	notes    *rowseal.Model[Note]
	visits   *rowseal.Model[Visit]
	pairs    *rowseal.Model[Pair]
}

func newWorld(t *testing.T, in Integration, d dbtest.Database, dsn string) *world {
	t.Helper()
	w := &world{T: t, in: in, d: d, dsn: dsn, ear: listen(t)}
	w.kms = &kmstest.Fake{BatchSize: 1000, Support: kms.RewrapAnyContext, Fault: w.ear.overhearKey}
	var err error
	w.look, err = sql.Open(d.Driver, w.dsn)
	w.must(err)
	t.Cleanup(func() { w.look.Close() })
	w.ring, err = rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(w.kms, nil)})
	w.must(err)
	w.accounts, err = rowseal.NewModel[Account]("accounts", w.ring, w.options())
	w.must(err)
	w.notes, err = rowseal.NewModel[Note]("notes", w.ring, nil)
	w.must(err)
	w.visits, err = rowseal.NewModel[Visit]("visits", w.ring, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{
		"": {Context: rowseal.ContextRule{Names: map[string]string{"visit": "{id}", "clinic": "{clinic}"}}},
	}})
	w.must(err)
	w.pairs, err = rowseal.NewModel[Pair]("pairs", w.ring, w.options())
	w.must(err)
	w.exec(createTables)
	return w
}

// options are those of the accounts, for a Model or a Table.
func (w *world) options() *rowseal.Options {
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	w.must(err)
	return &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index}}
}

// sub runs a subtest in a world of its own.
func (w *world) sub(name string, test func(w *world)) {
	w.Helper()
	w.Run(name, func(t *testing.T) { test(newWorld(t, w.in, w.d, w.dsn)) })
}

// connect starts an application, for all tables or for those that are given.
func (w *world) connect(tables ...Table) Session {
	w.Helper()
	if len(tables) == 0 {
		tables = []Table{{Model: w.accounts}, {Model: w.notes}, {Model: w.visits}, {Model: w.pairs}}
	}
	return w.in.Connect(w, w.d, w.dsn, w.ear, tables...)
}

// must ends the test at an error.
func (w *world) must(err error) {
	w.Helper()
	w.ear.hear(err)
	if err != nil {
		w.Fatal(err)
	}
}

// want compares an error, which may be any of several.
func (w *world) want(got error, want ...error) {
	w.Helper()
	w.ear.hear(got)
	if !slices.ContainsFunc(want, func(err error) bool { return errors.Is(got, err) }) {
		w.Errorf("the error is: %v, want: %v", got, want)
	}
}

// fails wants any error.
func (w *world) fails(err error) {
	w.Helper()
	w.ear.hear(err)
	if err == nil {
		w.Error("there is no error")
	}
}

// requests compares how many requests have come to the KMS since the last look.
func (w *world) requests(encrypt, decrypt int) {
	w.Helper()
	if e, d := w.kms.Requests(kms.OpEncrypt), w.kms.Requests(kms.OpDecrypt); e != encrypt || d != decrypt {
		w.Errorf("%d requests encrypted and %d decrypted, want %d and %d", e, d, encrypt, decrypt)
	}
	if n := w.kms.Requests(kms.OpRewrap); n != 0 {
		w.Errorf("%d requests rewrapped, want none", n)
	}
	w.kms.Reset()
}

// quietly does what does not count.
func (w *world) quietly(do func()) {
	w.Helper()
	do()
	w.kms.Reset()
}

func (w *world) exec(sql string, args ...any) {
	w.Helper()
	for _, s := range statements(w.d, sql) {
		if _, err := w.look.ExecContext(w.Context(), s, args...); err != nil {
			w.Fatalf("%s: %v", s, err)
		}
	}
}

// stored are the rows of a table in the order of their ids, as the driver gives their columns.
func (w *world) stored(table string) (rows []map[string]any) {
	w.Helper()
	result, err := w.look.QueryContext(w.Context(), "SELECT * FROM "+table+" ORDER BY id")
	w.must(err)
	defer result.Close()
	columns, err := result.Columns()
	w.must(err)
	for result.Next() {
		values, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		w.must(result.Scan(pointers...))
		row := map[string]any{}
		for i, c := range columns {
			row[c] = values[i]
		}
		rows = append(rows, row)
	}
	w.must(result.Err())
	return rows
}

// dump is a table as text.
func (w *world) dump(table string) string {
	w.Helper()
	var text strings.Builder
	for _, row := range w.stored(table) {
		for _, column := range slices.Sorted(maps.Keys(row)) {
			if b, ok := row[column].([]byte); ok {
				row[column] = string(b)
			}
			fmt.Fprintf(&text, "%s=%v ", column, row[column])
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// unchanged wants a table to be as it was after do, and no request to the KMS.
func (w *world) unchanged(table string, do func()) {
	w.Helper()
	before := w.dump(table)
	do()
	if after := w.dump(table); after != before {
		w.Errorf("%s was\n%sand is\n%s", table, before, after)
	}
}

// values are those of an Account; "" is NULL.
type values struct{ email, phone, pin string }

func (v values) setIn(a *Account) {
	set := func(field *rowseal.Sealed[string], value string) {
		if value != "" {
			field.Set(value)
		}
	}
	set(&a.Email, v.email)
	set(&a.Phone, v.phone)
	set(&a.PIN, v.pin)
}

func newAccount(v values) *Account {
	a := &Account{Name: "ada"}
	v.setIn(a)
	return a
}

// secret is in every plaintext of the suite.
const secret = "sesame"

var (
	first  = values{secret + " mail 1", secret + " phone 1", secret + " pin 1"}
	second = values{secret + " mail 2", secret + " phone 2", secret + " pin 2"}
)

// given creates an Account in an application of its own, and returns its id.
func (w *world) given(v values) (id int64) {
	w.Helper()
	a := newAccount(v)
	w.quietly(func() { w.must(w.connect().Create(w.Context(), a)) })
	return a.ID
}

// find loads a row.
func find[T any](w *world, s Session, id any) *T {
	w.Helper()
	row := new(T)
	w.must(s.Find(w.Context(), row, id))
	w.ear.hear(row)
	return row
}

// opened loads a row and opens it, which is not counted.
func opened[T any](w *world, s Session, id any) *T {
	w.Helper()
	row := find[T](w, s, id)
	w.quietly(func() { w.must(s.Open(w.Context(), row)) })
	w.ear.hear(row)
	return row
}

// holds looks at an Account in the database, with plain SQL, a rowseal.Table and nothing of the integration.
func (w *world) holds(id int64, want values) {
	w.Helper()
	w.quietly(func() {
		w.Helper()
		table, err := rowseal.NewTable(w.accounts.Schema(), w.ring, w.options())
		w.must(err)
		var row *rowseal.Record
		for _, columns := range w.stored("accounts") {
			if columns["id"] == id {
				row, err = table.Record(columns)
				w.must(err)
			}
		}
		if row == nil {
			w.Fatalf("there is no account %d", id)
		}
		w.must(table.Open(w.Context(), row))
		got := values{w.text(row, "email_ciphertext"), w.text(row, "phone_ciphertext"), w.text(row, "pin_ciphertext")}
		if got != want {
			w.Errorf("the account has %+v, want %+v", got, want)
		}
		w.hasIndex(id, want.email)
	})
}

// hasIndex looks an Account up by its e-mail address.
func (w *world) hasIndex(id int64, email string) {
	w.Helper()
	var index sql.NullString
	w.must(w.look.QueryRow(fmt.Sprintf("SELECT email_bidx FROM accounts WHERE id = %d", id)).Scan(&index))
	if email == "" {
		if index.Valid {
			w.Error("the index is there, and the field is NULL")
		}
		return
	}
	found, err := w.accounts.Lookup(w.Context(), "email_bidx", email)
	w.must(err)
	if len(found) != 1 || found[0] != index.String {
		w.Error("the index is not that of the field")
	}
}

// text is a field's value, "" for NULL.
func (w *world) text(row *rowseal.Record, column string) string {
	w.Helper()
	v, err := row.Get(column)
	w.must(err)
	if v == nil {
		return ""
	}
	return v.(string)
}

// ways are those in which a Session writes a row that was found.
func ways(s Session) map[string]func(ctx context.Context, rows ...any) error {
	all := map[string]func(ctx context.Context, rows ...any) error{"update": s.Update}
	if s, ok := s.(Saver); ok {
		all["save"] = s.Save
	}
	return all
}

// writeFunc writes rows in one of these ways.
type writeFunc func(s Session, rows ...any) error

// eachWay runs a test for every way in which the integration writes rows.
func (w *world) eachWay(test func(w *world, write writeFunc)) {
	for _, name := range slices.Sorted(maps.Keys(ways(w.connect()))) {
		w.sub(name, func(w *world) {
			test(w, func(s Session, rows ...any) error { return ways(s)[name](w.Context(), rows...) })
		})
	}
}
