package gormseal_test

import (
	"testing"

	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

func TestCreateFindOpenUpdate(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		w.requests("Create", 1, 0)
		w.wantUser("created", u.ID, "ada@example.org", "phone of ada")

		var found User
		must(t, w.Where(gormseal.Equal("Email", "ADA@example.org")).First(&found).Error)
		w.requests("First", 0, 0)
		must(t, gormseal.Open(t.Context(), &found))
		w.requests("Open", 0, 1)
		found.Email.Set("ada@example.com")
		must(t, w.Save(&found).Error)
		w.requests("Save", 0, 0)
		w.wantUser("saved", u.ID, "ada@example.com", "phone of ada")

		found.Phone.Set("123")
		must(t, w.Updates(&found).Error)
		w.wantUser("updated", u.ID, "ada@example.com", "123")
		if n := w.Where(gormseal.Equal("Email", "ada@example.com")).Find(&[]User{}).RowsAffected; n != 1 {
			t.Errorf("found %d rows by the new value", n)
		}
		u.Phone.Set("456") // its Email is older than that of the database
		must(t, w.Model(u).Select("Phone").Updates(u).Error)
		w.wantUser("updated by another struct", u.ID, "ada@example.com", "456")
	})
}
