package gormseal_test

import (
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
)

func TestReturningLeavesWhatIsSetAlone(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		if d.Name == "MariaDB" {
			return // whose UPDATE returns nothing
		}
		w := open(t, d)
		must(t, w.Create(newUser("ada")).Error)
		u := w.load(1)
		u.Email.Set("new@example.org")
		must(t, w.Model(u).Clauses(clause.Returning{}).Update("name", "countess").Error)
		must(t, w.Save(u).Error)
		w.wantUser("the next Save", 1, "new@example.org", "phone of ada")
	})
}

// Contact is embedded in a struct that has no Model.
type Contact struct {
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string] `gorm:"column:email_ciphertext"`
}

type Visitor struct {
	ID      int64
	Contact Contact `gorm:"embedded"`
}

func TestAStrangerWithAnEmbeddedStructIsRefused(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, w.Create(newUser("ada")).Error)
		u := w.load(1)
		s := &Visitor{Contact: Contact{u.EncryptedKMSKey, u.Email}}
		wantErr(t, "Create", w.Create(s).Error, kms.ErrInvalidRequest)
		wantErr(t, "Find", w.Find(&[]Visitor{}).Error, kms.ErrInvalidRequest)
	})
}

func TestOpenChangesNoMapWithoutSealedRows(t *testing.T) {
	w := open(t, dbtest.SQLite)
	must(t, w.Create(newUser("ada")).Error)
	shared := map[string]any{"name": "ada", "list": []any{1}}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { // which the race detector watches
			for range 100 {
				var u User
				if err := w.First(&u).Error; err != nil {
					t.Error(err)
				}
				if err := gormseal.Open(t.Context(), &u, shared); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestADatabaseThatIsNotKnownIsRefusedAtOnce(t *testing.T) {
	w := open(t, dbtest.SQLite)
	other := *w.DB
	config := *w.Config
	config.Dialector, config.Plugins = named{w.Dialector}, map[string]gorm.Plugin{}
	other.Config = &config
	err := other.Use(gormseal.New(w.users))
	wantErr(t, "sqlserver", err, kms.ErrInvalidRequest)
	if !strings.Contains(err.Error(), "sqlserver") {
		t.Error(err)
	}
}

type named struct{ gorm.Dialector }

func (named) Name() string { return "sqlserver" }
