package gormseal_test

import (
	"testing"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestCheckNamesEveryTableThatIsNotAsItsStruct(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, gormseal.Check(t.Context(), w.DB, nil))
		must(t, w.Migrator().DropColumn(&User{}, "phone_ciphertext"))
		must(t, w.Migrator().DropColumn(&Order{}, "note_ciphertext"))
		err := gormseal.Check(t.Context(), w.DB, &rowseal.CheckOptions{NoKMS: true})
		wantMessage(t, err, "check of users", "phone_ciphertext", "check of orders", "note_ciphertext")
	})
}

func TestCheckNeedsThePlugin(t *testing.T) {
	err := gormseal.Check(t.Context(), gormtest.Open(t, dbtest.SQLite, nil), nil)
	wantErr(t, "Check", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "install it by db.Use(gormseal.New(…))")
}

// Patient and Chart are structs of one table; what only Chart has does not look sealed by its name.
type Patient struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

type Chart struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Diagnosis       rowseal.Sealed[string] `rowseal:"column=diagnosis"`
}

func (Chart) TableName() string { return "patients" }

// Otherwise the diagnosis would stay beside a data key that does not open it.
func TestADataKeyIsNotReplacedUnderTheColumnsOfAnotherStruct(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		fake := &kmstest.Fake{BatchSize: 10}
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil)})
		must(t, err)
		patients, err := rowseal.NewModel[Patient]("patients", ring, nil)
		must(t, err)
		charts, err := rowseal.NewModel[Chart]("patients", ring, &rowseal.Options{Model: "Patient"})
		must(t, err)
		db := gormtest.Open(t, d, &gorm.Config{})
		must(t, db.Use(gormseal.New(patients, charts)))
		must(t, db.AutoMigrate(&Patient{}))
		must(t, db.AutoMigrate(&Chart{})) // by itself: GORM migrates one struct a table

		p := &Patient{}
		p.Email.Set("ada@example.org")
		must(t, db.Create(p).Error)
		chart := &Chart{}
		must(t, db.First(chart, p.ID).Error)
		chart.Diagnosis.Set("well")
		must(t, db.Updates(chart).Error)

		patients.Clear(p)
		p.Email.Set("countess@example.org")
		err = db.Updates(p).Error
		wantErr(t, "Clear and Updates", err, kms.ErrInvalidRequest)
		wantMessage(t, err, "encrypted_kms_key of patients is to be replaced", "diagnosis")
		chart = &Chart{}
		must(t, db.First(chart, p.ID).Error)
		must(t, gormseal.Open(t.Context(), chart))
		if got := get(t, chart.Diagnosis); got != "well" {
			t.Errorf("the diagnosis is %q", got)
		}
	})
}
