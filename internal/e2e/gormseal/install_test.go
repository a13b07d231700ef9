package gormseal_test

import (
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

type (
	misnamed struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `gorm:"column:mail" rowseal:"column=email_ciphertext"`
	}
	readOnly struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `gorm:"->"`
	}
	defaulted struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string] `gorm:"default:x"`
	}
	hidden struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Old             rowseal.Sealed[string] `rowseal:"-"`
	}
	otherKey struct {
		UID             int64 `gorm:"primaryKey"`
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
	contact  struct{ Email string }
	embedded struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
		Contact         contact `gorm:"embedded;embeddedPrefix:contact_"`
	}
	plainNeighbour struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Phone           rowseal.Sealed[string]
		Mail            string `gorm:"column:email_ciphertext"`
	}
	fine struct {
		ID              int64
		EncryptedKMSKey rowseal.DataKey
		Email           rowseal.Sealed[string]
	}
)

func (plainNeighbour) TableName() string { return "fines" }

func modelOf[T any](t *testing.T, table string) *rowseal.Model[T] {
	t.Helper()
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{}, nil)})
	must(t, err)
	m, err := rowseal.NewModel[T](table, ring, nil)
	must(t, err)
	return m
}

func TestUseRefusesWhatGORMWouldNameOrWriteDifferently(t *testing.T) {
	fines := modelOf[fine](t, "fines")
	for name, c := range map[string]struct {
		models []gormseal.Model
		says   string
	}{
		"no model":                       {nil, "give the models"},
		"nil":                            {[]gormseal.Model{nil}, "nil"},
		"a nil pointer":                  {[]gormseal.Model{fines, (*rowseal.Model[fine])(nil)}, "model 1 is nil"},
		"another table":                  {[]gormseal.Model{modelOf[fine](t, "people")}, "TableName"},
		"another column":                 {[]gormseal.Model{modelOf[misnamed](t, "misnameds")}, "column:email_ciphertext"},
		"a permission":                   {[]gormseal.Model{modelOf[readOnly](t, "read_onlies")}, "permission"},
		"a default":                      {[]gormseal.Model{modelOf[defaulted](t, "defaulteds")}, "default"},
		"a field that is hidden":         {[]gormseal.Model{modelOf[hidden](t, "hiddens")}, `gorm:"-"`},
		"another primary key":            {[]gormseal.Model{modelOf[otherKey](t, "other_keys")}, "primary key"},
		"a plain field of the same name": {[]gormseal.Model{modelOf[embedded](t, "embeddeds")}, "Contact.Email"},
		"two models of one struct":       {[]gormseal.Model{fines, fines}, "two models"},
		"plain in another struct":        {[]gormseal.Model{fines, modelOf[plainNeighbour](t, "fines")}, "email_ciphertext"},
	} {
		db := gormtest.Open(t, dbtest.SQLite, nil)
		err := db.Use(gormseal.New(c.models...))
		wantErr(t, name, err, kms.ErrInvalidRequest)
		wantMessage(t, err, c.says)
	}
	db := gormtest.Open(t, dbtest.SQLite, nil)
	must(t, db.AutoMigrate(&fine{}))
	wantMessage(t, db.Use(gormseal.New(fines)), "db.Use before")
	db = gormtest.Open(t, dbtest.SQLite, nil)
	plugin := gormseal.New(fines)
	must(t, db.Use(plugin))
	wantErr(t, "for a second db", gormtest.Open(t, dbtest.SQLite, nil).Use(plugin), kms.ErrInvalidRequest)
	plugin = gormseal.New(fines)
	plugin.Tables = map[string]gormseal.TableOptions{"fine": {}}
	wantErr(t, "options for no table", gormtest.Open(t, dbtest.SQLite, nil).Use(plugin), kms.ErrInvalidRequest)
}

// Account has a column of each kind, and a unique index.
type Account struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256" gorm:"uniqueIndex"`
	ShortIndex      blindindex.Index       `rowseal:"of=Email,algorithm=hmac_sha256,size=8,raw" gorm:"index"`
	Photo           rowseal.Sealed[[]byte] `rowseal:"raw"`
	Long            rowseal.Sealed[string] `gorm:"type:varchar(500)"`
}

func TestAutoMigrate(t *testing.T) {
	types := map[string][]string{
		dbtest.PostgreSQL.Name: {"text", "text", "text", "bytea", "bytea", "varchar"},
		dbtest.MariaDB.Name:    {"text", "text", "varchar(44)", "varbinary(8)", "longblob", "varchar(500)"},
		dbtest.SQLite.Name:     {"text", "text", "text", "blob", "blob", "varchar(500)"},
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{}, nil)})
		must(t, err)
		index, err := rowseal.NewMasterKey(make([]byte, 32))
		must(t, err)
		model, err := rowseal.NewModel[Account]("accounts", ring, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index}})
		must(t, err)
		var printed recorder
		db := gormtest.Open(t, d, &gorm.Config{TranslateError: true, Logger: logger.New(&printed, logger.Config{LogLevel: logger.Info})})
		must(t, db.Use(gormseal.New(model)))
		must(t, db.AutoMigrate(&Account{}))
		printed.Reset()
		must(t, db.AutoMigrate(&Account{}))
		if strings.Contains(printed.String(), "ALTER") {
			t.Errorf("the second AutoMigrate changes the table: %s", printed.String())
		}
		columns, err := db.Migrator().ColumnTypes(&Account{})
		must(t, err)
		for i, c := range columns[1:] {
			got, _ := c.ColumnType()
			if !strings.HasPrefix(strings.ToLower(got), types[d.Name][i]) && !strings.HasPrefix(strings.ToLower(c.DatabaseTypeName()), types[d.Name][i]) {
				t.Errorf("%s is %s (%s), want %s", c.Name(), got, c.DatabaseTypeName(), types[d.Name][i])
			}
		}
		account := func(email string) *Account {
			a := &Account{Email: set(email)}
			a.Photo.Set([]byte{0, 255, 7})
			return a
		}
		a := account("a@example.org")
		must(t, db.Create(a).Error)
		wantErr(t, "the same value", db.Create(account("a@example.org")).Error, gorm.ErrDuplicatedKey)
		b := account("A@example.org")
		must(t, db.Create(b).Error)
		b.Email.Set("a@example.org")
		wantErr(t, "the same value in an update", db.Save(b).Error, gorm.ErrDuplicatedKey)
		var found Account
		must(t, db.Where(gormseal.Equal("EmailIndex", "A@example.org")).First(&found).Error)
		must(t, gormseal.Open(t.Context(), &found))
		if photo, err := found.Photo.Get(); err != nil || string(photo) != "\x00\xff\x07" || get(t, found.Email) != "A@example.org" {
			t.Errorf("%+v, %v", found, err)
		}
		must(t, db.Where(gormseal.Equal("ShortIndex", "A@example.org")).First(&found).Error)
		err = db.Where(gormseal.Equal("Email", "A@example.org")).First(&found).Error
		wantMessage(t, err, "several indexes")
	})
}

// Citizen is in a schema of PostgreSQL's.
type Citizen struct {
	ID              int64
	Name            string
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index `rowseal:"of=Email,algorithm=hmac_sha256"`
}

func (Citizen) TableName() string { return "town.citizens" }

func TestATableInASchema(t *testing.T) {
	db := gormtest.Open(t, dbtest.PostgreSQL, nil)
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{}, nil)})
	must(t, err)
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	model, err := rowseal.NewModel[Citizen]("town.citizens", ring, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index}})
	must(t, err)
	must(t, db.Use(gormseal.New(model)))
	must(t, db.Exec("CREATE SCHEMA town").Error)
	must(t, db.AutoMigrate(&Citizen{}))
	c := &Citizen{Name: "ada", Email: set("ada@example.org")}
	must(t, db.Create(c).Error)
	c.Email.Set("new")
	must(t, db.Table("town.citizens").Save(c).Error)
	var found Citizen
	must(t, db.Where(gormseal.Equal("Email", "new")).First(&found).Error)
	must(t, gormseal.Open(t.Context(), &found))
	if get(t, found.Email) != "new" {
		t.Errorf("%+v", found)
	}
	wantErr(t, "by name", db.Table("town.citizens").Where("id = 1").Update("email_ciphertext", "plain").Error, rowseal.ErrUnsealed)
	wantErr(t, "another schema", db.Table("other.citizens").Create(&Citizen{Email: set("x")}).Error, kms.ErrInvalidRequest)
}
