package railstest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
)

// Run tests that the database opens whole, that what rowseal writes into it opens elsewhere, and that nothing opens where
// it does not belong.
func Run(t *testing.T, d Database) {
	t.Run("the second reader opens what the gems wrote", func(t *testing.T) {
		db, _ := d.Copy(t)
		d.wantSecondReader(t, db, d.expected(t))
	})
	t.Run("the gems open what they wrote", func(t *testing.T) {
		_, file := d.Copy(t)
		d.wantGems(t, file, d.expected(t))
	})
	for _, kind := range []struct {
		name  string
		table bool
	}{{"Model", false}, {"Table", true}} {
		t.Run(kind.name, func(t *testing.T) {
			p := Program{Table: kind.table}
			t.Run("every value of every row opens", func(t *testing.T) { testOpens(t, d, p) })
			t.Run("rows are found by e-mail", func(t *testing.T) { testIsFound(t, d, p) })
			t.Run("what is written opens elsewhere", func(t *testing.T) { testWrites(t, d, p) })
			t.Run("a writer that lost changes nothing", func(t *testing.T) { testLoses(t, d, p) })
			t.Run("what was exchanged does not open", func(t *testing.T) { testExchanged(t, d, p) })
			t.Run("what was damaged does not open", func(t *testing.T) { testDamaged(t, d, p) })
		})
	}
}

func testOpens(t *testing.T, d Database, p Program) {
	db, _ := d.Copy(t)
	d.wantValues(t, db, p, d.expected(t))
}

// wantValues tests that a program opens every value of every row, and makes every index as it is.
func (d Database) wantValues(t *testing.T, db *sql.DB, p Program, want map[int64]Values) {
	t.Helper()
	users := d.Users(t, p)
	columns := Load(t, db)
	rows := rowsOf(t, users, columns)
	must(t, users.Open(t.Context(), rows...))
	if len(rows) != len(want) {
		t.Fatalf("there are %d rows, want %d", len(rows), len(want))
	}
	for i, row := range rows {
		id := columns[i]["id"].(int64)
		for _, column := range fieldColumns() {
			v, err := row.Get(column)
			if err != nil || inJSON(v) != want[id][column] {
				t.Errorf("row %d: %s does not open to what was sealed: %v", id, column, err)
			}
		}
	}
	must(t, users.Reindex(t.Context(), rows...))
	for i, row := range rows {
		made, err := row.Sealed()
		if stored := columns[i]["email_bidx"]; err != nil || made["email_bidx"] != stored {
			t.Errorf("row %d: the index is made as %v, %v, and the column has %v", columns[i]["id"], made["email_bidx"], err, stored)
		}
	}
}

func testIsFound(t *testing.T, d Database, p Program) {
	db, _ := d.Copy(t)
	users := d.Users(t, p)
	for id, values := range d.expected(t) {
		email, ok := values["email_ciphertext"].(string)
		if !ok {
			continue
		}
		for _, spelling := range []string{strings.ToUpper(email), strings.ToLower(email)} {
			wantFound(t, db, users, spelling, id)
		}
	}
	wantFound(t, db, users, "nobody@example.org")
}

func wantFound(t *testing.T, db *sql.DB, users Users, email string, want ...int64) {
	t.Helper()
	values, err := users.Lookup(t.Context(), "email_bidx", email)
	if err != nil || len(values) != 1 {
		t.Fatalf("the index of an e-mail has %d values, %v", len(values), err)
	}
	rows, err := db.QueryContext(t.Context(), "SELECT id FROM users WHERE email_bidx = ?", values[0])
	must(t, err)
	defer rows.Close()
	var found []int64
	for rows.Next() {
		var id int64
		must(t, rows.Scan(&id))
		found = append(found, id)
	}
	if must(t, rows.Err()); !slices.Equal(found, want) {
		t.Errorf("%s finds rows %v, want %v", email, found, want)
	}
}

// change is what one program does to one row, and all that may be different afterwards.
type change struct {
	name    string
	id      int64
	program Program
	do      func(ctx context.Context, users Users, row Row, values Values) error // nil: open, set the values, seal
	values  Values                                                               // the new ones
	others  map[string]any                                                       // columns that are not sealed and are written too
	columns string                                                               // that the change writes
}

// changes go from one to the next on the same database. Rows 2, 3, 8, 12, 14, 15, 18, 20, 23 and 24 have every key and value;
// rows 1, 7, 10 and 22 have no street, row 1 no notes and no SSN; row 26 has only a street, under version 1.
var changes = []change{
	{name: "a new e-mail", id: 2, values: Values{"email_ciphertext": "Ärger+2@Example.ORG"}, columns: "email_ciphertext email_bidx"},
	{name: "a new date", id: 2, values: Values{"date_of_birth_ciphertext": date(2004, 2, 29)}, columns: "date_of_birth_ciphertext"},
	{name: "a new number", id: 2, values: Values{"balance_ciphertext": int64(-1 << 63)}, columns: "balance_ciphertext"},
	{name: "new notes", id: 2, values: Values{"notes_ciphertext": "exactly 16 bytes"}, columns: "notes_ciphertext"},
	{name: "a new SSN", id: 2, values: Values{"encrypted_ssn": strings.Repeat("078-05-1120 ", 9)}, columns: "encrypted_ssn encrypted_ssn_iv"},
	{name: "a new file", id: 2, values: Values{"license": []byte("\x00\xff a scan\n")}, columns: "license"},
	{name: "a new phone", id: 2, values: Values{"phone_ciphertext": "+1 555 0100"}, columns: "phone_ciphertext"},
	{name: "a new street", id: 2, values: Values{"street_ciphertext": "2 New Road"}, columns: "street_ciphertext"},

	{name: "no e-mail", id: 3, values: Values{"email_ciphertext": nil}, columns: "email_ciphertext email_bidx"},
	{name: "no date", id: 3, values: Values{"date_of_birth_ciphertext": nil}, columns: "date_of_birth_ciphertext"},
	{name: "no number", id: 3, values: Values{"balance_ciphertext": nil}, columns: "balance_ciphertext"},
	{name: "no notes", id: 3, values: Values{"notes_ciphertext": nil}, columns: "notes_ciphertext"},
	{name: "no SSN", id: 3, values: Values{"encrypted_ssn": nil}, columns: "encrypted_ssn encrypted_ssn_iv"},
	{name: "no file", id: 3, values: Values{"license": nil}, columns: "license"},
	{name: "no phone", id: 3, values: Values{"phone_ciphertext": nil}, columns: "phone_ciphertext"},
	{name: "no street", id: 3, values: Values{"street_ciphertext": nil}, columns: "street_ciphertext"},
	{
		name: "every value that there is, away and the key stays", id: 18, values: noValues(),
		columns: allFields + " email_bidx",
	},

	{
		name: "empty text", id: 7, values: Values{"email_ciphertext": "", "notes_ciphertext": "", "encrypted_ssn": "", "phone_ciphertext": ""},
		columns: "email_ciphertext email_bidx notes_ciphertext encrypted_ssn encrypted_ssn_iv phone_ciphertext",
	},
	{name: "empty text where there is no key", id: 7, values: Values{"street_ciphertext": ""}, columns: "street_ciphertext"},
	{
		name: "values where there was NULL", id: 1,
		values:  Values{"notes_ciphertext": "漢字", "encrypted_ssn": "219-09-9999", "street_ciphertext": "1 First Street"},
		columns: "notes_ciphertext encrypted_ssn encrypted_ssn_iv street_ciphertext encrypted_kms_key_street",
	},
	{name: "a value under a key of the earlier version", id: 26, values: Values{"street_ciphertext": "1 Older Road"}, columns: "street_ciphertext"},
	{
		name: "values where there was no key", id: 26,
		values:  Values{"email_ciphertext": "old@example.org", "balance_ciphertext": int64(0), "phone_ciphertext": "555-0126"},
		columns: "encrypted_kms_key email_ciphertext email_bidx balance_ciphertext encrypted_kms_key_phone phone_ciphertext",
	},
	{name: "without opening first", id: 21, do: setAndSeal, values: Values{"balance_ciphertext": int64(21)}, columns: "balance_ciphertext"},

	{name: "rewrapped", id: 10, program: Program{Rotated: true}, do: rewrap, columns: "encrypted_kms_key encrypted_kms_key_phone"},
	{
		name: "rewrapped under another context", id: 26, program: Program{Rotated: true}, do: rewrap,
		columns: "encrypted_kms_key encrypted_kms_key_phone encrypted_kms_key_street",
	},
	{
		name: "rewrapped, and then a new e-mail", id: 22, program: Program{Rotated: true}, do: rewrapAndSet,
		values:  Values{"email_ciphertext": "22@example.org"},
		columns: "encrypted_kms_key encrypted_kms_key_phone email_ciphertext email_bidx",
	},

	{name: "rekeyed", id: 12, do: rekey, columns: keyColumns + " " + allFields},
	{
		name: "rekeyed and set", id: 23, program: Program{Rotated: true}, do: rekey,
		values:  Values{"email_ciphertext": "23@example.org", "encrypted_ssn": nil},
		columns: keyColumns + " " + allFields + " email_bidx",
	},
	{name: "one key rekeyed", id: 24, do: rekeyPhone, columns: "encrypted_kms_key_phone phone_ciphertext"},

	{
		name: "cleared", id: 8, program: Program{SealOnly: true}, do: justClear, values: noValues(),
		columns: keyColumns + " " + allFields + " email_bidx",
	},
	{
		name: "cleared and sealed without the right to open", id: 14, program: Program{SealOnly: true}, do: clearAndSeal,
		values:  newcomer("14@example.org"),
		columns: keyColumns + " " + allFields + " email_bidx",
	},
	{
		name: "one key cleared and sealed without the right to open", id: 15, program: Program{SealOnly: true}, do: clearPhoneAndSeal,
		values:  Values{"phone_ciphertext": "555-0115"},
		columns: "encrypted_kms_key_phone phone_ciphertext",
	},
	{
		name: "a new name, which a context uses", id: 17, do: rename, others: map[string]any{"name": "Renée"},
		values:  Values{"phone_ciphertext": "555-0117"},
		columns: "name encrypted_kms_key_phone phone_ciphertext",
	},
}

const (
	keyColumns = "encrypted_kms_key encrypted_kms_key_phone encrypted_kms_key_street"
	allFields  = "email_ciphertext date_of_birth_ciphertext balance_ciphertext notes_ciphertext encrypted_ssn encrypted_ssn_iv " +
		"license phone_ciphertext street_ciphertext"
)

func date(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

func noValues() Values {
	all := Values{}
	for _, column := range fieldColumns() {
		all[column] = nil
	}
	return all
}

// newcomer has every value.
func newcomer(email string) Values {
	return Values{
		"email_ciphertext": email, "date_of_birth_ciphertext": date(1815, 12, 10), "balance_ciphertext": int64(1<<63 - 1),
		"notes_ciphertext": "on the engine\u0080\x00", "encrypted_ssn": "457-55-5462", "license": []byte{0x80, 0, 0},
		"phone_ciphertext": "555-0199", "street_ciphertext": "12 St James's Square <é>",
	}
}

func setAll(row Row, values Values) error {
	for column, v := range values {
		if err := row.Set(column, v); err != nil {
			return err
		}
	}
	return nil
}

func openSetAndSeal(ctx context.Context, users Users, row Row, values Values) error {
	if err := users.Open(ctx, row); err != nil {
		return err
	}
	return setAndSeal(ctx, users, row, values)
}

func setAndSeal(ctx context.Context, users Users, row Row, values Values) error {
	if err := setAll(row, values); err != nil {
		return err
	}
	return users.Seal(ctx, row)
}

func rewrap(ctx context.Context, users Users, row Row, _ Values) error { return users.Rewrap(ctx, row) }

func rewrapAndSet(ctx context.Context, users Users, row Row, values Values) error {
	if err := users.Open(ctx, row); err != nil {
		return err
	}
	if err := users.Rewrap(ctx, row); err != nil {
		return err
	}
	if _, err := row.Get("phone_ciphertext"); err != nil { // opens still
		return err
	}
	return setAndSeal(ctx, users, row, values)
}

func rekey(ctx context.Context, users Users, row Row, values Values) error {
	if err := setAll(row, values); err != nil {
		return err
	}
	return users.Rekey(ctx, row)
}

func rekeyPhone(ctx context.Context, users Users, row Row, _ Values) error {
	return users.Only("phone").Rekey(ctx, row)
}

func clearAndSeal(ctx context.Context, users Users, row Row, values Values) error {
	users.Clear(row)
	return setAndSeal(ctx, users, row, values)
}

func justClear(_ context.Context, users Users, row Row, _ Values) error {
	users.Clear(row)
	return nil
}

func clearPhoneAndSeal(ctx context.Context, users Users, row Row, values Values) error {
	users.Only("phone").Clear(row)
	return setAndSeal(ctx, users, row, values)
}

// rename is refused as long as the phone would stay under a key that is wrapped for the old name.
func rename(ctx context.Context, users Users, row Row, values Values) error {
	if err := users.Open(ctx, row); err != nil {
		return err
	}
	if err := row.SetColumn("name", "Renée"); err != nil {
		return err
	}
	if err := setAndSeal(ctx, users, row, values); !errors.Is(err, rowseal.ErrContextChanged) {
		return errors.Join(errors.New("the phone was sealed under the key of another context"), err)
	}
	return clearPhoneAndSeal(ctx, users, row, values)
}

func testWrites(t *testing.T, d Database, p Program) {
	db, file := d.Copy(t)
	want := d.expected(t)
	for _, c := range changes {
		c.program.Table = p.Table
		users := d.Users(t, c.program)
		before := snapshot(t, db)
		row := loadOne(t, db, users, c.id)
		do := c.do
		if do == nil {
			do = openSetAndSeal
		}
		if err := do(t.Context(), users, row.Row, c.values); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		row.mustSave(t, db, users, c.others)
		wantChanged(t, c, before, snapshot(t, db))
		for column, v := range c.values {
			want[c.id][column] = inJSON(v)
		}
	}
	saveTwice(t, d, db, p, want)
	addRows(t, d, db, p, want)

	d.wantSecondReader(t, db, want)
	d.wantValues(t, db, Program{Table: p.Table, Rotated: true}, want)
	d.wantValues(t, db, Program{Table: !p.Table, Rotated: true}, want)
	t.Run("by the gems", func(t *testing.T) { d.wantGems(t, file, want) })
}

// wantChanged tests that a change wrote what it says and left every other byte of the table alone.
func wantChanged(t *testing.T, c change, before, after map[string]string) {
	t.Helper()
	want, got := map[string]bool{}, map[string]bool{}
	for column := range strings.FieldsSeq(c.columns) {
		want[cell(c.id, column)] = true
	}
	for place := range after {
		if before[place] != after[place] {
			got[place] = true
		}
	}
	if !maps.Equal(got, want) || len(before) != len(after) {
		t.Errorf("%s: changed %v\nwant %v", c.name, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// saveTwice changes a row, and changes it again without loading it: what was written counts as loaded.
func saveTwice(t *testing.T, d Database, db *sql.DB, p Program, want map[int64]Values) {
	t.Helper()
	const id = 20
	users := d.Users(t, p)
	row := loadOne(t, db, users, id)
	for _, street := range []string{"20 First Street", "20 Second Street"} {
		must(t, users.Rekey(t.Context(), row.Row))
		must(t, setAndSeal(t.Context(), users, row.Row, Values{"street_ciphertext": street}))
		row.mustSave(t, db, users, nil)
		want[id]["street_ciphertext"] = street
	}
}

// addRows adds rows by a program that has no right to open: two whose ids are known and that are sealed together, and one
// that gets its id first.
func addRows(t *testing.T, d Database, db *sql.DB, p Program, want map[int64]Values) {
	t.Helper()
	p.SealOnly = true
	users := d.Users(t, p)
	added := map[int64]Values{1001: newcomer("Ada@Example.org"), 1002: {"street_ciphertext": "2 Only Road"}}
	var rows []Row
	for _, id := range slices.Sorted(maps.Keys(added)) {
		row, err := users.Row(map[string]any{"id": id, "name": "Ada \" <é>"})
		must(t, err)
		must(t, setAll(row, added[id]))
		rows = append(rows, row)
	}
	must(t, users.Seal(t.Context(), rows...))
	for i, id := range slices.Sorted(maps.Keys(added)) {
		columns, err := rows[i].Sealed()
		must(t, err)
		insert(t, db, withPlain(columns, map[string]any{"id": id, "name": "Ada \" <é>"}))
	}

	tx, err := db.BeginTx(t.Context(), nil)
	must(t, err)
	defer tx.Rollback()
	id := insert(t, tx, map[string]any{"name": "Grace"})
	row := loadOne(t, tx, users, id)
	added[id] = newcomer("Grace@Example.org")
	must(t, setAndSeal(t.Context(), users, row.Row, added[id]))
	row.mustSave(t, tx, users, nil)
	must(t, tx.Commit())

	for id, values := range added {
		want[id] = noValues()
		for column, v := range values {
			want[id][column] = inJSON(v)
		}
	}
	wantFound(t, db, users, "GRACE@example.org", id)
}

func withPlain(columns map[string]driver.Value, plain map[string]any) map[string]any {
	for column, v := range columns {
		plain[column] = v
	}
	return plain
}

// wantSecondReader tests that the second reader opens every value of every row.
func (d Database) wantSecondReader(t *testing.T, db *sql.DB, want map[int64]Values) {
	t.Helper()
	read, err := d.secondReader(t).Users(t.Context(), db)
	must(t, err)
	got := map[int64]Values{}
	for id, values := range read {
		got[id] = Values{}
		for column, v := range values {
			got[id][column] = inJSON(v)
		}
	}
	wantSame(t, got, want)
}

// wantSame compares every value of every row.
func wantSame(t *testing.T, got, want map[int64]Values) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("there are %d rows, want %d", len(got), len(want))
	}
	for id := range want {
		if !maps.Equal(got[id], want[id]) {
			t.Errorf("row %d has %v\nwant %v", id, got[id], want[id])
		}
	}
}

// testLoses tests what somebody else's write between load and save does.
func testLoses(t *testing.T, d Database, p Program) {
	users := d.Users(t, p)
	for _, race := range []struct {
		name          string
		id            int64
		win           func(ctx context.Context, users Users, row Row, values Values) error
		first, second Values
	}{
		{"to another data key", 2, rekey, nil, Values{"email_ciphertext": "second@example.org"}},
		{"to the first data key", 26, setAndSeal, Values{"email_ciphertext": "first@example.org"}, Values{"balance_ciphertext": int64(2)}},
		{"to another value", 2, setAndSeal, Values{"notes_ciphertext": "first"}, Values{"notes_ciphertext": "second"}},
	} {
		t.Run(race.name, func(t *testing.T) {
			db, _ := d.Copy(t)
			winner, loser := loadOne(t, db, users, race.id), loadOne(t, db, users, race.id)
			must(t, race.win(t.Context(), users, winner.Row, race.first))
			winner.mustSave(t, db, users, nil)
			before := snapshot(t, db)

			must(t, openSetAndSeal(t.Context(), users, loser.Row, race.second))
			if n, err := loser.save(t.Context(), db, nil); n != 0 || err != nil {
				t.Errorf("the loser wrote %d rows, %v", n, err)
			}
			if !maps.Equal(snapshot(t, db), before) {
				t.Error("the loser changed the table")
			}
		})
	}
}
