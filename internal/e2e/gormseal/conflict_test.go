package gormseal_test

import (
	"database/sql"
	"fmt"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/sqlseal"
)

// behind lets do happen between a load and what follows.
func (w *world) behind(id int64, do func(u *User)) *User {
	w.t.Helper()
	mine := w.load(id)
	do(w.load(id))
	w.kms.Reset()
	return mine
}

// rotate rewraps or rekeys a row, as a sweep does: beside GORM, with a compare-and-swap of its own.
func (w *world) rotate(u *User, change func(*User) error) {
	w.t.Helper()
	must(w.t, change(u))
	db, err := w.DB.DB()
	must(w.t, err)
	must(w.t, sqlseal.New[User](w.users, nil).Update(w.t.Context(), sqlseal.SQL(sqlseal.Dialect(w.Name()), db), u))
}

func TestAWriterThatLost(t *testing.T) {
	rewrap := func(w *world, u *User) { w.rotate(u, func(u *User) error { return w.users.Rewrap(t.Context(), u) }) }
	rekey := func(w *world, u *User) { w.rotate(u, func(u *User) error { return w.users.Rekey(t.Context(), u) }) }
	for name, c := range map[string]struct {
		do           func(w *world, u *User)
		email, phone string
		decrypts     int // of the writer, beside the one
	}{
		"to a rewrap":                   {rewrap, "mine", "phone of ada", 2},
		"to a rekey":                    {rekey, "mine", "phone of ada", 2},
		"to a write of another column":  {func(w *world, u *User) { u.Phone.Set("theirs"); must(t, w.Save(u).Error) }, "mine", "theirs", 0},
		"to a write of the same column": {func(w *world, u *User) { u.Email.Set("theirs"); must(t, w.Save(u).Error) }, "mine", "phone of ada", 0},
		"to SetNull of the same column": {func(w *world, u *User) { u.Email.SetNull(); must(t, w.Save(u).Error) }, "mine", "phone of ada", 0},
	} {
		t.Run(name, func(t *testing.T) {
			dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
				w := open(t, d)
				u := newUser("ada")
				must(t, w.Create(u).Error)
				mine := w.behind(u.ID, func(u *User) { c.do(w, u) })
				mine.Email.Set("mine")
				must(t, w.Save(mine).Error)
				w.wantUser("saved", u.ID, c.email, c.phone)
				mine.Phone.Set("once more")
				must(t, w.Save(mine).Error)
				w.wantUser("saved again", u.ID, c.email, "once more")
			})
		})
	}
}

func TestTwoWritersThatSealARowForTheFirstTime(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := &User{Name: "ada"}
		must(t, w.Create(u).Error)
		var one, two User
		must(t, w.First(&one).Error)
		must(t, w.First(&two).Error)
		one.Email.Set("of one")
		must(t, w.Save(&one).Error)
		two.BornOn.SetNull()
		two.Phone.Set("of two")
		must(t, w.Save(&two).Error)
		w.wantUser("different keys", u.ID, "of one", "of two")
		must(t, w.Exec("UPDATE users SET email_ciphertext = NULL, email_bidx = NULL, encrypted_kms_key = NULL").Error)
		must(t, w.First(&one).Error)
		must(t, w.First(&two).Error)
		one.Email.Set("of one")
		must(t, w.Save(&one).Error)
		two.Email.Set("of two")
		must(t, w.Save(&two).Error)
		w.wantUser("one key", u.ID, "of two", "of two")
	})
}

func TestARowThatIsGone(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		must(t, w.Unscoped().Delete(&User{}, u.ID).Error)
		u.Email.Set("new")
		for _, gone := range []error{sql.ErrNoRows, gorm.ErrRecordNotFound} {
			wantErr(t, "Updates", w.Updates(u).Error, gone)
			wantErr(t, "Save", w.Save(u).Error, gone)
		}
	})
}

// A new key would lose what is sealed under the old one in columns that nobody has declared.
func TestAColumnThatNobodyDeclaredStopsANewKey(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		must(t, w.Exec("ALTER TABLE users ADD COLUMN notes_ciphertext text").Error)
		u = w.load(u.ID)
		w.users.Clear(u)
		u.Email.Set("new")
		err := w.Updates(u).Error
		if err == nil {
			t.Error("the key is replaced")
		}
		wantMessage(t, err, "notes_ciphertext")
		w.wantUser("still", u.ID, "ada@example.org", "phone of ada")
	})
}

// Sessions share the plugin, and rows are written from many goroutines while keys are rotated; every row opens to a value that
// its writer was told was saved.
func TestManyWritersAndARotation(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		users := newUsers(4)
		must(t, w.Create(&users).Error)
		pool, err := w.DB.DB()
		must(t, err)
		pool.SetMaxOpenConns(8)
		stop := make(chan struct{})
		var writers, rotations sync.WaitGroup
		rotations.Go(func() {
			rows := sqlseal.New[User](w.users, nil)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				var u User
				if err := w.First(&u, users[i%4].ID).Error; err != nil {
					t.Error(err)
				}
				rotate := w.users.Rekey
				if i%3 == 0 {
					rotate = w.users.Rewrap
				}
				if err := rotate(t.Context(), &u); err != nil {
					t.Error(err)
				}
				_ = rows.Update(t.Context(), sqlseal.SQL(sqlseal.Dialect(w.Name()), pool), &u) // may lose
			}
		})
		last := make([]string, 4)
		for i := range users {
			writers.Go(func() {
				for n := range 15 {
					save := func(tx *gorm.DB) error {
						var u User
						if err := tx.First(&u, users[i].ID).Error; err != nil {
							return err
						}
						u.Email.Set(fmt.Sprint("value ", n))
						return tx.Save(&u).Error
					}
					run := w.Transaction // which SQLite refuses where others have written since it began
					if n%2 == 0 {
						run = func(save func(*gorm.DB) error, _ ...*sql.TxOptions) error { return save(w.DB) }
					}
					err := run(save)
					if err == nil {
						last[i] = fmt.Sprint("value ", n)
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		rotations.Wait()
		for i, u := range users {
			found := w.load(u.ID)
			if last[i] == "" || get(t, found.Email) != last[i] || get(t, found.Phone) != get(t, u.Phone) {
				t.Errorf("row %d has %q, and %q was saved last", u.ID, get(t, found.Email), last[i])
			}
		}
	})
}
