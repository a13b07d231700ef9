package gormseal_test

import (
	"database/sql"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
)

func TestUpdateOfAnOpenedRowAsksNoKMS(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		u = w.load(u.ID)
		w.kms.Reset()
		u.Email.Set("new")
		must(t, w.Model(u).Select("Email").Updates(u).Error)
		w.requests("Updates", 0, 0)
		w.wantUser("Updates", u.ID, "new", "phone of ada")
	})
}

// Only what has changed is written, so that two structs of one row do not undo each other's changes.
func TestOnlyWhatHasChangedIsWritten(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		one, two := w.load(u.ID), w.load(u.ID)
		one.Email.Set("of one")
		two.Phone.Set("of two")
		two.BornOn.Set(time.Date(2001, 2, 3, 0, 0, 0, 0, time.UTC))
		must(t, w.Save(one).Error)
		must(t, w.Save(two).Error)
		w.wantUser("both", u.ID, "of one", "of two")

		one.Email.SetNull()
		must(t, w.Updates(one).Error)
		var found User
		must(t, w.First(&found, u.ID).Error)
		if !found.Email.IsNull() || !found.EmailIndex.IsNull() || found.BornOn.IsNull() {
			t.Errorf("after SetNull: %+v", found)
		}
	})
}

// Plain columns are GORM's own affair, for any number of rows.
func TestUpdatesOfPlainColumnsAreLeftAlone(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(3)
		must(t, w.Create(&users).Error)
		w.kms.Reset()
		u := &users[0]
		for what, do := range map[string]func() *gorm.DB{
			"map":            func() *gorm.DB { return w.Model(u).Updates(map[string]any{"name": "x", "Age": 2}) },
			"column":         func() *gorm.DB { return w.Model(u).Update("Age", gorm.Expr("age + 1")) },
			"UpdateColumn":   func() *gorm.DB { return w.Model(u).UpdateColumn("age", 77) },
			"another struct": func() *gorm.DB { return w.Model(u).Updates(User{ID: u.ID, Name: "y"}) },
			"by value":       func() *gorm.DB { return w.Where("id = ?", u.ID).Updates(User{Name: "z"}) },
			"Table":          func() *gorm.DB { return w.Table("users").Where("id = ?", u.ID).Update("name", "t") },
			"not loaded":     func() *gorm.DB { return w.Updates(&User{ID: u.ID, Name: "n"}) },
			"raw struct":     func() *gorm.DB { return w.Select("Name").Updates(&RawUser{ID: u.ID, Name: "r"}) },
			"generics": func() *gorm.DB {
				_, err := gorm.G[User](w.DB).Where("id = ?", u.ID).Update(t.Context(), "name", "g")
				must(t, err)
				return nil
			},
		} {
			if tx := do(); tx != nil && (tx.Error != nil || tx.RowsAffected != 1) {
				t.Errorf("%s: %d rows, %v", what, tx.RowsAffected, tx.Error)
			}
		}
		many := w.Model(&User{}).Where("id <> ?", u.ID).Updates(map[string]any{"age": 50})
		if many.Error != nil || many.RowsAffected != 2 {
			t.Errorf("%d rows, %v", many.RowsAffected, many.Error)
		}
		must(t, w.Where("age = ?", 50).Updates(&User{Age: 51}).Error)
		w.requests("all of that", 0, 0)
		for _, u := range users {
			w.wantUser("still", u.ID, get(t, u.Email), get(t, u.Phone))
		}
	})
}

func TestGORMsOwnTimes(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) { c.NowFunc = func() time.Time { return clock } })
		users := newUsers(2)
		must(t, w.Create(&users).Error)
		clock = clock.Add(time.Hour)
		users[0].Email.Set("new")
		must(t, w.Updates(&users[0]).Error)
		if got := w.load(users[0].ID); !got.UpdatedAt.Equal(clock) || !got.CreatedAt.Equal(clock.Add(-time.Hour)) {
			t.Errorf("created %v, updated %v", got.CreatedAt, got.UpdatedAt)
		}
		clock = clock.Add(time.Hour)
		must(t, w.Save(&users).Error)
		if got := w.load(users[1].ID); !got.UpdatedAt.Equal(clock) || !got.CreatedAt.Equal(clock.Add(-2*time.Hour)) {
			t.Errorf("after Save of a slice: created %v, updated %v", got.CreatedAt, got.UpdatedAt)
		}
	})
}

func TestSaveOfLoadedRowsIsOneBatchAndNoUpsert(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(3)
		must(t, w.Create(&users).Error)
		var found []User
		must(t, w.Order("id").Find(&found).Error)
		other := w.load(users[0].ID)
		other.Phone.Set("of another")
		must(t, w.Save(other).Error)
		w.kms.Reset()

		for i := range found {
			found[i].Email.Set("new")
		}
		found = append(found, *newUser("dora")) // and one that is new
		tx := w.Save(&found)
		must(t, tx.Error)
		if tx.RowsAffected != 4 {
			t.Errorf("%d rows", tx.RowsAffected)
		}
		w.requests("Save", 1, 1)
		w.wantUser("saved", found[0].ID, "new", "of another")
		w.wantUser("saved", found[2].ID, "new", "phone of user2")
		w.wantUser("created", found[3].ID, "dora@example.org", "phone of dora")

		must(t, w.Unscoped().Delete(&User{}, found[1].ID).Error)
		found[0].Email.Set("newer")
		wantErr(t, "Save of a row that is gone", w.Save(&found).Error, sql.ErrNoRows)
		w.wantUser("rolled back", found[0].ID, "new", "of another")
	})
}

func TestSaveOfOneRow(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Save(u).Error)
		w.requests("new", 1, 0)
		w.wantUser("new", u.ID, "ada@example.org", "phone of ada")
		must(t, w.Save(u).Error) // unchanged
		must(t, w.Save(u).Error)
		w.requests("unchanged", 0, 0)

		preset := newUser("bob")
		preset.ID = 500
		must(t, w.Save(preset).Error)
		w.wantUser("an id of the caller's", 500, "bob@example.org", "phone of bob")
		plain := &User{ID: 501, Name: "cyd"}
		must(t, w.Save(plain).Error)

		taken := newUser("mallory")
		taken.ID = 500
		if err := w.Save(taken).Error; err == nil {
			t.Error("Save of a row that was never loaded has overwritten one")
		}
		w.wantUser("still", 500, "bob@example.org", "phone of bob")
		must(t, w.Save(&User{ID: 500, Name: "renamed"}).Error)
		w.wantUser("sealed columns of a row that was not loaded are left alone", 500, "bob@example.org", "phone of bob")

		must(t, w.Unscoped().Delete(&User{}, 500).Error)
		preset.Email.Set("again")
		wantErr(t, "Save of a row that is gone", w.Save(preset).Error, sql.ErrNoRows)
		preset.Email.SetNull()
		gone := w.load(u.ID)
		must(t, w.Delete(&User{}, u.ID).Error) // softly
		gone.Name = "x"
		wantErr(t, "Save of a row that is softly deleted", w.Save(gone).Error, sql.ErrNoRows)
	})
}

// A row whose key the writer may not open gets a new one, in one statement with everything sealed under it.
func TestClear(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		w.kms.Deny(kms.OpDecrypt)
		var found User
		must(t, w.First(&found, u.ID).Error)
		found.Email.Set("new")
		wantErr(t, "without the right to open", w.Updates(&found).Error, kms.ErrAccessDenied)
		must(t, w.First(&found, u.ID).Error)
		w.users.Only("").Clear(&found)
		found.Email.Set("new")
		must(t, w.Updates(&found).Error)
		w.kms.Allow(kms.OpDecrypt)
		w.wantUser("cleared", u.ID, "new", "phone of ada")
	})
}

func TestAColumnOfTheContext(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		v := &Visit{ID: "v1", Clinic: "north", Reason: set("cough")}
		must(t, w.Create(v).Error)
		load := func() *Visit {
			var found Visit
			must(t, w.First(&found, "id = ?", "v1").Error)
			must(t, gormseal.Open(t.Context(), &found))
			return &found
		}
		wantErr(t, "map", w.Model(v).Update("Clinic", "south").Error, rowseal.ErrContextChanged)
		wantErr(t, "many rows", w.Model(&Visit{}).Where("1 = 1").Updates(map[string]any{"clinic": "south"}).Error, rowseal.ErrContextChanged)
		wantErr(t, "Table", w.Table("visits").Where("1 = 1").Update("clinic", "south").Error, rowseal.ErrContextChanged)
		moved := load()
		moved.Clinic = "south"
		wantErr(t, "a row with its key", w.Save(moved).Error, rowseal.ErrContextChanged)
		if load().Clinic != "north" {
			t.Error("the row has moved")
		}

		moved = load()
		reason := get(t, moved.Reason)
		w.visits.Clear(moved)
		moved.Clinic = "south"
		moved.Reason.Set(reason)
		must(t, w.Save(moved).Error)
		if found := load(); found.Clinic != "south" || get(t, found.Reason) != "cough" {
			t.Errorf("%+v", found)
		}

		stale := load()
		must(t, w.Exec("UPDATE visits SET clinic = 'west', encrypted_kms_key = NULL, reason_ciphertext = NULL").Error)
		stale.Reason.Set("fever")
		if err := w.Save(stale).Error; err == nil {
			t.Error("a row is written whose context has changed in between")
		}
		if found := load(); found.Clinic != "west" || !found.Reason.IsNull() {
			t.Errorf("%+v", found)
		}
	})
}

func TestAZeroFieldIsNoChange(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		u = w.load(u.ID)
		u.Email = rowseal.Sealed[string]{}
		must(t, w.Save(u).Error)
		w.wantUser("saved", u.ID, "ada@example.org", "phone of ada")
		u.Email.SetNull()
		must(t, w.Save(u).Error)
		if found := w.load(u.ID); !found.Email.IsNull() {
			t.Errorf("after SetNull: %+v", found)
		}
	})
}

// The caller's own conditions stay what they are, and no other row is written.
func TestConditionsOfTheCallersOwn(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(2)
		must(t, w.Create(&users).Error)
		u := w.load(users[0].ID)
		u.Email.Set("new")
		if tx := w.Model(u).Where("age = ?", 99).Updates(u); tx.Error != nil || tx.RowsAffected != 0 {
			t.Errorf("unmet: %d rows, %v", tx.RowsAffected, tx.Error)
		}
		w.wantUser("unmet", u.ID, "user0@example.org", "phone of user0")
		for _, tx := range []*gorm.DB{
			w.Where("age = ?", 0).Or("name = ?", "user1"), w.Where("age = 99\nOR\nname = 'user1' OR age = 0"),
		} {
			u.Email.Set("new")
			tx = tx.Model(u).Updates(u)
			if tx.Error != nil || tx.RowsAffected != 1 {
				t.Errorf("Or: %d rows, %v", tx.RowsAffected, tx.Error)
			}
			w.wantUser("Or", u.ID, "new", "phone of user0")
			w.wantUser("another row", users[1].ID, "user1@example.org", "phone of user1")
		}
		must(t, w.Delete(&User{}, u.ID).Error)
		u.Email.Set("newer")
		if tx := w.Updates(u); tx.Error != nil || tx.RowsAffected != 0 {
			t.Errorf("softly deleted: %d rows, %v", tx.RowsAffected, tx.Error)
		}
		must(t, w.Unscoped().Updates(u).Error)
	})
}

func TestReturning(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Clauses(clause.Returning{}).Create(u).Error)
		if get(t, u.Email) != "ada@example.org" {
			t.Errorf("%+v", u)
		}
		w.wantUser("created", u.ID, "ada@example.org", "phone of ada")
		if d.Name == dbtest.MariaDB.Name { // which has no UPDATE … RETURNING before 13.0
			return
		}
		must(t, w.Model(&User{}).Where("id = ?", u.ID).Update("age", 40).Error)
		u.Email.Set("new")
		must(t, w.Model(u).Clauses(clause.Returning{}).Select("Email").Updates(u).Error)
		if u.Age != 40 || get(t, u.Email) != "new" {
			t.Errorf("%+v", u)
		}
		w.wantUser("updated", u.ID, "new", "phone of ada")
		var all []User
		must(t, w.Model(&all).Clauses(clause.Returning{}).Where("age = ?", 40).Update("name", "x").Error)
		must(t, gormseal.Open(t.Context(), &all))
		if len(all) != 1 || get(t, all[0].Email) != "new" {
			t.Errorf("%+v", all)
		}
	})
}
