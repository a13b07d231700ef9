package gormfacts

import (
	"context"
	"database/sql/driver"
	"reflect"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
)

func parse(t *testing.T, db *gorm.DB, model any) *schema.Schema {
	t.Helper()
	stmt := &gorm.Statement{DB: db}
	must(t, stmt.Parse(model))
	return stmt.Schema
}

func TestAllSessionsShareOneSchema(t *testing.T) {
	db := open(t, nil)
	one := parse(t, db, &User{})
	equal(t, "of a session", parse(t, db.Session(&gorm.Session{NewDB: true, PrepareStmt: true}), []User{}) == one, true)
	must(t, db.Transaction(func(tx *gorm.DB) error {
		equal(t, "of a transaction", parse(t, tx, User{}) == one, true)
		return nil
	}))
	equal(t, "of another Open", parse(t, open(t, nil), &User{}) == one, false)
}

func TestADataTypeChangedInTheSchemaIsTheColumnThatAutoMigrateMakes(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := gormtest.Open(t, d, nil)
		parse(t, db, &Sealed{}).LookUpField("email").DataType = schema.Bytes
		must(t, db.AutoMigrate(&Sealed{}))
		types, err := db.Migrator().ColumnTypes(&Sealed{})
		must(t, err)
		want := map[string]string{"PostgreSQL": "bytea", "MariaDB": "longblob", "SQLite": "blob"}[d.Name]
		for _, c := range types {
			if c.Name() == "email" {
				equal(t, "type", strings.ToLower(c.DatabaseTypeName()), want)
				return
			}
		}
		t.Error("no such column")
	})
}

func TestTheDataTypeOfATypeWithGormDataType(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openOn(t, d, nil, &Sealed{})
		types, err := db.Migrator().ColumnTypes(&Sealed{})
		must(t, err)
		for _, c := range types {
			if c.Name() == "email" {
				equal(t, "type", strings.ToLower(c.DatabaseTypeName()), "text")
			}
		}
	})
}

// upper names columns in upper case.
type upper struct{ schema.Namer }

func (u upper) ColumnName(table, column string) string {
	return strings.ToUpper(u.Namer.ColumnName(table, column))
}

type naming struct{}

func (naming) Name() string { return "test:naming" }

func (naming) Initialize(db *gorm.DB) error {
	db.NamingStrategy = upper{db.NamingStrategy}
	return nil
}

func TestANamingStrategyOfAPluginNamesModelsThatAreParsedLater(t *testing.T) {
	db := open(t, nil)
	earlier := parse(t, db, &User{})
	session := db.Session(&gorm.Session{})
	must(t, db.Use(naming{}))
	equal(t, "earlier", parse(t, db, &User{}).DBNames, []string{"id", "name", "email", "age"})
	equal(t, "the same schema", parse(t, db, &User{}) == earlier, true)
	equal(t, "later", parse(t, db, &Publisher{}).DBNames, []string{"ID", "NAME"})
	names := []string{"id", "author_id", "text"}
	equal(t, "later, by a session from before, whose Config is a copy", parse(t, session, &Profile{}).DBNames, names)
	equal(t, "and then for all", parse(t, db, &Profile{}).DBNames, names)
}

func TestAColumnNameInTheTagIsNotAskedOfTheNamingStrategy(t *testing.T) {
	db := open(t, nil)
	must(t, db.Use(naming{}))
	type Tagged struct {
		ID    int64
		Email Seal `gorm:"column:email_ciphertext"`
	}
	equal(t, "names", parse(t, db, &Tagged{}).DBNames, []string{"ID", "email_ciphertext"})
}

func TestTheNamingStrategyLearnsTheTableAndTheFieldOnly(t *testing.T) {
	var asked []string
	db := open(t, nil)
	db.NamingStrategy = asking{db.NamingStrategy, &asked}
	type Inner struct{ Email Seal }
	type Outer struct {
		ID int64
		Inner
		Work Inner `gorm:"embedded;embeddedPrefix:work_"`
	}
	s := parse(t, db, &Outer{})
	equal(t, "names", s.DBNames, []string{"id", "email", "work_email"})
	if all := strings.Join(asked, " "); strings.Contains(strings.ToLower(all), "work") || strings.Count(all, "outers.Email") != 2 {
		t.Errorf("asked for %s: want the embedded fields as fields of the outer table, without their prefix", all)
	}
	equal(t, "bind names", strings.Join(s.FieldsByDBName["work_email"].BindNames, "."), "Work.Email")
}

type asking struct {
	schema.Namer
	asked *[]string
}

func (a asking) ColumnName(table, column string) string {
	*a.asked = append(*a.asked, table+"."+column)
	return a.Namer.ColumnName(table, column)
}

// Inline is a generic column type without GormDataType.
type Inline[T any] struct{ Inner T }

func (*Inline[T]) Scan(any) error              { return nil }
func (Inline[T]) Value() (driver.Value, error) { return nil, nil }

// Typed is Inline with GormDataType.
type Typed[T any] struct{ Inline[T] }

func (Typed[T]) GormDataType() string { return "text" }

func TestAGenericColumnTypeNeedsGormDataType(t *testing.T) {
	before := logger.Default
	logger.Default = logger.Discard // where GORM prints what it cannot parse
	defer func() { logger.Default = before }()
	db := open(t, nil)
	type profile struct{ Notes []string }
	for name, test := range map[string]struct {
		model any
		is    bool
	}{
		"of a list": {&struct {
			ID    int64
			Email Inline[profile]
		}{}, false},
		"the same with GormDataType": {&struct {
			ID    int64
			Email Typed[profile]
		}{}, true},
		"our kind of type": {&struct {
			ID    int64
			Email Seal
		}{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			stmt := &gorm.Statement{DB: db}
			err := stmt.ParseWithSpecialTableName(test.model, "models")
			is := err == nil && stmt.Schema.LookUpField("Email") != nil && stmt.Schema.LookUpField("Email").DBName == "email"
			equal(t, "a column", is, test.is)
		})
	}
}

func TestFieldSetMayBeReplacedInTheSchema(t *testing.T) {
	db := open(t, nil, &Sealed{})
	tellNull(parse(t, db, &Sealed{}).LookUpField("email"))
	must(t, db.Exec("INSERT INTO sealeds (id, email) VALUES (1, 'x')").Error)
	var row Sealed
	for _, want := range []any{"x", nil} {
		must(t, db.Take(&row, 1).Error)
		equal(t, "scanned", row.Email.last(), want)
		must(t, db.Exec("UPDATE sealeds SET email = NULL").Error)
	}
	var fresh []Sealed
	must(t, db.Find(&fresh).Error)
	equal(t, "a fresh struct", fresh[0].Email.last(), nil)
}

// tellNull has a column's Scan called for NULL, too.
func tellNull(field *schema.Field) {
	set := field.Set
	field.Set = func(ctx context.Context, row reflect.Value, value any) error {
		if v, ok := value.(**Seal); ok && *v == nil {
			return set(ctx, row, Seal{set: true})
		}
		return set(ctx, row, value)
	}
}
