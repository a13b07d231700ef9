package gormseal_test

import (
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
)

// withOrders has users with two orders each.
func withOrders(t *testing.T, d dbtest.Database, configure ...func(*gormseal.Plugin, *gorm.Config)) (*world, []User) {
	t.Helper()
	w := open(t, d, configure...)
	users := newUsers(2)
	for i := range users {
		users[i].Orders = []Order{{Note: set("first")}, {Note: set("second")}}
	}
	must(t, w.Create(&users).Error)
	w.kms.Reset()
	return w, users
}

func TestRowsAndTheirAssociationsAreOpenedInOneBatch(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w, _ := withOrders(t, d)
		var users []*User
		must(t, w.Preload("Orders").Order("id").Find(&users).Error)
		w.requests("Find", 0, 0)
		users = append(users, nil)
		must(t, gormseal.Open(t.Context(), &users))
		w.requests("Open", 0, 1)
		if get(t, users[1].Email) != "user1@example.org" || get(t, users[1].Orders[1].Note) != "second" {
			t.Errorf("%+v", users[1])
		}

		var orders []Order // whose users GORM copies into each of them
		must(t, w.Preload("User").Order("id").Find(&orders).Error)
		must(t, gormseal.Open(t.Context(), &orders))
		if n := w.kms.Items(kms.OpDecrypt); n != 8 { // 4 orders, and 2 users with 2 keys each
			t.Errorf("%d data keys were opened for 4 orders of 2 users", n)
		}
		for _, o := range orders {
			if get(t, o.User.Email) == "" || get(t, o.Note) == "" {
				t.Errorf("%+v", o)
			}
		}
		w.kms.Reset()

		var order Order
		must(t, w.Joins("User").First(&order).Error)
		must(t, gormseal.Open(t.Context(), map[string]any{"order": &order}))
		w.requests("Open of a joined row", 0, 1)
		if get(t, order.User.Email) != "user0@example.org" {
			t.Errorf("%+v", order.User)
		}
	})
}

// GORM copies a row that several others refer to, where they have no pointer to it.
func TestCopiesOfARowAreOpenedOnce(t *testing.T) {
	w, _ := withOrders(t, dbtest.SQLite)
	must(t, w.AutoMigrate(&Holder{}))
	var order Order
	must(t, w.First(&order).Error)
	must(t, w.Create(&[]Holder{{OrderID: &order.ID}, {OrderID: &order.ID}}).Error)
	var holders []Holder
	must(t, w.Preload("Order").Find(&holders).Error)
	w.kms.Reset()
	must(t, gormseal.Open(t.Context(), &holders))
	if n := w.kms.Items(kms.OpDecrypt); n != 1 {
		t.Errorf("%d data keys were opened for two copies of a row", n)
	}
	if get(t, holders[0].Order.Note) != "first" || get(t, holders[1].Order.Note) != "first" {
		t.Errorf("%+v", holders)
	}
}

func TestOpenWalksThroughValues(t *testing.T) {
	w, _ := withOrders(t, dbtest.SQLite)
	load := func() (u User) { must(t, w.First(&u).Error); return u }
	u := load()
	type page struct {
		Title string
		At    time.Time
		Users map[string]User
		Any   any
		Self  *page
	}
	other, third := load(), load()
	p := &page{Users: map[string]User{"u": u}, Any: &other}
	p.Self = p
	must(t, gormseal.Open(t.Context(), p, []*User{&third}, nil, (*User)(nil), []User{}, &User{}))
	for _, u := range []User{p.Users["u"], other, third} {
		if get(t, u.Email) != "user0@example.org" {
			t.Errorf("%+v", u)
		}
	}
	wantErr(t, "a struct by value", gormseal.Open(t.Context(), load()), kms.ErrInvalidRequest)
}

func TestRowsThatNobodyBound(t *testing.T) {
	w, _ := withOrders(t, dbtest.SQLite)
	var u User
	must(t, w.First(&u).Error)
	byHand := User{ID: u.ID}
	must(t, byHand.EncryptedKMSKey.Scan(u.EncryptedKMSKey.Wrapped()))
	must(t, byHand.Email.Scan(u.Email.Ciphertext()))
	err := gormseal.Open(t.Context(), &byHand)
	wantErr(t, "made by hand", err, kms.ErrInvalidRequest)
	wantMessage(t, err, "Model.Open")
	var part User
	must(t, w.Select("id", "email_ciphertext").First(&part).Error)
	wantErr(t, "without its key", gormseal.Open(t.Context(), &part), kms.ErrInvalidRequest)

	rows, err := w.Model(&User{}).Rows()
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var scanned User
		must(t, w.ScanRows(rows, &scanned))
		must(t, gormseal.Open(t.Context(), &scanned))
		if get(t, scanned.Email) != scanned.Name+"@example.org" {
			t.Errorf("%+v", scanned)
		}
	}
	must(t, rows.Err())
}

func TestOpenOnFind(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w, _ := withOrders(t, d)
		var users []User
		must(t, w.Scopes(gormseal.OpenOnFind).Preload("Orders.User").Order("id").Find(&users).Error)
		w.requests("Find", 0, 1)
		if get(t, users[1].Email) != "user1@example.org" || get(t, users[0].Orders[0].Note) != "first" || get(t, users[0].Orders[1].User.Phone) != "phone of user0" {
			t.Errorf("%+v", users)
		}
		var n int64
		must(t, w.Scopes(gormseal.OpenOnFind).Model(&User{}).Count(&n).Error)
		var names []string
		must(t, w.Scopes(gormseal.OpenOnFind).Model(&User{}).Pluck("name", &names).Error)
		must(t, w.Find(&users).Error)
		w.requests("without asking", 0, 0)
		w.kms.Deny(kms.OpDecrypt)
		wantErr(t, "what cannot be opened", w.Scopes(gormseal.OpenOnFind).Find(&users).Error, kms.ErrAccessDenied)
		if len(users) != 2 {
			t.Errorf("%d rows", len(users))
		}
	})
}

func TestOpenOnFindForATable(t *testing.T) {
	w, _ := withOrders(t, dbtest.SQLite, func(p *gormseal.Plugin, _ *gorm.Config) {
		p.Tables = map[string]gormseal.TableOptions{"orders": {OpenOnFind: true}}
	})
	var users []User
	must(t, w.Preload("Orders").Order("id").Find(&users).Error)
	w.requests("Find", 0, 1)
	if _, err := users[0].Email.Get(); err == nil {
		t.Error("a row of another table is open")
	}
	if get(t, users[0].Orders[0].Note) != "first" {
		t.Errorf("%+v", users[0].Orders)
	}
}

func TestOpenRefusesWhatHoldsNothingSealed(t *testing.T) {
	type page struct{ Title string }
	for what, values := range map[string][]any{
		"nothing at all":         nil,
		"a number":               {3},
		"a struct":               {&page{}},
		"a slice":                {[]page{}},
		"beside a row":           {&User{}, "text"},
		"a pointer to a pointer": {new(*page)},
	} {
		err := gormseal.Open(t.Context(), values...)
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantMessage(t, err, "pointers to rows")
	}
}

// A reload forgets the data key, and knows NULL from what was there.
func TestReload(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		must(t, w.Exec("UPDATE users SET email_ciphertext = NULL, email_bidx = NULL").Error)
		must(t, w.First(u).Error)
		if !u.Email.IsNull() || !u.EmailIndex.IsNull() || u.Phone.IsNull() {
			t.Errorf("%+v", u)
		}
		if _, err := u.Phone.Get(); err == nil {
			t.Error("a reloaded row is open")
		}
		must(t, w.Exec("UPDATE users SET email_ciphertext = NULL, email_bidx = NULL, encrypted_kms_key = NULL").Error)
		var fresh User
		must(t, w.First(&fresh).Error)
		fresh.Email.Set("again")
		must(t, w.Save(&fresh).Error)
		w.wantUser("a first value for a row that had none", u.ID, "again", "phone of ada")
	})
}

// Holder has a struct for its association, not a pointer.
type Holder struct {
	ID      int64
	OrderID *int64
	Order   Order
}

func TestAJoinedRowThatIsNotThereStaysAway(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		must(t, w.AutoMigrate(&Holder{}))
		must(t, w.Create(&Holder{}).Error)
		var h Holder
		must(t, w.Joins("Order").First(&h).Error)
		must(t, gormseal.Open(t.Context(), &h))
		must(t, w.Save(&h).Error)
		var n int64
		must(t, w.Model(&Order{}).Count(&n).Error)
		if n != 0 || h.OrderID != nil {
			t.Errorf("Save has made %d orders of nothing", n)
		}
	})
}

func TestEqualAndIn(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w, users := withOrders(t, d)
		must(t, w.Create(&User{Name: "nobody"}).Error)
		count := func(tx *gorm.DB) int64 {
			t.Helper()
			var found []User
			must(t, tx.Order("users.id").Find(&found).Error)
			return int64(len(found))
		}
		for what, c := range map[string]struct {
			tx   *gorm.DB
			want int64
		}{
			"by field":             {w.Where(gormseal.Equal("Email", "USER0@example.org")), 1},
			"by the index's field": {w.Where(gormseal.Equal("EmailIndex", "user0@example.org")), 1},
			"by column":            {w.Where(gormseal.Equal("email_bidx", "user0@example.org")), 1},
			"in SQL":               {w.Where("age = ? AND ?", 0, gormseal.Equal("Email", "user0@example.org")), 1},
			"no such value":        {w.Where(gormseal.Equal("Email", "x@example.org")), 0},
			"no index":             {w.Where(gormseal.Equal("Email", "  ")), 0},
			"Not of no index":      {w.Not(gormseal.Equal("Email", "  ")), 0},
			"Not":                  {w.Not(gormseal.Equal("Email", "user0@example.org")), 1},
			"Or":                   {w.Where(gormseal.Equal("Email", "user0@example.org")).Or(gormseal.Equal("Email", "user1@example.org")), 2},
			"In":                   {w.Where(gormseal.In("Email", "user0@example.org", "user1@example.org", "", "x")), 2},
			"In nothing":           {w.Where(gormseal.In("Email")), 0},
			"subquery": {w.Where("id IN (?)", w.Model(&User{}).Select("id").
				Where(gormseal.Equal("Email", "user0@example.org"))), 1},
		} {
			if got := count(c.tx); got != c.want {
				t.Errorf("%s: %d rows, want %d", what, got, c.want)
			}
		}
		var orders []Order
		must(t, w.Joins("User").Where(gormseal.Equal("User.Email", "user1@example.org")).Find(&orders).Error)
		if len(orders) != 2 || *orders[0].UserID != users[1].ID {
			t.Errorf("a condition on a joined struct: %+v", orders)
		}
		must(t, w.InnerJoins("User", w.Where(gormseal.Equal("Email", "user1@example.org"))).Find(&orders).Error)
		if len(orders) != 2 || *orders[0].UserID != users[1].ID {
			t.Errorf("a condition of Joins: %+v", orders)
		}
		must(t, w.Joins("JOIN users ON users.id = orders.user_id").Where(gormseal.Equal("users.Email", "user1@example.org")).Find(&orders).Error)
		if len(orders) != 2 || *orders[0].UserID != users[1].ID {
			t.Errorf("a condition on a table: %+v", orders)
		}
		var maps []map[string]any
		must(t, w.Table("users").Where(gormseal.Equal("Email", "user1@example.org")).Find(&maps).Error)
		if len(maps) != 1 {
			t.Errorf("a table without a struct: %v", maps)
		}
		var found []User
		must(t, w.Table("users AS u").Where(gormseal.Equal("Email", "user1@example.org")).Find(&found).Error)
		if len(found) != 1 {
			t.Errorf("an alias: %v", found)
		}
		tx := w.Model(&User{}).Where(gormseal.Equal("Email", "user1@example.org")).Update("age", 9)
		if tx.Error != nil || tx.RowsAffected != 1 {
			t.Errorf("Update: %d rows, %v", tx.RowsAffected, tx.Error)
		}
		tx = w.Where(gormseal.Equal("Email", "user1@example.org")).Delete(&User{})
		if tx.Error != nil || tx.RowsAffected != 1 {
			t.Errorf("Delete: %d rows, %v", tx.RowsAffected, tx.Error)
		}
		w.requests("all of that", 0, 0)
	})
}

func TestEqualRefuses(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w, _ := withOrders(t, d)
		before := w.dump("users")
		for what, condition := range map[string]any{
			"an unknown field":        gormseal.Equal("Emial", "x"),
			"a field without index":   gormseal.Equal("Phone", "x"),
			"a value of another type": gormseal.Equal("Email", 7),
			"NULL":                    gormseal.Equal("Email", nil),
			"two values":              gormseal.Equal("Email", "a", "b"),
			"no value":                gormseal.Equal("Email"),
			"an unknown table":        gormseal.Equal("nobody.Email", "x"),
		} {
			for how, tx := range map[string]*gorm.DB{
				"Find":       w.Where(condition).Find(&[]User{}),
				"Delete":     w.Unscoped().Where("1 = 1").Not(condition).Delete(&User{}),
				"Update":     w.Model(&User{}).Not(condition).Update("age", 5),
				"a subquery": w.Model(&User{}).Where("id NOT IN (?)", w.Model(&User{}).Select("id").Where(condition)).Update("age", 5),
			} {
				if tx.Error == nil {
					t.Errorf("%s: %s has no error", what, how)
				}
			}
			if w.dump("users") != before {
				t.Fatalf("%s: the table has changed", what)
			}
		}
		wantErr(t, "an unknown field", w.Where(gormseal.Equal("Emial", "x")).Find(&[]User{}).Error, kms.ErrInvalidRequest)
	})
}
