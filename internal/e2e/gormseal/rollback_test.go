package gormseal_test

import (
	"database/sql"
	"errors"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// undone does what is given in a transaction that is rolled back.
func (w *world) undone(do func(tx *gorm.DB) error) {
	w.t.Helper()
	err := w.Transaction(func(tx *gorm.DB) error { return errors.Join(do(tx), errUndo) })
	if one, ok := err.(interface{ Unwrap() []error }); !ok || len(one.Unwrap()) != 1 || !errors.Is(err, errUndo) {
		w.t.Fatalf("to be rolled back: %v", err)
	}
}

func TestSaveInsertsANewRowAgainAfterARollback(t *testing.T) {
	for name, undo := range map[string]func(tx *gorm.DB, u *User) error{
		"Save":   func(tx *gorm.DB, u *User) error { return tx.Save(u).Error },
		"Create": func(tx *gorm.DB, u *User) error { return tx.Create(u).Error },
		"Save twice": func(tx *gorm.DB, u *User) error {
			err := tx.Save(u).Error
			u.Email.Set("ada@example.org")
			return errors.Join(err, tx.Save(u).Error)
		},
		"Save of a slice": func(tx *gorm.DB, u *User) error { return tx.Save([]*User{u}).Error },
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
				w := open(t, d)
				u, others := newUser("ada"), newUsers(2)
				w.undone(func(tx *gorm.DB) error { return undo(tx, u) })
				must(t, w.Transaction(func(tx *gorm.DB) error { return tx.Save(u).Error }))
				w.wantUser("saved again", u.ID, "ada@example.org", "phone of ada")
				must(t, w.Save(u).Error) // it is there
				u.Email.Set("new")
				must(t, w.Save(u).Error)
				w.wantUser("then updated", u.ID, "new", "phone of ada")

				w.undone(func(tx *gorm.DB) error { return tx.Save(&others).Error })
				others[0].Email.Set("changed")
				must(t, w.Save(&others).Error)
				w.wantUser("a slice", others[0].ID, "changed", "phone of user0")
				w.wantUser("a slice", others[1].ID, "user1@example.org", "phone of user1")

				v := newUser("bob")
				w.undone(func(tx *gorm.DB) error { return undo(tx, v) })
				v.Email.Set("changed in between")
				must(t, w.Save(v).Error)
				w.wantUser("changed in between", v.ID, "changed in between", "phone of bob")
			})
		})
	}
}

func TestSaveWithAssociationsInsertsThemAgainAfterARollback(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for _, full := range []bool{false, true} {
			w := open(t, d)
			session := func(tx *gorm.DB) *gorm.DB { return tx.Session(&gorm.Session{FullSaveAssociations: full}) }
			u := newUser("ada")
			u.Orders = []Order{{Note: set("first")}, {Note: set("second")}}
			order := &Order{Note: set("third"), User: newUser("bob")}
			save := func(tx *gorm.DB) error { return errors.Join(session(tx).Save(u).Error, session(tx).Save(order).Error) }
			w.undone(save)
			must(t, w.Transaction(save))
			var found []Order
			must(t, w.Preload("User").Order("id").Find(&found).Error)
			must(t, gormseal.Open(t.Context(), &found))
			notes := ""
			for _, o := range found {
				notes += get(t, o.Note) + " of " + get(t, o.User.Email) + ", "
			}
			if notes != "first of ada@example.org, second of ada@example.org, third of bob@example.org, " {
				t.Errorf("FullSaveAssociations %t: %s", full, notes)
			}
		}
	})
}

// Otherwise a row that somebody has deleted would come back.
func TestNoRowThatWasLoadedIsInsertedAgain(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		u.Orders = []Order{{Note: set("first")}}
		must(t, w.Create(u).Error)
		loaded := w.load(u.ID)
		must(t, w.Preload("Orders").First(loaded, u.ID).Error)
		must(t, gormseal.Open(t.Context(), loaded))
		var order Order
		must(t, w.Preload("User").First(&order).Error)
		must(t, gormseal.Open(t.Context(), &order))
		must(t, w.Exec("DELETE FROM orders").Error)
		wantErr(t, "Save of its user", w.Save(loaded).Error, gorm.ErrRecordNotFound)
		must(t, w.Unscoped().Delete(&User{}, u.ID).Error)
		before := w.dump("users") + w.dump("orders")
		loaded.Orders = nil
		loaded.Email.Set("new")
		for what, err := range map[string]error{
			"Save":                 w.Save(loaded).Error,
			"Save of a slice":      w.Save([]*User{loaded}).Error,
			"FullSaveAssociations": w.Session(&gorm.Session{FullSaveAssociations: true}).Save(&order).Error,
		} {
			wantErr(t, what, err, sql.ErrNoRows)
			wantErr(t, what, err, gorm.ErrRecordNotFound)
		}
		if after := w.dump("users") + w.dump("orders"); after != before {
			t.Errorf("the tables have %s", after)
		}
	})
}

// Save of a row saves no associations that are there already, and says so where that would lose a value.
func TestAnAssociationThatHasChangedIsNotLeftOutSilently(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		u.Orders = []Order{{Note: set("first")}}
		must(t, w.Create(u).Error)
		load := func() (o Order) {
			must(t, w.Preload("User").First(&o).Error)
			return o
		}
		w.kms.Reset()
		o := load()
		must(t, w.Save(&o).Error)
		w.requests("nothing has changed", 0, 0)
		must(t, gormseal.Open(t.Context(), &o))
		w.kms.Reset()
		must(t, w.Save(&o).Error)
		w.requests("nothing has changed in open rows", 0, 0)

		o.User.Email.Set("new")
		wantErr(t, "a value that is set", w.Save(&o).Error, rowseal.ErrUnsealed)
		must(t, w.users.Seal(t.Context(), o.User))
		err := w.Save(&o).Error
		wantErr(t, "a value that is sealed", err, rowseal.ErrUnsealed)
		wantMessage(t, err, "Email of a row of users", "Updates(&row)")
		o = load()
		must(t, gormseal.Open(t.Context(), &o))
		w.users.Clear(o.User)
		wantErr(t, "Clear", w.Save(&o).Error, rowseal.ErrUnsealed)
		w.wantUser("still", u.ID, "ada@example.org", "phone of ada")

		var v User
		must(t, w.Preload("Orders").First(&v).Error)
		must(t, gormseal.Open(t.Context(), &v))
		v.Orders[0].Note.Set("second")
		must(t, w.orders.Seal(t.Context(), &v.Orders[0]))
		wantErr(t, "has many", w.Save(&v).Error, rowseal.ErrUnsealed)

		// In a transaction nobody knows yet what the database keeps, and it is asked.
		must(t, w.Transaction(func(tx *gorm.DB) error {
			o = load()
			must(t, gormseal.Open(t.Context(), &o))
			o.User.Email.Set("new")
			must(t, tx.Updates(o.User).Error)
			must(t, tx.Save(&o).Error)
			o.User.Email.Set("newer")
			must(t, w.users.Seal(t.Context(), o.User))
			wantErr(t, "changed again", tx.Save(&o).Error, rowseal.ErrUnsealed)
			return nil
		}))
		w.wantUser("updated", u.ID, "new", "phone of ada")
	})
}

func TestSaveOfARowThatWasNotLoadedSaysThatOneIsThere(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for _, translate := range []bool{false, true} {
			w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) { c.TranslateError = translate })
			u := newUser("ada")
			must(t, w.Create(u).Error)
			other := newUser("mallory")
			other.ID = u.ID
			for what, err := range map[string]error{"Save": w.Save(other).Error, "Save of a slice": w.Save([]*User{other}).Error} {
				wantMessage(t, err, "load the row")
				if translate {
					wantErr(t, what, err, gorm.ErrDuplicatedKey)
				} else if driver := errors.Unwrap(err); driver == nil || errors.Is(err, gorm.ErrDuplicatedKey) {
					t.Errorf("%s: %v is not that of the driver", what, err)
				}
			}
			w.kms.Deny(kms.OpEncrypt)
			err := w.Save(&User{ID: 77, Email: set("x")}).Error
			wantErr(t, "another error", err, kms.ErrAccessDenied)
			w.wantUser("still", u.ID, "ada@example.org", "phone of ada")
		}
	})
}

// Room belongs to a House, and its encryption context says to which.
type Room struct {
	ID              string `gorm:"primaryKey;size:36"`
	HouseID         int64
	EncryptedKMSKey rowseal.DataKey
	Text            rowseal.Sealed[string]
}

type House struct {
	ID    int64
	Name  string
	Rooms []Room
}

func TestAssociationsWhoseContextHasTheForeignKey(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openHouses(t, d)
		want := func(what string, rooms map[string]int64) {
			t.Helper()
			var all []Room
			must(t, db.Find(&all).Error)
			must(t, gormseal.Open(t.Context(), &all))
			if len(all) != len(rooms) {
				t.Errorf("%s: %d rooms", what, len(all))
			}
			for _, r := range all {
				if r.HouseID != rooms[r.ID] || get(t, r.Text) != "in "+r.ID {
					t.Errorf("%s: %+v", what, r)
				}
			}
		}
		one := &House{Name: "one", Rooms: []Room{{ID: "a", Text: set("in a")}}}
		must(t, db.Create(one).Error)
		must(t, db.Model(one).Association("Rooms").Append(&Room{ID: "b", Text: set("in b")}))
		two := &House{Name: "two", Rooms: []Room{{ID: "c", Text: set("in c")}}}
		must(t, db.Save(two).Error)
		rooms := map[string]int64{"a": one.ID, "b": one.ID, "c": two.ID}
		want("created", rooms)
		must(t, db.Preload("Rooms").First(one).Error)
		must(t, db.Save(one).Error)
		want("saved as they are", rooms)

		err := db.Model(two).Association("Rooms").Append(&Room{ID: "a", Text: set("in a")})
		wantMessage(t, err, "load the row")
		var a Room
		must(t, db.First(&a, "id = ?", "a").Error)
		wantErr(t, "a loaded room", db.Model(&House{ID: two.ID}).Association("Rooms").Append(&a), rowseal.ErrContextChanged)
		err = db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"house_id"})}).
			Create(&Room{ID: "a", HouseID: two.ID, Text: set("x")}).Error
		wantErr(t, "OnConflict", err, rowseal.ErrContextChanged)
		want("not moved", rooms)

		three := &House{Name: "three", Rooms: []Room{{ID: "d", Text: set("in d")}}}
		save := func(undo error) error {
			return db.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(three).Error, undo) })
		}
		wantErr(t, "undone", save(errUndo), errUndo)
		must(t, save(nil))
		rooms["d"] = three.ID
		want("after a rollback", rooms)
	})
}

func openHouses(t *testing.T, d dbtest.Database) *gorm.DB {
	t.Helper()
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{BatchSize: 10}, nil)})
	must(t, err)
	model, err := rowseal.NewModel[Room]("rooms", ring, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{
		"": {Context: rowseal.ContextRule{Names: map[string]string{"house": "{house_id}", "room": "{id}"}}},
	}})
	must(t, err)
	db := gormtest.Open(t, d, nil)
	must(t, db.Use(gormseal.New(model)))
	must(t, db.AutoMigrate(&House{}, &Room{}))
	return db
}

func TestAPrimaryKeyDoesNotChange(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		for what, err := range map[string]error{
			"Update": w.Model(u).Update("ID", 9).Error,
			"a map":  w.Model(&User{}).Where("id = ?", u.ID).Updates(map[string]any{"id": 9}).Error,
			"Table":  w.Table("users").Where("id = ?", u.ID).Update("id", 9).Error,
		} {
			wantErr(t, what, err, rowseal.ErrContextChanged)
			wantMessage(t, err, "create a new row", "delete")
		}
		v := &Visit{ID: "v1", Clinic: "north", Reason: set("cough")}
		must(t, w.Create(v).Error)
		wantMessage(t, w.Model(v).Update("Clinic", "south").Error, "Clear it")
		w.wantUser("still", u.ID, "ada@example.org", "phone of ada")
	})
}
