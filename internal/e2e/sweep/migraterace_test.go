package sweep_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/sweep"
)

// meddled is a MigrateStep beside which somebody changes rows after they were read, and before they are written.
type meddled struct {
	*sweep.MigrateStep
	meddle func()
}

func (m *meddled) Do(ctx context.Context, rows []*sweep.Row) error {
	err := m.MigrateStep.Do(ctx, rows)
	if meddle := m.meddle; meddle != nil {
		m.meddle = nil
		meddle()
	}
	return err
}

// newLetters makes a table with a letter, which is to be moved.
func newLetters(w *world) *rowseal.Table {
	w.Helper()
	w.exec(`CREATE TABLE letters (id BIGINT PRIMARY KEY, encrypted_kms_key TEXT, plain VARCHAR(100), sealed_ciphertext TEXT)`)
	w.exec(`INSERT INTO letters (id, plain) VALUES (1, 'old')`)
	table, err := rowseal.NewTable(rowseal.Schema{
		Table: "letters", Model: "Letter", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}}, Fields: []rowseal.Field{{Column: "sealed_ciphertext"}},
	}, w.first, nil)
	w.must(err)
	return table
}

// letter is what the letter holds: the plain column, and what the sealed one opens to; "" for NULL.
func (w *world) letter(table *rowseal.Table) (plain, sealed string) {
	w.Helper()
	r := w.loadLetter(table)
	w.must(table.Open(w.Context(), r))
	v, err := r.Get("sealed_ciphertext")
	w.must(err)
	sealed, _ = v.(string)
	return w.one(`SELECT plain FROM letters`), sealed
}

func (w *world) loadLetter(table *rowseal.Table) *rowseal.Record {
	w.Helper()
	var key, sealed any
	w.must(w.sql.QueryRowContext(w.Context(), `SELECT encrypted_kms_key, sealed_ciphertext FROM letters`).Scan(&key, &sealed))
	r, err := table.Record(map[string]any{"id": int64(1), "encrypted_kms_key": key, "sealed_ciphertext": sealed})
	w.must(err)
	return r
}

// seal writes the sealed column, and beside it what else is said in SQL; afresh: under a new data key, as a process does that has read
// the row when it had none.
func (w *world) seal(table *rowseal.Table, value, beside string, afresh bool) {
	w.Helper()
	r := w.loadLetter(table)
	if afresh {
		table.Clear(r)
	}
	w.must(r.Set("sealed_ciphertext", value))
	w.must(table.Seal(w.Context(), r))
	all, err := r.Sealed()
	w.must(err)
	w.exec(`UPDATE letters SET encrypted_kms_key = `+w.db.Placeholder(1)+`, sealed_ciphertext = `+w.db.Placeholder(2)+beside, all["encrypted_kms_key"], all["sealed_ciphertext"])
}

// TestWhatOthersWriteMeanwhileIsNotLost: between the moment in which a row is read and that in which it is written, others write it.
func TestWhatOthersWriteMeanwhileIsNotLost(t *testing.T) {
	forward, compare, clear := sweep.MigrateStep{}, sweep.MigrateStep{Compare: true}, sweep.MigrateStep{Clear: true}
	back, backCompare, backClear := sweep.MigrateStep{Back: true}, sweep.MigrateStep{Back: true, Compare: true}, sweep.MigrateStep{Back: true, Clear: true}
	for _, c := range []struct {
		name          string
		step          sweep.MigrateStep
		before        func(w *world, table *rowseal.Table)
		meddle        func(w *world, table *rowseal.Table)
		plain, sealed string // in the end
		quarantined   int64
	}{
		{"forward, and the plain column is written", forward, plainly("old"), plainly("new"), "new", "new", 0},
		{"forward, and the plain column becomes NULL", forward, plainly("old"), plainly(""), "", "", 0},
		{"forward, and both are written", forward, plainly("old"), sealing("new", ", plain = 'new'"), "new", "new", 0},
		{"forward, and the sealed one is written", forward, plainly("old"), sealing("new", ""), "old", "new", 0},
		{"forward, and the sealed one is written with the plain one NULL", forward, plainly("old"), sealing("new", ", plain = NULL"), "", "new", 0},
		{"compare, and both are written", compare, sealing("older", ""), sealing("new", ", plain = 'new'"), "new", "new", 0},
		{"compare, and the plain column is written", compare, sealing("older", ""), plainly("new"), "new", "new", 0},
		{"clear, and the plain column is written", clear, sealing("old", ""), plainly("new"), "new", "old", 1},
		{"clear, and the plain column changes its case", clear, sealing("old", ""), plainly("OLD"), "OLD", "old", 1},
		{"clear, and the sealed one is written", clear, sealing("old", ""), sealing("new", ""), "old", "new", 1},
		{"clear, and the sealed one becomes NULL", clear, sealing("old", ""), func(w *world, _ *rowseal.Table) { w.exec(`UPDATE letters SET sealed_ciphertext = NULL`) }, "old", "", 1},
		{"clear, and both are written", clear, sealing("old", ""), sealing("new", ", plain = 'new'"), "", "new", 0},
		{"clear, and the data key is replaced", clear, sealing("old", ""), rekeying, "old", "", 1},
		{"back, and the sealed one is written", back, sealing("old", ", plain = NULL"), sealing("new", ""), "new", "new", 0},
		{"back, and the plain column is written", back, sealing("old", ", plain = NULL"), plainly("new"), "new", "old", 0},
		{"back and compare, and both are written", backCompare, sealing("older", ""), sealing("new", ", plain = 'new'"), "new", "new", 0},
		{"back and clear, and the plain column is written", backClear, sealing("old", ""), plainly("new"), "new", "old", 1},
		{"back and clear, and the sealed one is written", backClear, sealing("old", ""), sealing("new", ""), "old", "new", 1},
		{"back and clear, and the plain column becomes NULL", backClear, sealing("old", ""), plainly(""), "", "old", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(w *world) {
				table := newLetters(w)
				c.before(w, table)
				step := c.step
				step.Moves = []sweep.Move{{From: "plain", To: "sealed_ciphertext"}}
				status, err := sweep.Run(w.Context(), w.db, table.Rows(), &meddled{&step, func() { c.meddle(w, table) }}, nil)
				w.must(err)
				if status.Quarantined != c.quarantined || status.Conflicts == 0 {
					w.Errorf("%+v", status)
				}
				if strings.HasSuffix(c.name, "key is replaced") {
					c.sealed = ""
					w.exec(`UPDATE letters SET sealed_ciphertext = NULL`) // which nobody can open
				}
				if plain, sealed := w.letter(table); plain != c.plain || sealed != c.sealed {
					w.Errorf("there are %q and %q, want %q and %q", plain, sealed, c.plain, c.sealed)
				}
			})
		})
	}
}

// plainly writes the plain column, "" for NULL.
func plainly(value string) func(*world, *rowseal.Table) {
	return func(w *world, _ *rowseal.Table) {
		if value == "" {
			w.exec(`UPDATE letters SET plain = NULL`)
			return
		}
		w.exec(`UPDATE letters SET plain = '` + value + `'`)
	}
}

func sealing(value, beside string) func(*world, *rowseal.Table) {
	return func(w *world, table *rowseal.Table) { w.seal(table, value, beside, false) }
}

// rekeying is somebody who does not know the field, and gives the row a new data key.
func rekeying(w *world, table *rowseal.Table) {
	before := w.one(`SELECT sealed_ciphertext FROM letters`)
	w.seal(table, "another", "", true)
	w.exec(`UPDATE letters SET sealed_ciphertext = `+w.db.Placeholder(1), before)
}

// TestAMigrationThatIsStoppedAtAnyMomentGoesOn: in the end everything is moved, and once more back.
func TestAMigrationThatIsStoppedAtAnyMomentGoesOn(t *testing.T) {
	onEach(t, func(w *world) {
		table := newPeople(w)
		before := w.plain()
		for _, step := range []sweep.MigrateStep{{}, {Clear: true}, {Back: true}, {Back: true, Clear: true}} {
			step.Moves = peopleMoves()
			for done, stops := false, 0; !done; stops++ {
				ctx, cancel := context.WithTimeout(w.Context(), time.Duration(rand.IntN(5*(stops+1)))*time.Millisecond) // longer each time, so that it ends
				status, err := sweep.Run(ctx, w.db, table.Rows(), &step, &sweep.Options{Page: 3, Lease: 100 * time.Millisecond})
				cancel()
				if done = err == nil; !done && ctx.Err() == nil {
					w.Fatal(err)
				}
				if status.Quarantined != 0 {
					w.Fatalf("%+v", status)
				}
			}
		}
		if after := w.plain(); after != before {
			w.Errorf("the plain columns were\n%sand are\n%s", before, after)
		}
		if n := w.one(`SELECT count(*) FROM people WHERE string_ciphertext IS NOT NULL`); n != "0" {
			w.Errorf("%s rows are still sealed", n)
		}
	})
}

// TestAnIndexMovesWithItsField, and no data key is opened but that of the field.
func TestAnIndexMovesWithItsField(t *testing.T) {
	onEach(t, func(w *world) {
		w.exec(`CREATE TABLE members (id BIGINT PRIMARY KEY, email VARCHAR(100), encrypted_kms_key TEXT, email_ciphertext TEXT, email_bidx VARCHAR(64), ` +
			`encrypted_kms_key_phone TEXT, phone_ciphertext TEXT)`)
		// The phone's data key is one that opens nothing: whoever asks the KMS for it fails.
		w.exec(`INSERT INTO members (id, email, encrypted_kms_key_phone, phone_ciphertext) VALUES (1, 'ada@example.org', 'v1:AAAA', 'AAAA')`)
		master, err := rowseal.NewMasterKey([]byte(strings.Repeat("i", 32)))
		w.must(err)
		table, err := rowseal.NewTable(rowseal.Schema{
			Table: "members", Model: "Member", PrimaryKey: "id",
			Keys:    []rowseal.KeyColumn{{Column: "encrypted_kms_key"}, {Column: "encrypted_kms_key_phone", Name: "phone"}},
			Fields:  []rowseal.Field{{Column: "email_ciphertext"}, {Column: "phone_ciphertext", Key: "phone"}},
			Indexes: []rowseal.Index{{Column: "email_bidx", Of: []string{"email_ciphertext"}, Options: blindindex.Options{Algorithm: blindindex.HMACSHA256}}},
		}, w.first, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: master}})
		w.must(err)
		want, err := table.Lookup(w.Context(), "email_bidx", "ada@example.org")
		w.must(err)
		for _, step := range []sweep.MigrateStep{{}, {Compare: true}, {Clear: true}, {Back: true}, {Back: true, Clear: true}} {
			step.Moves = []sweep.Move{{From: "email", To: "email_ciphertext"}}
			status := w.migrate(table, &step)
			if status.Quarantined != 0 || (status.Changed == 1) == step.Compare {
				w.Fatalf("%+v: %+v", step, status)
			}
			index := w.one(`SELECT email_bidx FROM members`)
			if gone := step.Back && step.Clear; gone && index != "" || !gone && index != fmt.Sprint(want[0]) {
				w.Errorf("back %t, clear %t: the index is %q, want %v", step.Back, step.Clear, index, want)
			}
		}
	})
}

// TestJSONMovesBetweenFieldsAsItIs: also between sealed columns.
func TestJSONMovesBetweenFieldsAsItIs(t *testing.T) {
	onEach(t, func(w *world) {
		w.exec(`CREATE TABLE notes (id BIGINT PRIMARY KEY, encrypted_kms_key TEXT, old_ciphertext TEXT, new_ciphertext TEXT)`)
		master, err := rowseal.NewMasterKey([]byte(strings.Repeat("k", 32)))
		w.must(err)
		schema := rowseal.Schema{
			Table: "notes", Model: "Note", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}}, MasterKeys: []string{"lockbox"},
			Fields: []rowseal.Field{{Column: "old_ciphertext", Key: "lockbox", Type: "json"}, {Column: "new_ciphertext", Type: "json"}},
		}
		opts := &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{"lockbox": master}}
		table, err := rowseal.NewTable(schema, w.first, opts)
		w.must(err)
		for i := range schema.Fields {
			schema.Fields[i].Type = "string"
		}
		text, err := rowseal.NewTable(schema, w.first, opts)
		w.must(err)
		const value = `{"b":9007199254740993,"a":1.0}`
		r, err := text.Record(map[string]any{"id": int64(1)})
		w.must(err)
		w.must(r.Set("old_ciphertext", value))
		w.must(text.Seal(w.Context(), r))
		sealed, err := r.Sealed()
		w.must(err)
		w.exec(`INSERT INTO notes (id, old_ciphertext) VALUES (1, `+w.db.Placeholder(1)+`)`, sealed["old_ciphertext"])
		for _, step := range []sweep.MigrateStep{{}, {Clear: true}} {
			step.Moves = []sweep.Move{{From: "old_ciphertext", To: "new_ciphertext"}}
			if status := w.migrate(table, &step); status.Changed != 1 {
				w.Fatalf("%+v", status)
			}
		}
		var key, moved any
		w.must(w.sql.QueryRowContext(w.Context(), `SELECT encrypted_kms_key, new_ciphertext FROM notes WHERE old_ciphertext IS NULL`).Scan(&key, &moved))
		r, err = text.Record(map[string]any{"id": int64(1), "encrypted_kms_key": key, "new_ciphertext": moved})
		w.must(err)
		w.must(text.Open(w.Context(), r))
		if got, err := r.Get("new_ciphertext"); got != value || err != nil {
			w.Errorf("%v, %v", got, err)
		}
	})
}

// TestAFieldThatDoesNotOpenIsLeftAlone: neither is it written over, nor is the column cleared from which its value came.
func TestAFieldThatDoesNotOpenIsLeftAlone(t *testing.T) {
	onEach(t, func(w *world) {
		table := newLetters(w)
		w.seal(table, "old", "", false)
		rekeying(w, table)
		for _, step := range []sweep.MigrateStep{{Compare: true}, {Clear: true}, {Back: true, Compare: true}, {Back: true, Clear: true}} {
			step.Moves = []sweep.Move{{From: "plain", To: "sealed_ciphertext"}}
			if status := w.migrate(table, &step); status.Changed != 0 || status.Quarantined != 1 {
				w.Errorf("%+v: %+v", step, status)
			}
		}
		if got := w.one(`SELECT plain FROM letters WHERE sealed_ciphertext IS NOT NULL`); got != "old" {
			w.Errorf("it is %q", got)
		}
	})
}
