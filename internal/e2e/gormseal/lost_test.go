package gormseal_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

// What follows would be written without an error, or committed after one, and could not be opened again.

// Databases other than PostgreSQL commit what was done before an error.
func TestARowWhoseKeyWasNotWrappedIsNotCommitted(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, w.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(newUser("ada")).Error)
			w.kms.Deny(kms.OpEncrypt)
			wantErr(t, "Create", tx.Create(newUser("bob")).Error, kms.ErrAccessDenied)
			w.kms.Allow(kms.OpEncrypt)
			return nil
		}))
		ctx, cancel := context.WithCancel(t.Context())
		must(t, w.Transaction(func(tx *gorm.DB) error {
			w.kms.Before = func(context.Context, kmstest.Request) error { cancel(); return context.Canceled }
			wantErr(t, "Create that is cancelled", tx.WithContext(ctx).Create(newUser("eve")).Error, context.Canceled)
			w.kms.Before = nil
			return nil
		}))
		pool, err := w.DB.DB()
		must(t, err)
		tx, err := pool.Begin()
		must(t, err)
		w.kms.Deny(kms.OpEncrypt)
		table := sqlseal.New(w.users, &sqlseal.Options{Columns: []string{"name"}})
		wantErr(t, "Insert", table.Insert(t.Context(), sqlseal.SQL(sqlseal.Dialect(w.Name()), tx), newUser("mallory")), kms.ErrAccessDenied)
		w.kms.Allow(kms.OpEncrypt)
		must(t, tx.Commit())

		var names []string
		must(t, w.Model(&User{}).Order("id").Pluck("name", &names).Error)
		if strings.Join(names, " ") != "ada" {
			t.Errorf("the table has %q", names)
		}
	})
}

func TestSaveDoesNotTakeAnothersRowForTheOneThatWasRolledBack(t *testing.T) {
	undo := errors.New("undo")
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		mine, theirs := newUser("ada"), newUser("bob")
		mine.ID, theirs.ID = 7, 7
		wantErr(t, "the transaction", w.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(mine).Error, undo) }), undo)
		must(t, w.Create(theirs).Error)
		before := w.dump("users")
		wantErr(t, "Save", w.Save(mine).Error, rowseal.ErrConflict)
		if w.dump("users") != before {
			t.Error("the row has changed")
		}
	})
}

// MySQL takes any unique index for the target.
func TestAConflictByAnotherIndexMovesNoContext(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, w.Exec("CREATE UNIQUE INDEX rooms ON visits (room)").Error)
		must(t, w.Exec("CREATE UNIQUE INDEX places ON visits (id, clinic)").Error)
		must(t, w.Exec("CREATE UNIQUE INDEX names ON users (name)").Error)
		visit := &Visit{ID: "a", Clinic: "A", Room: "1"}
		visit.Reason.Set("x")
		must(t, w.Create(visit).Error)
		must(t, w.Create(newUser("ada")).Error)

		other := &Visit{ID: "b", Clinic: "B", Room: "1"}
		other.Reason.Set("y")
		columns := func(names ...string) (all []clause.Column) {
			for _, n := range names {
				all = append(all, clause.Column{Name: n})
			}
			return all
		}
		if w.Clauses(clause.OnConflict{Columns: columns("id", "clinic"), DoUpdates: clause.AssignmentColumns([]string{"clinic", "room"})}).Create(other).Error == nil {
			t.Error("the clinic of another row was written")
		}
		again := newUser("ada")
		again.ID = 9
		if w.Clauses(clause.OnConflict{Columns: columns("id"), DoUpdates: clause.AssignmentColumns([]string{"id", "age"})}).Create(again).Error == nil {
			t.Error("the id of another row was written")
		}
		var visits []Visit
		var users []User
		must(t, w.Find(&visits).Error)
		must(t, w.Find(&users).Error)
		must(t, gormseal.Open(t.Context(), &visits, &users))
	})
}

func TestAnUpsertOfALoadedRowWritesNoOlderValues(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, w.Create(newUser("ada")).Error)
		old, newer := w.load(1), w.load(1)
		newer.Email.Set("new@example.org")
		must(t, w.Save(newer).Error)
		pool, err := w.DB.DB()
		must(t, err)
		old.Phone.Set("2")
		err = sqlseal.New(w.users, nil).Upsert(t.Context(), sqlseal.SQL(sqlseal.Dialect(w.Name()), pool), nil, old)
		wantErr(t, "Upsert", err, kms.ErrInvalidRequest)
		w.wantUser("afterwards", 1, "new@example.org", "phone of ada")
	})
}

func TestINSERTIGNORECutsNoCiphertext(t *testing.T) {
	w := open(t, dbtest.MariaDB)
	u := newUser("ada")
	u.ID = 5
	u.Email.Set(strings.Repeat("x", 70_000)) // more than the column takes
	err := w.Clauses(clause.Insert{Modifier: "IGNORE"}).Create(u).Error
	wantErr(t, "INSERT IGNORE", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "use clause.OnConflict{DoNothing: true}")
}
