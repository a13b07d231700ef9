package gormseal_test

import (
	"errors"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// prepared are the ways in which GORM prepares its statements.
var prepared = map[string]func(*gormseal.Plugin, *gorm.Config){
	"Config": func(_ *gormseal.Plugin, c *gorm.Config) { c.PrepareStmt = true },
	"without GORM's transactions": func(_ *gormseal.Plugin, c *gorm.Config) {
		c.PrepareStmt, c.SkipDefaultTransaction = true, true
	},
	"rows inserted first": func(p *gormseal.Plugin, c *gorm.Config) {
		c.PrepareStmt = true
		p.Tables = map[string]gormseal.TableOptions{"users": {Order: sqlseal.InsertFirst}}
	},
	"Session": func(*gormseal.Plugin, *gorm.Config) {},
}

// Statements differ in what is set, compared and NULL, and each is prepared for itself.
func TestPreparedStatementsOfManyKinds(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for name, configure := range prepared {
			t.Run(name, func(t *testing.T) {
				w := open(t, d, configure)
				if name == "Session" {
					w.DB = w.Session(&gorm.Session{PrepareStmt: true})
				}
				if _, prepares := w.DB.Session(&gorm.Session{}).Statement.ConnPool.(*gorm.PreparedStmtDB); !prepares {
					t.Errorf("the statements of a %T are not prepared", w.DB.Statement.ConnPool)
				}
				for range 2 { // the second time with statements that are there
					must(t, w.Exec("DELETE FROM users").Error)
					w.preparedOnce(t)
				}
			})
		}
	})
}

func (w *world) preparedOnce(t *testing.T) {
	users := newUsers(3)
	must(t, w.Create(&users).Error)
	w.wantUsers("a batch", users)
	more := newUsers(5)
	must(t, w.CreateInBatches(&more, 2).Error)
	must(t, w.Unscoped().Delete(&more).Error)

	id := users[0].ID
	mine := w.behind(id, func(u *User) { w.rotate(u, func(u *User) error { return w.users.Rekey(t.Context(), u) }) })
	mine.Email.Set("mine")
	must(t, w.Save(mine).Error)
	w.requests("Save after a rekey", 0, 1) // both keys in one
	w.wantUser("Save after a rekey", id, "mine", "phone of user0")
	mine = w.behind(id, func(u *User) { w.rotate(u, func(u *User) error { return w.users.Rewrap(t.Context(), u) }) })
	must(t, w.Transaction(func(tx *gorm.DB) error {
		mine.Phone.Set("1")
		return tx.Updates(mine).Error
	}))
	w.wantUser("Updates after a rewrap, in a transaction", id, "mine", "1")
	mine = w.behind(id, func(u *User) { u.Email.SetNull(); must(t, w.Save(u).Error) })
	mine.Phone.SetNull()
	must(t, w.Updates(mine).Error)
	w.wantUser("NULL", id, "", "")

	undone := w.Transaction(func(tx *gorm.DB) error {
		mine.Email.Set("undone")
		return errors.Join(tx.Save(mine).Error, errUndo)
	})
	wantErr(t, "undone", undone, errUndo)
	w.wantUser("undone", id, "", "")

	again := newUser("again")
	again.ID = id
	must(t, w.Clauses(clause.OnConflict{UpdateAll: true}).Create(again).Error)
	w.wantUser("an upsert", id, "again@example.org", "phone of again")

	w.kms.Deny(kms.OpEncrypt)
	failed := newUsers(2)
	wantErr(t, "without the right to seal", w.Create(&failed).Error, kms.ErrAccessDenied)
	w.kms.Allow(kms.OpEncrypt)
	var n int64
	must(t, w.Model(&User{}).Count(&n).Error)
	if n != 3 {
		t.Errorf("%d rows", n)
	}
}
