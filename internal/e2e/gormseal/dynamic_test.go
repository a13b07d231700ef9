package gormseal_test

import (
	"slices"
	"testing"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
)

// A struct's encryption context, and the associated data of its fields, are of one table. Rows may be read where they were moved to.
func TestATableWithAnotherNameIsReadAndNotWritten(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		v := &Visit{ID: "v1", Clinic: "north", Reason: set("cough")}
		must(t, w.Create(v).Error)
		must(t, w.Exec("CREATE TABLE archive AS SELECT * FROM visits").Error)
		archive := func() *gorm.DB { return w.Table("archive") }
		var found Visit
		must(t, archive().Take(&found).Error)
		must(t, gormseal.Open(t.Context(), &found))
		if get(t, found.Reason) != "cough" {
			t.Errorf("%+v", found)
		}
		before := []string{w.dump("visits"), w.dump("archive")}
		w.kms.Reset()
		for what, do := range map[string]func(row *Visit) error{
			"Create":      func(row *Visit) error { row.ID = "v2"; return archive().Create(row).Error },
			"Create, new": func(*Visit) error { return archive().Create(&Visit{ID: "v3", Clinic: "north", Reason: set("x")}).Error },
			"Save":        func(row *Visit) error { return archive().Save(row).Error },
			"Updates":     func(row *Visit) error { return archive().Updates(row).Error },
			"a scope": func(row *Visit) error {
				return w.Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Table("archive") }).Save(row).Error
			},
			"a subquery": func(row *Visit) error { return w.Table("(?) AS v", w.Model(&Visit{})).Updates(row).Error },
			"an alias":   func(row *Visit) error { return w.Table("visits AS v").Updates(row).Error },
			"generics": func(*Visit) error {
				return gorm.G[Visit](w.DB).Table("archive").Create(t.Context(), &Visit{ID: "v4", Clinic: "north", Reason: set("x")})
			},
			"a slice": func(row *Visit) error { return archive().Save([]*Visit{row}).Error },
			"CreateInBatch": func(*Visit) error {
				return archive().CreateInBatches([]*Visit{{ID: "v5", Clinic: "north", Reason: set("x")}}, 1).Error
			},
		} {
			var row Visit
			must(t, archive().Take(&row).Error)
			row.Reason.Set("fever")
			err := do(&row)
			wantErr(t, what, err, kms.ErrInvalidRequest)
			wantMessage(t, err, "is of table visits")
			w.requests(what, 0, 0)
		}
		if after := []string{w.dump("visits"), w.dump("archive")}; !slices.Equal(before, after) {
			t.Errorf("the tables were %q and are %q", before, after)
		}
		must(t, w.Table("visits").Create(&Visit{ID: "v6", Clinic: "north", Reason: set("x")}).Error) // by its own name
	})
}

func TestGenerics(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		ctx := t.Context()
		ada := newUser("ada")
		must(t, gorm.G[User](w.DB).Create(ctx, ada))
		w.requests("Create", 1, 0)
		more := newUsers(3)
		must(t, gorm.G[User](w.DB).CreateInBatches(ctx, &more, 2))
		w.requests("CreateInBatches", 2, 0)
		for i := range more {
			w.wantUser("CreateInBatches", more[i].ID, more[i].Name+"@example.org", "phone of "+more[i].Name)
		}

		found, err := gorm.G[User](w.DB).Where(gormseal.Equal("Email", "ADA@example.org")).First(ctx)
		must(t, err)
		w.requests("First", 0, 0)
		must(t, gormseal.Open(ctx, &found))
		if found.ID != ada.ID || get(t, found.Email) != "ada@example.org" {
			t.Errorf("%+v", found)
		}
		w.kms.Reset()
		all, err := gorm.G[User](w.DB).Order("id").Find(ctx)
		must(t, err)
		must(t, gormseal.Open(ctx, &all))
		w.requests("Open", 0, 1)
		if len(all) != 4 || get(t, all[3].Phone) != "phone of user2" {
			t.Errorf("%+v", all)
		}

		// G[User] updates with a copy, which is not the row that was set; G[*User] has the row.
		found.Email.Set("new@example.org")
		_, err = gorm.G[User](w.DB).Where("id = ?", ada.ID).Updates(ctx, found)
		wantErr(t, "Updates with a copy", err, rowseal.ErrUnsealed)
		w.wantUser("refused", ada.ID, "ada@example.org", "phone of ada")
		if n, err := gorm.G[*User](w.DB).Updates(ctx, &found); n != 1 || err != nil {
			t.Errorf("Updates with a pointer: %d rows, %v", n, err)
		}
		w.wantUser("updated", ada.ID, "new@example.org", "phone of ada")
		mine := w.behind(ada.ID, func(u *User) { w.rotate(u, func(u *User) error { return w.users.Rekey(ctx, u) }) })
		mine.Phone.Set("1")
		if n, err := gorm.G[*User](w.DB).Where("age = ?", 0).Updates(ctx, mine); n != 1 || err != nil {
			t.Errorf("Updates after a rekey: %d rows, %v", n, err)
		}
		w.wantUser("after a rekey", ada.ID, "new@example.org", "1")
		if n, err := gorm.G[User](w.DB).Where("id = ?", ada.ID).Update(ctx, "age", 7); n != 1 || err != nil {
			t.Errorf("Update of a plain column: %d rows, %v", n, err)
		}
		if n, err := gorm.G[User](w.DB).Where(gormseal.Equal("Email", "new@example.org")).Delete(ctx); n != 1 || err != nil {
			t.Errorf("Delete: %d rows, %v", n, err)
		}
	})
}

// A unique index over a blind index has rows that are softly deleted in it too, unless it says otherwise.
func TestAValueOfASoftlyDeletedRow(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) { c.TranslateError = true })
		must(t, w.Exec("CREATE UNIQUE INDEX emails ON users (email_bidx)").Error)
		ada := newUser("ada")
		must(t, w.Create(ada).Error)
		must(t, w.Delete(ada).Error)
		wantErr(t, "the same e-mail", w.Create(newUser("ada")).Error, gorm.ErrDuplicatedKey)
		bob := newUser("bob")
		must(t, w.Create(bob).Error)
		bob.Email.Set("ada@example.org")
		wantErr(t, "set to the same e-mail", w.Save(bob).Error, gorm.ErrDuplicatedKey)
		w.wantUser("refused", bob.ID, "bob@example.org", "phone of bob")
		wantErr(t, "found", w.Where(gormseal.Equal("Email", "ada@example.org")).First(&User{}).Error, gorm.ErrRecordNotFound)

		var deleted User
		must(t, w.Unscoped().Where(gormseal.Equal("Email", "ada@example.org")).First(&deleted).Error)
		deleted.Email.SetNull()
		must(t, w.Unscoped().Updates(&deleted).Error) // which frees the value
		must(t, w.Save(bob).Error)
		w.wantUser("saved", bob.ID, "ada@example.org", "phone of bob")

		if d.Name != dbtest.MariaDB.Name { // which has no index over some of the rows
			must(t, w.Exec("DROP INDEX emails").Error)
			must(t, w.Exec("CREATE UNIQUE INDEX emails ON users (email_bidx) WHERE deleted_at IS NULL").Error)
			must(t, w.Delete(bob).Error)
			must(t, w.Create(newUser("ada")).Error)
		}
	})
}
