package gormtest_test

import (
	"errors"
	"os"
	"testing"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

type user struct {
	ID    int64
	Email string `gorm:"size:100;unique"`
}

func TestEachDatabaseStoresModelsAndTranslatesErrors(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		config := &gorm.Config{TranslateError: true}
		db := gormtest.Open(t, d, config)
		if err := errors.Join(db.AutoMigrate(&user{}), db.AutoMigrate(&user{})); err != nil {
			t.Fatal(err)
		}
		u := user{Email: "a@example.com"}
		if err := db.Create(&u).Error; err != nil || u.ID == 0 {
			t.Errorf("Create: %v, id %d", err, u.ID)
		}
		if err := db.Create(&user{Email: "a@example.com"}).Error; !errors.Is(err, gorm.ErrDuplicatedKey) {
			t.Errorf("the same email again: %v, want gorm.ErrDuplicatedKey", err)
		}
		var found user
		if err := db.Take(&found, u.ID).Error; err != nil || found != u {
			t.Errorf("Take: %+v, %v, want %+v", found, err, u)
		}
		if err := gormtest.Open(t, d, config).Take(&found).Error; err == nil || errors.Is(err, gorm.ErrRecordNotFound) {
			t.Errorf("another Open finds the first one's table: %v", err)
		}
	})
}
