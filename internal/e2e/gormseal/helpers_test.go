package gormseal_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// User has two data keys, an index, and everything that GORM does by itself.
type User struct {
	ID              int64
	Name            string `gorm:"size:100"`
	Age             int
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
	EmailIndex      blindindex.Index          `rowseal:"of=Email,normalize=presence+lower,algorithm=hmac_sha256"`
	BornOn          rowseal.Sealed[time.Time] `rowseal:"type=date"`
	KMSKeyPhone     rowseal.DataKey           `rowseal:"name=phone"`
	Phone           rowseal.Sealed[string]    `rowseal:"key=phone"`
	CreatedAt       time.Time
	UpdatedAt       time.Time
	DeletedAt       gorm.DeletedAt
	Orders          []Order
}

// Order belongs to a User.
type Order struct {
	ID              int64
	UserID          *int64
	User            *User
	EncryptedKMSKey rowseal.DataKey
	Note            rowseal.Sealed[string]
	Total           int
}

// Visit has an id of the caller's and a context that names another column too.
type Visit struct {
	ID              string `gorm:"primaryKey;size:36"`
	Clinic          string `gorm:"size:50"`
	Room            string `gorm:"size:50"`
	EncryptedKMSKey rowseal.DataKey
	Reason          rowseal.Sealed[string]
}

// world is a database with the plugin, and the KMS that it asks.
type world struct {
	*gorm.DB
	t      *testing.T
	kms    *kmstest.Fake
	users  *rowseal.Model[User]
	orders *rowseal.Model[Order]
	visits *rowseal.Model[Visit]
}

func open(t *testing.T, d dbtest.Database, configure ...func(*gormseal.Plugin, *gorm.Config)) *world {
	t.Helper()
	w := &world{t: t, kms: &kmstest.Fake{BatchSize: 1000}}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(w.kms, nil)})
	must(t, err)
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	w.users, err = rowseal.NewModel[User]("users", ring, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index}})
	must(t, err)
	w.orders, err = rowseal.NewModel[Order]("orders", ring, nil)
	must(t, err)
	w.visits, err = rowseal.NewModel[Visit]("visits", ring, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{
		"": {Context: rowseal.ContextRule{Names: map[string]string{"clinic": "{clinic}", "visit": "{id}"}}},
	}})
	must(t, err)
	plugin, config := gormseal.New(w.users, w.orders, w.visits), &gorm.Config{}
	for _, c := range configure {
		c(plugin, config)
	}
	w.DB = gormtest.Open(t, d, config)
	must(t, w.Use(plugin))
	must(t, w.AutoMigrate(&User{}, &Order{}, &Visit{}))
	return w
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wantErr(tb testing.TB, what string, got, want error) {
	tb.Helper()
	if !errors.Is(got, want) {
		tb.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func wantMessage(tb testing.TB, err error, parts ...string) {
	tb.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			tb.Errorf("error %q does not say %q", err, part)
		}
	}
}

// newUser has values that no other has.
func newUser(name string) *User {
	u := &User{Name: name}
	u.Email.Set(name + "@example.org")
	u.Phone.Set("phone of " + name)
	return u
}

// requests compares how many requests came to the KMS since the last call.
func (w *world) requests(what string, encrypt, decrypt int) {
	w.t.Helper()
	if e, d := w.kms.Requests(kms.OpEncrypt), w.kms.Requests(kms.OpDecrypt); e != encrypt || d != decrypt {
		w.t.Errorf("%s: %d requests encrypted and %d decrypted, want %d and %d", what, e, d, encrypt, decrypt)
	}
	w.kms.Reset()
}

// dump is a table as it is, read without the plugin.
func (w *world) dump(table string) string {
	w.t.Helper()
	var rows []map[string]any
	must(w.t, w.Raw("SELECT * FROM "+table+" ORDER BY id").Scan(&rows).Error)
	lines := make([]string, len(rows))
	for i, r := range rows {
		var names []string
		for n := range r {
			names = append(names, n)
		}
		slices.Sort(names)
		for _, n := range names {
			if b, ok := r[n].([]byte); ok {
				r[n] = string(b)
			}
			lines[i] += fmt.Sprintf("%s=%v ", n, r[n])
		}
	}
	return strings.Join(lines, "\n")
}

// load finds a row anew and opens it.
func (w *world) load(id int64) *User {
	w.t.Helper()
	u := &User{}
	must(w.t, w.First(u, id).Error)
	must(w.t, gormseal.Open(w.t.Context(), u))
	return u
}

func (w *world) wantUser(what string, id int64, email, phone string) {
	w.t.Helper()
	u := w.load(id)
	got, err := u.Email.Get()
	must(w.t, err)
	number, err := u.Phone.Get()
	must(w.t, err)
	if got != email || number != phone {
		w.t.Errorf("%s: the row has %q and %q, want %q and %q", what, got, number, email, phone)
	}
	w.kms.Reset()
}

func get[T cmp.Ordered](t *testing.T, s rowseal.Sealed[T]) T {
	t.Helper()
	v, err := s.Get()
	must(t, err)
	return v
}
