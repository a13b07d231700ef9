package gormseal_test

import (
	"errors"
	"fmt"
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

func newUsers(n int) []User {
	all := make([]User, n)
	for i := range all {
		all[i] = *newUser(fmt.Sprint("user", i))
	}
	return all
}

func (w *world) wantUsers(what string, users []User) {
	w.t.Helper()
	var found []User
	must(w.t, w.Order("id").Find(&found).Error)
	must(w.t, gormseal.Open(w.t.Context(), &found))
	if len(found) != len(users) {
		w.t.Fatalf("%s: %d rows, want %d", what, len(found), len(users))
	}
	for i := range found {
		if found[i].ID != users[i].ID || get(w.t, found[i].Email) != found[i].Name+"@example.org" || get(w.t, found[i].Phone) != "phone of "+found[i].Name {
			w.t.Errorf("%s: row %d is %+v", what, i, found[i])
		}
	}
	w.kms.Reset()
}

func TestManyRowsAreSealedInOneBatch(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(200)
		must(t, w.Create(&users).Error)
		w.requests("Create", 1, 0) // both keys of all rows
		w.wantUsers("Create", users)
		must(t, w.Find(&users).Error)
		w.requests("Find", 0, 0)
		must(t, gormseal.Open(t.Context(), &users))
		w.requests("Open", 0, 1)
		must(t, gormseal.Open(t.Context(), &users))
		w.requests("Open again", 0, 0)
	})
}

func TestCreateInBatches(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(10)
		must(t, w.CreateInBatches(&users, 4).Error)
		w.requests("CreateInBatches", 3, 0)
		w.wantUsers("CreateInBatches", users)
	})
}

// Rows with ids of the caller's and without go together.
func TestRowsWithAndWithoutIDs(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(3)
		users[0].ID = 41
		if d.Name == dbtest.SQLite.Name {
			users[0].ID = 0 // a VALUES of SQLite has no DEFAULT, so GORM cannot insert both together there
		}
		must(t, w.Create(&users).Error)
		for _, u := range users {
			w.wantUser("created", u.ID, u.Name+"@example.org", "phone of "+u.Name)
		}
	})
}

func TestTheOrderOfEventsForNewRows(t *testing.T) {
	order := func(o sqlseal.Order) func(*gormseal.Plugin, *gorm.Config) {
		return func(p *gormseal.Plugin, _ *gorm.Config) {
			p.Tables = map[string]gormseal.TableOptions{"users": {Order: o}}
		}
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		t.Run("InsertFirst", func(t *testing.T) {
			w := open(t, d, order(sqlseal.InsertFirst))
			users := newUsers(2)
			must(t, w.Create(&users).Error)
			w.wantUsers("created", users)
		})
		t.Run("FetchID", func(t *testing.T) {
			w := open(t, d, order(sqlseal.FetchID))
			users := newUsers(2)
			err := w.Create(&users).Error
			if d.Name == dbtest.PostgreSQL.Name {
				must(t, err)
				w.wantUsers("created", users)
				return
			}
			wantErr(t, "no default to ask for", err, rowseal.ErrNotReady)
			w.wantUsers("refused", nil)
		})
		t.Run("an id of the caller's", func(t *testing.T) {
			w := open(t, d, order(sqlseal.FetchID))
			u := newUser("ada")
			u.ID = 7
			must(t, w.Create(u).Error)
			w.requests("Create", 1, 0)
			w.wantUser("created", 7, "ada@example.org", "phone of ada")
		})
	})
}

// Where the database returns no ids but the first, rows that wait for theirs are inserted one by one.
func TestIDsWithoutReturning(t *testing.T) {
	w := open(t, dbtest.MariaDB)
	plain, err := gorm.Open(mysql.New(mysql.Config{Conn: w.ConnPool, DisableWithReturning: true}), &gorm.Config{Logger: logger.Discard})
	must(t, err)
	must(t, plain.Exec("SET SESSION auto_increment_increment = 3").Error)
	must(t, plain.Use(gormseal.New(w.users, w.orders, w.visits)))
	must(t, plain.Connection(func(tx *gorm.DB) error {
		must(t, tx.Exec("SET SESSION auto_increment_increment = 3").Error)
		users := newUsers(3)
		must(t, tx.Create(&users).Error)
		w.requests("Create", 1, 0)
		w.wantUsers("created", users)
		return nil
	}))
}

// A KMS that does not answer leaves nothing in the table, whatever the order of events.
func TestAKMSThatFailsLeavesNoRow(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		w.kms.Deny(kms.OpEncrypt)
		users := newUsers(2)
		wantErr(t, "Create", w.Create(&users).Error, kms.ErrAccessDenied)
		w.wantUsers("refused", nil)
		w.kms.Allow(kms.OpEncrypt)
		for i := range users {
			users[i].ID = 0
		}
		must(t, w.Create(&users).Error)
		w.wantUsers("again", users)
	})
}

func TestSkipDefaultTransaction(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) { c.SkipDefaultTransaction = true })
		users := newUsers(2)
		w.kms.Deny(kms.OpEncrypt)
		wantErr(t, "Create", w.Create(&users).Error, kms.ErrAccessDenied)
		w.wantUsers("refused", nil)
		w.kms.Allow(kms.OpEncrypt)
		users = newUsers(2)
		must(t, w.Create(&users).Error)
		w.wantUsers("created", users)
		users[0].Email.Set("new")
		must(t, w.Save(&users[0]).Error)
		users[0].Phone.Set("new too")
		must(t, w.Save(&users[0]).Error)
		w.wantUser("saved twice", users[0].ID, "new", "new too")
	})
}

func TestOmitOfEverythingSealed(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Omit("EncryptedKMSKey", "Email", "EmailIndex", "BornOn", "KMSKeyPhone", "Phone").Create(u).Error)
		w.requests("Create", 0, 0)
		must(t, w.Updates(u).Error) // and what is set is not forgotten
		w.requests("Updates", 1, 0)
		w.wantUser("then", u.ID, "ada@example.org", "phone of ada")

		v := &User{Name: "bob"}
		must(t, w.Select("Name").Create(v).Error)
		must(t, w.Model(&User{}).Create(map[string]any{"Name": "cyd"}).Error)
		w.requests("nothing sealed", 0, 0)
	})
}

func TestOnConflict(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		other := newUser("bob")
		other.ID = u.ID

		must(t, w.Clauses(clause.OnConflict{DoNothing: true}).Create(other).Error)
		w.wantUser("DoNothing", u.ID, "ada@example.org", "phone of ada")
		other.Email.Set("carol@example.org")
		err := w.Updates(other).Error // it is not the row that is there
		if err == nil {
			t.Error("a row that was not inserted is updated")
		}
		w.wantUser("DoNothing", u.ID, "ada@example.org", "phone of ada")

		other = newUser("bob")
		other.ID = u.ID
		must(t, w.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"name"})}).Create(other).Error)
		w.wantUser("DoUpdates of plain columns", u.ID, "ada@example.org", "phone of ada")

		other = newUser("bob")
		other.ID = u.ID
		must(t, w.Clauses(clause.OnConflict{UpdateAll: true}).Create(other).Error)
		w.requests("UpdateAll", 1, 0)
		w.wantUser("UpdateAll", u.ID, "bob@example.org", "phone of bob")
		other.Email.Set("carol@example.org")
		must(t, w.Updates(other).Error)
		w.wantUser("after UpdateAll", u.ID, "carol@example.org", "phone of bob")

		sealed := w.users.Rows().SealedColumns()
		last := newUser("dora")
		last.ID = u.ID
		must(t, w.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns(sealed)}).Create(last).Error)
		w.wantUser("AssignmentColumns", u.ID, "dora@example.org", "phone of dora")

		must(t, w.Clauses(clause.OnConflict{DoNothing: true}).Create(&[]User{*newUser("eve"), *newUser("fay")}).Error)
		var n int64
		must(t, w.Model(&User{}).Where(gormseal.In("Email", "eve@example.org", "fay@example.org")).Count(&n).Error)
		if n != 2 {
			t.Errorf("DoNothing has created %d rows of 2", n)
		}
	})
}

// An upsert's target must have every column that the context uses, so that the key is wrapped for the row that is there.
func TestOnConflictAndTheContext(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		v := &Visit{ID: "v1", Clinic: "north", Reason: set("cough")}
		must(t, w.Create(v).Error)
		again := func() *Visit { return &Visit{ID: "v1", Clinic: "south", Reason: set("fever")} }
		wantErr(t, "UpdateAll by the id", w.Clauses(clause.OnConflict{UpdateAll: true}).Create(again()).Error, rowseal.ErrContextChanged)
		wantErr(t, "DoUpdates of the context", w.Clauses(clause.OnConflict{
			Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"clinic"}),
		}).Create(again()).Error, rowseal.ErrContextChanged)
		var found Visit
		must(t, w.First(&found).Error)
		must(t, gormseal.Open(t.Context(), &found))
		if get(t, found.Reason) != "cough" || found.Clinic != "north" {
			t.Errorf("%+v", found)
		}
		same := &Visit{ID: "v2", Clinic: "north", Reason: set("fever")}
		must(t, w.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"room"})}).Create(same).Error)
	})
}

// What GORM saves with a row is saved again after a rollback, and found as it is where it was loaded.
func TestAssociations(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		order := &Order{Note: set("note"), User: newUser("ada")}
		order.User.Orders = []Order{{Note: set("another")}}
		create := func(undo error) error {
			return w.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(order).Error, undo) })
		}
		wantErr(t, "undone", create(errUndo), errUndo)
		must(t, create(nil))
		w.wantUser("created with an order", *order.UserID, "ada@example.org", "phone of ada")
		var n int64
		must(t, w.Model(&Order{}).Where("user_id = ?", *order.UserID).Count(&n).Error)
		if n != 2 {
			t.Errorf("%d orders", n)
		}

		var u User
		must(t, w.Preload("Orders").First(&u).Error)
		w.kms.Reset()
		u.Name = "renamed"
		u.Orders = append(u.Orders, Order{Note: set("third")})
		must(t, w.Save(&u).Error)
		w.requests("Save with orders that are not open", 1, 0)
		must(t, w.Preload("Orders", func(tx *gorm.DB) *gorm.DB { return tx.Order("id") }).First(&u).Error)
		must(t, gormseal.Open(t.Context(), &u))
		if len(u.Orders) != 3 || get(t, u.Orders[2].Note) != "third" || u.Name != "renamed" {
			t.Errorf("%+v", u)
		}
	})
}

func TestOneStructIsOneRow(t *testing.T) {
	w := open(t, dbtest.SQLite)
	u := newUser("ada")
	wantErr(t, "twice in a slice", w.Create([]*User{u, u}).Error, gorm.ErrInvalidData)
	w.wantUsers("refused", nil)
}
