package gormfacts

import (
	"errors"
	"fmt"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// refusing is a condition that cannot be built.
type refusing struct{}

func (refusing) Build(b clause.Builder) {
	_ = b.AddError(errRefused)
}

func TestAConditionThatAddsAnErrorStopsTheStatement(t *testing.T) {
	db, ran := counted(t, open(t, nil, &User{}))
	var n int64
	var names []string
	for name, run := range map[string]func(*gorm.DB) *gorm.DB{
		"Find":          func(db *gorm.DB) *gorm.DB { return db.Find(&[]User{}) },
		"First":         func(db *gorm.DB) *gorm.DB { return db.First(&User{}) },
		"Update":        func(db *gorm.DB) *gorm.DB { return db.Model(&User{}).Update("age", 1) },
		"Updates":       func(db *gorm.DB) *gorm.DB { return db.Updates(&User{ID: 1, Age: 1}) },
		"Delete":        func(db *gorm.DB) *gorm.DB { return db.Delete(&User{}) },
		"Count":         func(db *gorm.DB) *gorm.DB { return db.Model(&User{}).Count(&n) },
		"Pluck":         func(db *gorm.DB) *gorm.DB { return db.Model(&User{}).Pluck("name", &names) },
		"Scan":          func(db *gorm.DB) *gorm.DB { return db.Model(&User{}).Scan(&[]User{}) },
		"FirstOrCreate": func(db *gorm.DB) *gorm.DB { return db.FirstOrCreate(&User{}) },
		"FindInBatches": func(db *gorm.DB) *gorm.DB {
			return db.FindInBatches(&[]User{}, 10, func(*gorm.DB, int) error { return nil })
		},
	} {
		if err := run(db.Where(refusing{})).Error; !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := db.Model(&User{}).Where(refusing{}).Rows(); !errors.Is(err, errRefused) {
		t.Errorf("Rows: %v", err)
	}
	equal(t, "statements", ran.ran, []string(nil))
}

func TestTheErrorOfAConditionInASubqueryIsLost(t *testing.T) {
	db := open(t, nil, &User{})
	must(t, db.Create(&User{Email: "e"}).Error)
	within := func(sql string) error {
		condition := conditionFunc(func(b clause.Builder) {
			_, _ = b.WriteString(sql)
			_ = b.AddError(errRefused)
		})
		return db.Where("id IN (?)", db.Model(&User{}).Select("id").Where(condition)).Delete(&User{}).Error
	}
	err := within("a condition that was refused")
	equal(t, "SQL that cannot run is another error", err != nil && !errors.Is(err, errRefused), true)
	must(t, within("1=1"))
	equal(t, "rows, after SQL that can", len(emails(t, db, "users")), 0)
}

func TestAConditionHasTheStatementsContextAndSchema(t *testing.T) {
	db := open(t, nil, &User{})
	var seen string
	look := conditionFunc(func(b clause.Builder) {
		stmt := b.(*gorm.Statement)
		seen = fmt.Sprint(stmt.Table, " ", stmt.Schema.Name, " ", stmt.Context.Value(eventsKey{}))
		b.WriteQuoted(clause.Column{Table: clause.CurrentTable, Name: "email"})
		_, _ = b.WriteString(" IN ")
		b.AddVar(b, []any{"a", "b"})
	})
	must(t, db.WithContext(withEvents(t, nil)).Where(look).Or("1=0").Find(&[]User{}).Error)
	equal(t, "table, schema, context", seen, "users User <nil>")
	must(t, db.Not(look).Find(&[]User{}).Error)
}

type conditionFunc func(clause.Builder)

func (f conditionFunc) Build(b clause.Builder) { f(b) }

// failing is a value that is not ready to be written, with a value beside the error or without.
func failing(value string) Seal { return Seal{value: value, err: errRefused, set: true} }

func TestAValuerThatFailsWithAValueStopsTheStatement(t *testing.T) {
	db := open(t, nil, &Sealed{})
	must(t, db.Create(&Sealed{Email: sealed("e")}).Error)
	for name, run := range map[string]func() *gorm.DB{
		"Create":       func() *gorm.DB { return db.Create(&Sealed{Email: failing("x")}) },
		"Update":       func() *gorm.DB { return db.Model(&Sealed{ID: 1}).Update("email", failing("x")) },
		"Find":         func() *gorm.DB { return db.Where(&Sealed{Email: failing("x")}).Find(&[]Sealed{}) },
		"Find, string": func() *gorm.DB { return db.Where("email = ?", failing("x")).Find(&[]Sealed{}) },
		"Find, map":    func() *gorm.DB { return db.Where(map[string]any{"email": failing("x")}).Find(&[]Sealed{}) },
		"Delete":       func() *gorm.DB { return db.Where(&Sealed{Email: failing("x")}).Delete(&Sealed{}) },
	} {
		if err := run().Error; !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	equal(t, "rows", emails(t, db, "sealeds"), []string{"e"})
}

func TestAValuerThatFailsWithNilIsNullInAConditionAndDeletes(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &Sealed{})
	must(t, db.Create(&[]Sealed{{Name: "no email"}, {Email: sealed("e")}}).Error)
	must(t, db.Where(&Sealed{Email: failing("")}).Delete(&Sealed{}).Error)
	equal(t, "statement", log.last(), "DELETE FROM sealeds WHERE sealeds.email IS NULL")
	equal(t, "rows", emails(t, db, "sealeds"), []string{"e"})

	t.Run("while a create with it fails", func(t *testing.T) {
		equal(t, "error", errors.Is(db.Create(&Sealed{Email: failing("")}).Error, errRefused), true)
	})
}

func TestAValuerAsTheWholeConditionIsAPrimaryKeyAndMayFail(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &Sealed{})
	must(t, db.Create(&Sealed{Email: sealed("e")}).Error)
	log.take()
	equal(t, "Find", errors.Is(db.Where(failing("x")).Find(&[]Sealed{}).Error, errRefused), true)
	equal(t, "statement", log.last(), "SELECT * FROM sealeds WHERE sealeds.id = ?")
	equal(t, "Delete", errors.Is(db.Delete(&Sealed{}, failing("x")).Error, errRefused), true)
	equal(t, "rows", len(emails(t, db, "sealeds")), 1)
}

func TestAnEqOfNullIsWrittenAsIsNull(t *testing.T) {
	log := new(statements)
	db := open(t, &gorm.Config{Logger: log}, &Sealed{})
	must(t, db.Where(clause.Eq{Column: "email", Value: Seal{}}).Find(&[]Sealed{}).Error)
	equal(t, "statement", log.last(), "SELECT * FROM sealeds WHERE email IS NULL")
}
