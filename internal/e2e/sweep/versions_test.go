package sweep_test

import (
	"fmt"
	"testing"

	"github.com/rowseal/rowseal/sweep"
)

func TestVersionsAreCountedByKeyColumn(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 30)
		rekeyed := sweep.Options{Where: "id <= 10"}
		_, err := sweep.Rekey(w.Context(), w.db, w.patients(w.both), &rekeyed)
		w.must(err)
		w.exec(`UPDATE patients SET encrypted_kms_key = NULL WHERE id = 11`)
		w.exec(`UPDATE patients SET encrypted_kms_key_phone = 'v7:AAAA' WHERE id = 12`)
		w.exec(`UPDATE patients SET encrypted_kms_key_phone = 'vault:v1:AAAA' WHERE id = 13`)
		w.exec(`UPDATE patients SET encrypted_kms_key_phone = '' WHERE id = 14`)
		v, err := sweep.CountVersions(w.Context(), w.db, w.patients(w.both).Rows(), "", false)
		w.must(err)
		got := ""
		for _, c := range v.Counts {
			id := "none"
			if c.Key != nil {
				id = c.Key.ID()
			}
			got += fmt.Sprintf("%s v%d %s: %d and %d, %t\n", c.Column, c.Version, id, c.Rows, c.Journal, c.Current)
		}
		want := `encrypted_kms_key v2 new: 10 and 0, true
encrypted_kms_key v1 old: 19 and 10, false
encrypted_kms_key_phone v2 new: 10 and 0, true
encrypted_kms_key_phone v1 old: 17 and 10, false
encrypted_kms_key_phone v0 none: 1 and 0, false
encrypted_kms_key_phone v7 none: 1 and 0, false
`
		if got != want || v.Rows != 30 || v.Keyless[0] != 1 || v.Keyless[1] != 1 || v.Estimated {
			w.Errorf("%+v\n%s", v, got)
		}
		some, err := sweep.CountVersions(w.Context(), w.db, w.patients(w.both).Only("phone").Rows(), "id < 5", false)
		w.must(err)
		if some.Rows != 4 || len(some.Columns) != 1 || some.Columns[0] != "encrypted_kms_key_phone" {
			w.Errorf("%+v", some)
		}
	})
}

func TestAVersionInBytesIsCounted(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 3)
		switch w.d.Name {
		case "PostgreSQL":
			w.exec(`ALTER TABLE patients ALTER COLUMN encrypted_kms_key TYPE bytea USING convert_to(encrypted_kms_key, 'UTF8')`)
		case "MariaDB":
			w.exec(`ALTER TABLE patients MODIFY encrypted_kms_key BLOB`)
		default:
			w.exec(`UPDATE patients SET encrypted_kms_key = CAST(encrypted_kms_key AS BLOB)`)
		}
		v, err := sweep.CountVersions(w.Context(), w.db, w.patients(w.both).Rows(), "", false)
		w.must(err)
		if v.Counts[1].Version != 1 || v.Counts[1].Rows != 3 {
			w.Errorf("%+v", v)
		}
	})
}
