package integration_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/internal/e2e/integration"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/sqlseal"
)

// Patient has three sealed fields, Plain the same values in plaintext, and Text what a Patient's columns hold.
type Patient struct {
	ID              int64                  `db:"id"`
	Name            string                 `db:"name" gorm:"size:100"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	Email           rowseal.Sealed[string] `db:"email_ciphertext"`
	Phone           rowseal.Sealed[string] `db:"phone_ciphertext"`
	Notes           rowseal.Sealed[string] `db:"notes_ciphertext"`
}

type Plain struct {
	ID    int64
	Name  string `gorm:"size:100"`
	Email string
	Phone string
	Notes string
}

type Text struct {
	ID              int64
	Name            string `gorm:"size:100"`
	EncryptedKMSKey string
	EmailCiphertext string
	PhoneCiphertext string
	NotesCiphertext string
}

const (
	benchRows = 1000
	notes     = "sixty-four bytes, which is what a note of that length would take"
)

func newPatients() []*Patient {
	all := make([]*Patient, benchRows)
	for i := range all {
		p := &Patient{Name: "Ada"}
		p.Email.Set(fmt.Sprintf("ada.lovelace.%d@example.org", i))
		p.Phone.Set("+44 20 7946 0018")
		p.Notes.Set(notes)
		all[i] = p
	}
	return all
}

func newPlain() []*Plain {
	all := make([]*Plain, benchRows)
	for i := range all {
		all[i] = &Plain{Name: "Ada", Email: fmt.Sprintf("ada.lovelace.%d@example.org", i), Phone: "+44 20 7946 0018", Notes: notes}
	}
	return all
}

// newTexts have what sealed Patients have.
func newTexts(patients []*Patient) []*Text {
	all := make([]*Text, benchRows)
	for i, p := range patients {
		all[i] = &Text{Name: p.Name, EncryptedKMSKey: p.EncryptedKMSKey.Wrapped(), EmailCiphertext: p.Email.Ciphertext(),
			PhoneCiphertext: p.Phone.Ciphertext(), NotesCiphertext: p.Notes.Ciphertext()}
	}
	return all
}

// ward is a database with a table of each.
type ward struct {
	*testing.B
	d      dbtest.Database
	dsn    string
	gorm   *gorm.DB
	model  *rowseal.Model[Patient]
	sealed *gorm.DB // the same pool with the plugin
}

func eachWard(b *testing.B, run func(w *ward)) {
	for _, d := range dbtest.All() {
		b.Run(d.Name, func(b *testing.B) {
			w := &ward{B: b, d: d, dsn: d.New(b), model: newPatientModel(b)}
			w.gorm = gormtest.OpenDSN(b, d, w.dsn, nil)
			w.sealed = gormtest.OpenDSN(b, d, w.dsn, nil)
			must(b, w.sealed.Use(gormseal.New(w.model)))
			must(b, w.sealed.AutoMigrate(&Patient{}))
			must(b, w.gorm.AutoMigrate(&Plain{}, &Text{}))
			run(w)
		})
	}
}

func newPatientModel(b *testing.B) *rowseal.Model[Patient] {
	store := localkms.Store{Dir: filepath.Join(b.TempDir(), "keys")}
	must(b, store.Create(b.Context(), "patients"))
	service, err := store.Open("patients")
	must(b, err)
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(service, nil)})
	must(b, err)
	m, err := rowseal.NewModel[Patient]("patients", ring, nil)
	must(b, err)
	return m
}

// compare does all in turn, so that they meet the same machine. "ratio" is the median of what sealed rows take as a multiple of
// plain ones, and "ratio-text" as a multiple of rows with the same columns that are no more than text.
func (w *ward) compare(sealed, plain, text func()) {
	all := []func(){sealed, plain, text}
	times := make([][]float64, len(all)) // µs a row
	for w.Loop() {
		for i, do := range all {
			start := time.Now()
			do()
			times[i] = append(times[i], float64(time.Since(start).Microseconds())/benchRows)
		}
		w.StopTimer()
		w.empty()
		w.StartTimer()
	}
	for i, name := range []string{"sealed", "plain", "text"} {
		w.ReportMetric(median(times[i]), name+"-µs/row")
		if i > 0 {
			ratios := make([]float64, len(times[0]))
			for j := range ratios {
				ratios[j] = times[0][j] / times[i][j]
			}
			w.ReportMetric(median(ratios), []string{"ratio", "ratio-text"}[i-1])
		}
	}
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// empty deletes what a round has created, but the rows with negative ids.
func (w *ward) empty() {
	for _, table := range []string{"patients", "plains", "texts"} {
		must(w, w.gorm.Exec("DELETE FROM "+table+" WHERE id > 0").Error)
	}
}

// BenchmarkCreate creates a thousand rows with GORM, three sealed fields against three plain ones. The aim is a ratio of 1.5.
func BenchmarkCreate(b *testing.B) {
	eachWard(b, func(w *ward) {
		sealed := newPatients()
		must(w, w.sealed.Create(sealed).Error)
		w.compare(
			func() { must(w, w.sealed.Create(newPatients()).Error) },
			func() { must(w, w.gorm.Create(newPlain()).Error) },
			func() { must(w, w.gorm.Create(newTexts(sealed)).Error) },
		)
	})
}

// fill gives each table a thousand rows that stay.
func (w *ward) fill() {
	patients, plain := newPatients(), newPlain()
	for i := range patients {
		patients[i].ID, plain[i].ID = int64(-i-1), int64(-i-1)
	}
	must(w, w.sealed.Create(patients).Error)
	must(w, w.gorm.Create(plain).Error)
	texts := newTexts(patients)
	for i := range texts {
		texts[i].ID = int64(-i - 1)
	}
	must(w, w.gorm.Create(texts).Error)
}

func (w *ward) findPlain() {
	var all []*Plain
	must(w, w.gorm.Find(&all).Error)
}

func (w *ward) findText() {
	var all []*Text
	must(w, w.gorm.Find(&all).Error)
}

// BenchmarkFind finds a thousand rows with GORM and opens none. The aim is a ratio of 1.15.
func BenchmarkFind(b *testing.B) {
	eachWard(b, func(w *ward) {
		w.fill()
		w.compare(func() {
			var all []*Patient
			must(w, w.sealed.Find(&all).Error)
		}, w.findPlain, w.findText)
	})
}

// BenchmarkFindAndOpen opens them too, and reads their fields.
func BenchmarkFindAndOpen(b *testing.B) {
	eachWard(b, func(w *ward) {
		w.fill()
		w.compare(func() {
			var all []*Patient
			must(w, w.sealed.Find(&all).Error)
			must(w, gormseal.Open(w.Context(), &all))
			for _, p := range all {
				for _, field := range []*rowseal.Sealed[string]{&p.Email, &p.Phone, &p.Notes} {
					_, err := field.Get()
					must(w, err)
				}
			}
		}, w.findPlain, w.findText)
	})
}

// BenchmarkInsert inserts a thousand rows with sqlseal, against the same INSERT of plain columns. Their ids are fetched, or come
// with the INSERT, as sqlseal does it.
func BenchmarkInsert(b *testing.B) {
	eachWard(b, func(w *ward) {
		db := openSQL(w, w.d, w.dsn)
		table := sqlseal.New(w.model, &sqlseal.Options{Columns: []string{"name"}})
		own := sqlseal.SQL(integration.DialectOf(w.d), db)
		sealed := newPatients()
		must(w, table.Insert(w.Context(), own, sealed...))
		w.compare(
			func() { must(w, table.Insert(w.Context(), own, newPatients()...)) },
			func() {
				var rows [][]any
				for _, p := range newPlain() {
					rows = append(rows, []any{p.Name, p.Email, p.Phone, p.Notes})
				}
				w.insert(db, "INSERT INTO plains (name, email, phone, notes) VALUES ", rows)
			},
			func() {
				var rows [][]any
				for _, p := range newTexts(sealed) {
					rows = append(rows, []any{p.Name, p.EncryptedKMSKey, p.EmailCiphertext, p.PhoneCiphertext, p.NotesCiphertext})
				}
				w.insert(db, "INSERT INTO texts (name, encrypted_kms_key, email_ciphertext, phone_ciphertext, notes_ciphertext) VALUES ", rows)
			},
		)
	})
}

// insert is what a program without rowseal does: one INSERT.
func (w *ward) insert(db *sql.DB, statement string, rows [][]any) {
	var values []string
	var args []any
	d := integration.DialectOf(w.d)
	for _, row := range rows {
		var places []string
		for _, v := range row {
			args = append(args, v)
			places = append(places, d.Placeholder(len(args)))
		}
		values = append(values, "("+strings.Join(places, ", ")+")")
	}
	_, err := db.Exec(statement+strings.Join(values, ", "), args...)
	must(w, err)
}
