package sweep_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/attrencrypted"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/sweep"
)

// person has a plain column for each type, whose values move into sealed ones.
var personTypes = []struct {
	typ        lockbox.Type
	pg, my, li string // the plain column's type
	value      string // in SQL
}{
	{lockbox.String, "text", "varchar(100) CHARACTER SET utf8mb4", "varchar", "'Grüße; it''s'"},
	{lockbox.Binary, "bytea", "blob", "blob", ""},
	{lockbox.Boolean, "boolean", "tinyint(1)", "boolean", "1"},
	{lockbox.Integer, "bigint", "bigint", "integer", "-9223372036854775807"},
	{lockbox.Float, "double precision", "double", "float", "0.1"},
	{lockbox.Decimal, "numeric(40,10)", "decimal(40,10)", "text", "'123456789012345678.0100000000'"},
	{lockbox.Date, "date", "date", "date", "'1990-01-02'"},
	{lockbox.Datetime, "timestamp", "datetime(6)", "datetime(6)", "'1990-01-02 03:04:05.123456'"},
	{lockbox.Time, "time", "time(6)", "time", "'03:04:05.123456'"},
	{lockbox.Inet, "inet", "varchar(50)", "varchar", "'192.168.1.0/24'"},
	{lockbox.JSON, "jsonb", "json", "json", `'{"b":9007199254740993,"aa":1.50}'`}, // which no float64 holds; and jsonb has another order
}

const people = 23

// newPeople makes a table with people, whose values are all plain.
func newPeople(w *world) *rowseal.Table {
	w.Helper()
	columns, names, values := "id BIGINT PRIMARY KEY, encrypted_kms_key TEXT", "id", ""
	schema := rowseal.Schema{Table: "people", Model: "Person", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}}}
	for _, p := range personTypes {
		typ := map[string]string{"PostgreSQL": p.pg, "MariaDB": p.my, "SQLite": p.li}[w.d.Name]
		columns += fmt.Sprintf(", plain_%s %s, %[1]s_ciphertext TEXT", p.typ, typ)
		names += ", plain_" + string(p.typ)
		value := p.value
		switch {
		case p.typ == lockbox.Binary:
			value = map[string]string{"PostgreSQL": `'\x00ff80'`, "MariaDB": `x'00ff80'`, "SQLite": `x'00ff80'`}[w.d.Name]
		case p.typ == lockbox.Decimal && w.d.Name == "SQLite": // where the digits are what was written, and not what the column says
			value = "'123456789012345678.01'"
		case p.typ == lockbox.Boolean && w.d.Name == "PostgreSQL":
			value = "true"
		}
		values += ", " + value
		schema.Fields = append(schema.Fields, rowseal.Field{Column: string(p.typ) + "_ciphertext", Type: p.typ})
	}
	w.exec("CREATE TABLE people (" + columns + ")")
	for id := range people {
		w.exec(fmt.Sprintf("INSERT INTO people (%s) VALUES (%d%s)", names, id+1, values))
	}
	w.exec(`UPDATE people SET plain_string = '' WHERE id = 3`)
	w.exec(`UPDATE people SET plain_string = NULL, plain_date = NULL WHERE id = 4`)
	table, err := rowseal.NewTable(schema, w.first, nil)
	w.must(err)
	return table
}

func peopleMoves() (moves []sweep.Move) {
	for _, p := range personTypes {
		moves = append(moves, sweep.Move{From: "plain_" + string(p.typ), To: string(p.typ) + "_ciphertext"})
	}
	return moves
}

// plain is what the plain columns hold, as text.
func (w *world) plain() string {
	w.Helper()
	text := ""
	for id := range people {
		for _, p := range personTypes {
			text += w.one(fmt.Sprintf("SELECT plain_%s FROM people WHERE id = %d", p.typ, id+1)) + "|"
		}
		text += "\n"
	}
	return text
}

func (w *world) migrate(table *rowseal.Table, step *sweep.MigrateStep) sweep.Status {
	w.Helper()
	if step.Moves == nil {
		step.Moves = peopleMoves()
	}
	status, err := sweep.Run(w.Context(), w.db, table.Rows(), step, &sweep.Options{Page: 10, MaxFailures: -1})
	w.must(err)
	return status
}

func TestEachTypeMovesIntoASealedColumnAndBack(t *testing.T) {
	onEach(t, func(w *world) {
		table := newPeople(w)
		before := w.plain()
		w.old.Reset()
		if status := w.migrate(table, &sweep.MigrateStep{}); status.Changed != people || status.Quarantined != 0 {
			w.Fatalf("forward: %+v", status)
		}
		if n := w.old.Requests(kms.OpEncrypt); n != 3 || w.old.Requests(kms.OpDecrypt) != 0 {
			w.Errorf("%d requests", n)
		}
		if after := w.plain(); after != before {
			w.Errorf("the plain columns were\n%sand are\n%s", before, after)
		}
		w.old.Reset()
		if status := w.migrate(table, &sweep.MigrateStep{}); status.Changed != 0 || status.Requests != 0 {
			w.Errorf("again: %+v", status)
		}
		if status := w.migrate(table, &sweep.MigrateStep{Clear: true}); status.Changed != people || status.Quarantined != 0 {
			w.Fatalf("clear: %+v", status)
		}
		if strings.Trim(w.plain(), "|\n") != "" {
			w.Errorf("the plain columns still have\n%s", w.plain())
		}
		if status := w.migrate(table, &sweep.MigrateStep{Back: true}); status.Changed != people || status.Quarantined != 0 {
			w.Fatalf("back: %+v", status)
		}
		if after := w.plain(); after != before {
			w.Errorf("the plain columns were\n%sand are\n%s", before, after)
		}
		if status := w.migrate(table, &sweep.MigrateStep{Back: true, Clear: true}); status.Changed != people || status.Quarantined != 0 {
			w.Fatalf("clear what is sealed: %+v", status)
		}
		if n := w.one(`SELECT count(*) FROM people WHERE string_ciphertext IS NOT NULL OR date_ciphertext IS NOT NULL`); n != "0" {
			w.Errorf("%s rows are still sealed", n)
		}
	})
}

func TestNothingIsClearedThatIsNotSealed(t *testing.T) {
	onEach(t, func(w *world) {
		table := newPeople(w)
		moves := []sweep.Move{{From: "plain_string", To: "string_ciphertext"}}
		if status := w.migrate(table, &sweep.MigrateStep{Moves: moves, Clear: true}); status.Changed != 0 || status.Quarantined != people-1 {
			w.Errorf("not moved: %+v", status)
		}
		w.migrate(table, &sweep.MigrateStep{Moves: moves})
		w.exec(`UPDATE people SET plain_string = 'changed by an old process' WHERE id = 5`)
		status := w.migrate(table, &sweep.MigrateStep{Moves: moves, Clear: true})
		if status.Quarantined != 1 || status.Failures[0].Key != "5" || strings.Contains(status.Failures[0].Reason, "old process") {
			w.Errorf("%+v", status)
		}
		if got := w.one(`SELECT plain_string FROM people WHERE id = 5`); got != "changed by an old process" {
			w.Errorf("it is %q", got)
		}
		if status := w.migrate(table, &sweep.MigrateStep{Moves: moves, Compare: true}); status.Changed != 1 {
			w.Errorf("compare: %+v", status)
		}
		if status := w.migrate(table, &sweep.MigrateStep{Moves: moves, Clear: true}); status.Changed != 1 || status.Quarantined != 0 {
			w.Errorf("clear: %+v", status)
		}
	})
}

func TestAFieldOfAttrEncryptedMovesUnderADataKey(t *testing.T) {
	onEach(t, func(w *world) {
		w.exec(`CREATE TABLE people (id BIGINT PRIMARY KEY, encrypted_kms_key TEXT, encrypted_ssn TEXT, encrypted_ssn_iv TEXT, name_ciphertext TEXT, ssn_ciphertext TEXT, own_name_ciphertext TEXT)`)
		master, err := rowseal.NewMasterKey([]byte(strings.Repeat("k", 32)))
		w.must(err)
		fixed, err := rowseal.NewFixedKey([]byte(strings.Repeat("f", 32)))
		w.must(err)
		schema := rowseal.Schema{
			Table: "people", Model: "Person", PrimaryKey: "id", Binding: rowseal.BindNone, Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}}, MasterKeys: []string{"fixed", "lockbox"},
			Fields: []rowseal.Field{
				{Column: "encrypted_ssn", IV: "encrypted_ssn_iv", Key: "fixed", AttrEncrypted: &attrencrypted.Options{}},
				{Column: "name_ciphertext", Key: "lockbox"},
				{Column: "ssn_ciphertext"}, {Column: "own_name_ciphertext"},
			},
		}
		table, err := rowseal.NewTable(schema, w.first, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{"lockbox": master, "fixed": fixed}})
		w.must(err)
		for id := range 12 {
			r, err := table.Record(map[string]any{"id": int64(id + 1)})
			w.must(err)
			w.must(r.Set("encrypted_ssn", fmt.Sprintf("ssn %d", id+1)))
			w.must(r.Set("name_ciphertext", fmt.Sprintf("name %d", id+1)))
			w.must(table.Seal(w.Context(), r))
			sealed, err := r.Sealed()
			w.must(err)
			w.exec(fmt.Sprintf(`INSERT INTO people (id, encrypted_ssn, encrypted_ssn_iv, name_ciphertext) VALUES (%d, %s, %s, %s)`, id+1,
				w.db.Placeholder(1), w.db.Placeholder(2), w.db.Placeholder(3)), sealed["encrypted_ssn"], sealed["encrypted_ssn_iv"], sealed["name_ciphertext"])
		}
		moves := []sweep.Move{{From: "encrypted_ssn", To: "ssn_ciphertext"}, {From: "name_ciphertext", To: "own_name_ciphertext"}}
		before := w.one(`SELECT min(encrypted_ssn) FROM people`)
		for _, step := range []*sweep.MigrateStep{{Moves: moves}, {Moves: moves, Clear: true}} {
			if status := w.migrate(table, step); status.Changed != 12 || status.Quarantined != 0 {
				w.Fatalf("%+v", status)
			}
		}
		if n := w.one(`SELECT count(*) FROM people WHERE encrypted_ssn IS NOT NULL OR encrypted_ssn_iv IS NOT NULL OR name_ciphertext IS NOT NULL`); n != "0" {
			w.Errorf("%s rows still have the old columns", n)
		}
		if status := w.migrate(table, &sweep.MigrateStep{Moves: moves, Back: true}); status.Changed != 12 {
			w.Errorf("back: %+v", status)
		}
		if w.one(`SELECT min(encrypted_ssn) FROM people`) == before {
			w.Error("it is sealed with the same IV")
		}
		if failures := w.verifyTable(table); len(failures) != 0 {
			w.Errorf("%v", failures)
		}
	})
}

func (w *world) verifyTable(table *rowseal.Table) []sweep.Failure {
	w.Helper()
	status, err := sweep.Run(w.Context(), w.db, table.Rows(), &sweep.VerifyStep{}, nil)
	w.must(err)
	return status.Failures
}

func TestWhatCannotBeMovedIsRefused(t *testing.T) {
	onEach(t, func(w *world) {
		table := newPeople(w)
		w.exec(`DELETE FROM people WHERE id > 1`)
		w.exec(`ALTER TABLE people ADD COLUMN always VARCHAR(10) NOT NULL DEFAULT 'x'`)
		w.exec(`ALTER TABLE people ADD COLUMN needed_ciphertext VARCHAR(100) NOT NULL DEFAULT 'x'`)
		if w.d.Name == "SQLite" { // which adds no column that it stores
			w.exec(`ALTER TABLE people ADD COLUMN made TEXT GENERATED ALWAYS AS (plain_string)`)
		} else {
			w.exec(`ALTER TABLE people ADD COLUMN made VARCHAR(100) GENERATED ALWAYS AS (plain_string) STORED`)
		}
		schema := table.Schema()
		schema.Fields = append(schema.Fields, rowseal.Field{Column: "needed_ciphertext"})
		table, err := rowseal.NewTable(schema, w.first, nil)
		w.must(err)
		if w.d.Name == "MariaDB" {
			w.exec(`ALTER TABLE people ADD COLUMN six_digits FLOAT`)
			_, err := sweep.Run(w.Context(), w.db, table.Rows(), &sweep.MigrateStep{Moves: []sweep.Move{{From: "six_digits", To: "float_ciphertext"}}}, nil)
			if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), "DOUBLE") {
				w.Error(err)
			}
		}
		w.exec(`UPDATE people SET needed_ciphertext = ''`)
		for _, c := range []struct {
			step *sweep.MigrateStep
			want string
		}{
			{&sweep.MigrateStep{}, "nothing is to be moved"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "plain_string", To: "plain_date"}}}, "plain_date is no sealed column"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "nowhere", To: "string_ciphertext"}}}, "the table has no column nowhere"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "id", To: "string_ciphertext"}}}, "id is in the encryption context"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "encrypted_kms_key", To: "string_ciphertext"}}}, "belongs to a sealed column"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "date_ciphertext", To: "string_ciphertext"}}}, "the one has the type date and the other string"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "string_ciphertext", To: "string_ciphertext"}}, Clear: true}, "only once"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "plain_string", To: "string_ciphertext"}, {From: "plain_date", To: "string_ciphertext"}}}, "only once"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "plain_string", To: "string_ciphertext"}, {From: "plain_string", To: "binary_ciphertext"}}, Back: true}, "only once"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "always", To: "string_ciphertext"}}, Clear: true}, "always is NOT NULL"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "plain_string", To: "needed_ciphertext"}}, Back: true, Clear: true}, "needed_ciphertext is NOT NULL"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "made", To: "string_ciphertext"}}, Clear: true}, "made is made by the database"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "made", To: "string_ciphertext"}}, Back: true}, "made is made by the database"},
			{&sweep.MigrateStep{Moves: []sweep.Move{{From: "plain_string", To: "string_ciphertext"}}, Clear: true, Compare: true}, "two passes"},
		} {
			_, err := sweep.Run(w.Context(), w.db, table.Rows(), c.step, nil)
			if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), c.want) {
				w.Errorf("%v\nwant %s", err, c.want)
			}
		}
		_, err = sweep.Run(w.Context(), w.db, w.patients(w.first).Rows(), &sweep.MigrateStep{Moves: peopleMoves()}, nil)
		if err == nil || !strings.Contains(err.Error(), "takes the Records") {
			w.Error(err)
		}
		status := w.migrate(table, &sweep.MigrateStep{Moves: []sweep.Move{{From: "plain_string", To: "integer_ciphertext"}}})
		if status.Quarantined != 1 || strings.Contains(fmt.Sprint(status.Failures), "Grüße") {
			w.Errorf("%+v", status)
		}
	})
}

// TestAnApplicationWritesBothColumnsMeanwhile: in the end every sealed value is the plain one.
func TestAnApplicationWritesBothColumnsMeanwhile(t *testing.T) {
	onEach(t, func(w *world) {
		table := newPeople(w)
		moves := []sweep.Move{{From: "plain_string", To: "string_ciphertext"}}
		stop, done := time.Now().Add(3*time.Second), make(chan error, 2)
		go func() { done <- w.writeBoth(table, stop) }()
		go func() { done <- w.writePlain(stop) }()
		for time.Now().Before(stop) {
			w.migrate(table, &sweep.MigrateStep{Moves: moves})
		}
		w.must(<-done)
		w.must(<-done)
		w.migrate(table, &sweep.MigrateStep{Moves: moves})
		if status := w.migrate(table, &sweep.MigrateStep{Moves: moves, Clear: true}); status.Quarantined != 0 {
			w.Errorf("%+v", status)
		}
	})
}

// writeBoth changes rows as an application does that is being migrated.
func (w *world) writeBoth(table *rowseal.Table, stop time.Time) error {
	for n := 0; time.Now().Before(stop); n++ {
		id := 1 + n%15
		var key, sealed any
		query := fmt.Sprintf(`SELECT encrypted_kms_key, string_ciphertext FROM people WHERE id = %d`, id)
		if err := w.sql.QueryRowContext(w.Context(), query).Scan(&key, &sealed); err != nil {
			return err
		}
		r, err := table.Record(map[string]any{"id": int64(id), "encrypted_kms_key": key, "string_ciphertext": sealed})
		if err != nil {
			return err
		}
		value := fmt.Sprintf("value %d", n)
		if err := r.Set("string_ciphertext", value); err != nil {
			return err
		}
		if err := table.Seal(w.Context(), r); err != nil {
			return err
		}
		all, err := r.Sealed()
		if err != nil {
			return err
		}
		same := `encrypted_kms_key = ` + w.db.Placeholder(4)
		args := []any{value, all["string_ciphertext"], all["encrypted_kms_key"], key}
		if key == nil {
			same, args = `encrypted_kms_key IS NULL`, args[:3]
		}
		query = fmt.Sprintf(`UPDATE people SET plain_string = %s, string_ciphertext = %s, encrypted_kms_key = %s WHERE id = %d AND `, w.db.Placeholder(1), w.db.Placeholder(2),
			w.db.Placeholder(3), id)
		if _, err := w.sql.ExecContext(w.Context(), query+same, args...); err != nil {
			return err
		}
	}
	return nil
}

// writePlain changes rows as a process does that knows the sealed column only as one to be emptied.
func (w *world) writePlain(stop time.Time) error {
	for n := 0; time.Now().Before(stop); n++ {
		query := fmt.Sprintf(`UPDATE people SET plain_string = 'plain %d', string_ciphertext = NULL WHERE id = %d`, n, 16+n%(people-15))
		if _, err := w.sql.ExecContext(w.Context(), query); err != nil {
			return err
		}
	}
	return nil
}
