package activestorage

import (
	"database/sql"
	"maps"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// A Table has what a Model has, from its Schema alone.
func TestATableReadsWritesAndRotatesTheSameAttachments(t *testing.T) {
	table, err := rowseal.NewTable(users.Schema(), ring, &rowseal.Options{MasterKeys: options.MasterKeys})
	must(t, err)
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		a := newApp(t, d, activestorage.Options{})
		tableBox := func(t testing.TB, a *app, userID int64, name string) activestorage.Box {
			t.Helper()
			box, err := table.Box(t.Context(), a.record(t, table, userID), name)
			must(t, err)
			return box
		}
		n := 0
		for _, row := range expected.Rows {
			found := a.load(t, row.ID)
			for _, name := range []string{"license", "documents", "avatar"} {
				n += a.compare(t, tableBox, row.ID, name, found.Of(row.ID, name))
			}
		}
		if n != 14 {
			t.Errorf("%d attachments of 14", n)
		}

		a.attach(t, 3, "documents", textFile("more.txt", "more"), tableBox(t, a, 3, "documents"))
		a.attach(t, 3, "avatar", textFile("new.txt", "new"), tableBox(t, a, 3, "avatar"))
		before := a.readAll(t)
		if before["3/documents/more.txt"] != "more" || before["3/avatar/new.txt"] != "new" || len(before) != 16 {
			t.Errorf("the second reader sees %d files", len(before))
		}
		old := a.rowBox(t, 3)
		record := a.record(t, table, 3)
		must(t, a.inTx(t, func(tx *sql.Tx, change *activestorage.Change) error {
			err := table.RekeyWith(t.Context(), record, func(name string, from, to *rowseal.FileBox) error {
				return change.ResealAll(t.Context(), user(3), name, from, to)
			})
			if err != nil {
				return err
			}
			columns, err := record.Sealed()
			must(t, err)
			_, err = tx.ExecContext(t.Context(), spell(a.dialect, "UPDATE users SET encrypted_kms_key = ? WHERE id = 3"), columns["encrypted_kms_key"])
			return err
		}))
		must(t, table.Committed(t.Context(), record))
		if !maps.Equal(a.readAll(t), before) || len(a.strays(t)) != 0 {
			t.Errorf("rotated, it leaves %v", a.strays(t))
		}
		license, _ := a.load(t, 3).One(3, "license")
		if _, err := a.files.Open(t.Context(), license, old); err == nil {
			t.Error("it still opens under the old key")
		}
	})
}

func (a *app) record(t testing.TB, table *rowseal.Table, userID int64) *rowseal.Record {
	t.Helper()
	var key any
	must(t, a.queryRow(t, "SELECT encrypted_kms_key FROM users WHERE id = ?", userID).Scan(&key))
	record, err := table.Record(map[string]any{"id": userID, "encrypted_kms_key": key})
	must(t, err)
	return record
}
