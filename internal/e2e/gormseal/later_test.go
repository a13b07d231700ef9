package gormseal_test

import (
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

// Guest has a unique column beside its id.
type Guest struct {
	ID              int64
	Name            string `gorm:"size:100;uniqueIndex"`
	Age             int
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	Phone           rowseal.Sealed[string]
}

func newGuest(name, email string) *Guest {
	g := &Guest{Name: name, Age: 2}
	g.Email.Set(email)
	return g
}

// hotel is a database of guests that get their ids from the INSERT.
type hotel struct {
	*testing.T
	*gorm.DB
}

func eachHotel(t *testing.T, run func(h *hotel)) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for name, binding := range map[string]rowseal.Binding{"sealed before": rowseal.BindColumn, "sealed afterwards": rowseal.BindRow} {
			for _, more := range []string{"", "&clientFoundRows=true"} {
				if more != "" && d.Driver != "mysql" {
					continue
				}
				t.Run(name+more, func(t *testing.T) {
					ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{BatchSize: 1000}, nil)})
					must(t, err)
					m, err := rowseal.NewModel[Guest]("guests", ring, &rowseal.Options{Binding: binding})
					must(t, err)
					db := gormtest.OpenDSN(t, d, d.New(t)+more, nil)
					plugin := gormseal.New(m)
					plugin.Tables = map[string]gormseal.TableOptions{"guests": {Order: sqlseal.InsertFirst}}
					must(t, db.Use(plugin))
					must(t, db.AutoMigrate(&Guest{}))
					run(&hotel{t, db})
				})
			}
		}
	})
}

// want demands that these and no others are there.
func (h *hotel) want(what string, emails map[string]string) {
	h.Helper()
	var all []Guest
	must(h.T, h.Find(&all).Error)
	must(h.T, gormseal.Open(h.T.Context(), &all))
	for _, g := range all {
		if got := get(h.T, g.Email); got != emails[g.Name] || get(h.T, g.Phone) != "" {
			h.Errorf("%s: %s has the address %q, want %q", what, g.Name, got, emails[g.Name])
		}
	}
	if len(all) != len(emails) {
		h.Errorf("%s: %d guests, want %d", what, len(all), len(emails))
	}
}

// MySQL and MariaDB give a row that was not inserted the id of the one that is there, whose NULL key would be taken for its own.
func TestARowThatIsThereGetsNothingOfOneThatIsNotInserted(t *testing.T) {
	eachHotel(t, func(h *hotel) {
		must(h.T, h.Create(&Guest{Name: "ada"}).Error) // without anything sealed
		ignore := clause.OnConflict{DoNothing: true}
		one := newGuest("ada", "new")
		result := h.Clauses(ignore).Create(one)
		if result.Error != nil || result.RowsAffected != 0 {
			h.Errorf("DoNothing: %d rows, %v", result.RowsAffected, result.Error)
		}
		h.want("DoNothing", map[string]string{"ada": ""})

		some := []*Guest{newGuest("ada", "new"), newGuest("bob", "bob@example.org"), newGuest("cleo", "cleo@example.org")}
		result = h.Clauses(ignore).Create(some)
		if result.Error != nil || result.RowsAffected != 2 {
			h.Errorf("DoNothing of three: %d rows, %v", result.RowsAffected, result.Error)
		}
		inserted := map[string]string{"ada": "", "bob": "bob@example.org", "cleo": "cleo@example.org"}
		h.want("DoNothing of three", inserted)
		some[1].Email.Set("bob@example.com")
		must(h.T, h.Save(some[1]).Error)
		inserted["bob"] = "bob@example.com"
		h.want("Save of one that was inserted", inserted)

		age := clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: clause.AssignmentColumns([]string{"age"})}
		err := h.Clauses(age).Create(newGuest("ada", "new")).Error
		wantErr(h.T, "DoUpdates", err, rowseal.ErrNotReady)
		h.want("DoUpdates", inserted)
		must(h.T, h.Transaction(func(tx *gorm.DB) error {
			return tx.Clauses(ignore).Create([]*Guest{newGuest("ada", "new"), newGuest("dora", "dora@example.org")}).Error
		}))
		inserted["dora"] = "dora@example.org"
		h.want("DoNothing in a transaction", inserted)
	})
}

func TestStatementsOfATransactionAreNotPrepared(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) { c.PrepareStmt = true })
		must(t, w.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(newUser("ada")).Error; err != nil {
				return err
			}
			prepared, ok := tx.Statement.ConnPool.(*gorm.PreparedStmtTX)
			if !ok {
				t.Errorf("GORM's transaction is a %T", tx.Statement.ConnPool)
				return nil
			}
			for _, query := range prepared.PreparedStmtDB.Stmts.Keys() {
				if len(query) > 9 && (query[:9] == "SAVEPOINT" || query[:8] == "ROLLBACK" || query[:7] == "RELEASE") {
					t.Errorf("prepared, which MySQL refuses: %s", query)
				}
			}
			return nil
		}))
		w.wantUser("prepared", 1, "ada@example.org", "phone of ada")
	})
}
