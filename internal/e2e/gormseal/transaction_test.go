package gormseal_test

import (
	"context"
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

var errUndo = errors.New("undo")

// A retry after a rollback starts from what the database has.
func TestARetryAfterARollback(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		create := func(undo error) error {
			return w.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(u).Error, undo) })
		}
		wantErr(t, "undone", create(errUndo), errUndo)
		must(t, create(nil))
		w.wantUser("created", u.ID, "ada@example.org", "phone of ada")

		update := func(undo error) error {
			return w.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Save(u).Error, undo) })
		}
		u.Email.Set("new")
		wantErr(t, "undone", update(errUndo), errUndo)
		w.wantUser("undone", u.ID, "ada@example.org", "phone of ada")
		must(t, update(nil))
		w.wantUser("saved", u.ID, "new", "phone of ada")
		u.Phone.Set("new too")
		must(t, update(nil))
		w.wantUser("saved again", u.ID, "new", "new too")

		// A first data key that was rolled back is not the row's.
		plain := &User{Name: "bob"}
		must(t, w.Create(plain).Error)
		var b User
		must(t, w.First(&b, plain.ID).Error)
		b.Email.Set("bob")
		b.Phone.Set("1")
		wantErr(t, "undone", w.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Save(&b).Error, errUndo) }), errUndo)
		must(t, w.Save(&b).Error)
		w.wantUser("first keys", b.ID, "bob", "1")
	})
}

func TestSavePoints(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		must(t, w.Transaction(func(tx *gorm.DB) error {
			u.Email.Set("one")
			must(t, tx.Save(u).Error)
			err := tx.Transaction(func(tx *gorm.DB) error {
				u.Phone.Set("two")
				return errors.Join(tx.Save(u).Error, errUndo)
			})
			wantErr(t, "undone", err, errUndo)
			u.BornOn.SetNull()
			return tx.Save(u).Error
		}))
		w.wantUser("saved after the rollback", u.ID, "one", "two")
	})
}

func TestPreparedStatements(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) { c.PrepareStmt = true })
		for range 2 {
			u := newUser("ada")
			must(t, w.Create(u).Error)
			must(t, w.Transaction(func(tx *gorm.DB) error {
				u.Email.Set("new")
				return tx.Save(u).Error
			}))
			u.Phone.Set("1")
			must(t, w.Updates(u).Error)
			w.wantUser("saved", u.ID, "new", "1")
		}
	})
}

// With the guard, a caller's transaction has no request to the KMS in it, and GORM's own does not count.
func TestNoKMSInTransaction(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d, func(p *gormseal.Plugin, _ *gorm.Config) { p.NoKMSInTransaction = true })
		u := newUser("ada")
		u.Orders = []Order{{Note: set("first")}} // sealed in GORM's own transaction
		must(t, w.Create(u).Error)
		var found User
		must(t, w.First(&found, u.ID).Error)
		w.kms.Reset()
		must(t, w.Transaction(func(tx *gorm.DB) error {
			other := newUser("bob")
			wantErr(t, "Create", tx.Create(other).Error, kms.ErrBudget)
			return nil
		}))
		must(t, w.Transaction(func(tx *gorm.DB) error {
			found.Email.Set("new")
			wantErr(t, "Save of a row that is not open", tx.Save(&found).Error, kms.ErrBudget)
			return nil
		}))
		must(t, w.Transaction(func(tx *gorm.DB) error {
			wantErr(t, "OpenOnFind", tx.Scopes(gormseal.OpenOnFind).First(&User{}).Error, kms.ErrBudget)
			return nil
		}))
		w.requests("refused", 0, 0)
		must(t, w.First(&found, u.ID).Error)
		must(t, gormseal.Open(t.Context(), &found))
		found.Email.Set("new")
		must(t, w.Transaction(func(tx *gorm.DB) error { return tx.Save(&found).Error }))
		w.wantUser("opened before", u.ID, "new", "phone of ada")
		visit := &Visit{ID: "v1", Clinic: "north", Reason: set("cough")}
		must(t, w.visits.Seal(t.Context(), visit))
		must(t, w.Transaction(func(tx *gorm.DB) error { return tx.Create(visit).Error }))
	})
}

// The KMS is asked while no connection to the database is held, but for rows whose ids the database makes while it inserts.
func TestTheKMSIsAskedBeforeTheTransaction(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		pool, err := w.DB.DB()
		must(t, err)
		held := 0
		w.kms.Before = func(context.Context, kmstest.Request) error {
			held = max(held, pool.Stats().InUse)
			return nil
		}
		want := func(what string, most int) {
			t.Helper()
			if held > most {
				t.Errorf("%s: the KMS was asked while %d connections were in use", what, held)
			}
			held = 0
		}
		must(t, w.Create(&Visit{ID: "v1", Clinic: "north", Reason: set("cough")}).Error)
		want("Create", 0)
		var v Visit
		must(t, w.First(&v).Error)
		v.Reason.Set("fever")
		must(t, w.Save(&v).Error)
		want("Save", 0)
		must(t, w.First(&v).Error)
		v.Reason.Set("cold")
		must(t, w.Save(&[]*Visit{&v, {ID: "v2", Clinic: "north", Reason: set("cough")}}).Error)
		want("Save of a slice", 0)
		must(t, w.Create(newUser("ada")).Error)
		most := 1
		if d.Name == dbtest.PostgreSQL.Name {
			most = 0
		}
		want("Create without an id", most)
	})
}
