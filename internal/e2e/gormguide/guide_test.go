package gormguide

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestMain(m *testing.M) {
	logger.Default = logger.Discard // errors are what the tests want to see
	os.Exit(dbtest.Main(m))
}

func guide(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/gorm.md")
	must(t, err)
	return string(text)
}

func TestTheGuideShowsThisCode(t *testing.T) {
	files, err := filepath.Glob("*.go")
	must(t, err)
	var code strings.Builder
	for _, name := range files {
		content, err := os.ReadFile(name)
		must(t, err)
		code.Write(content)
	}
	blocks := regexp.MustCompile("(?s)```[a-z]+\n(.*?)```").FindAllStringSubmatch(guide(t), -1)
	if len(blocks) < 12 {
		t.Errorf("docs/gorm.md has %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(code.String(), block[1]) {
			t.Errorf("docs/gorm.md shows code that is not here:\n%s", block[1])
		}
	}
}

func TestAUserIsCreatedFoundAndChanged(t *testing.T) {
	a := newApp(t, nil)
	ada, err := signUp(t.Context(), a.db, "Ada", "ada@example.org")
	must(t, err)
	must(t, a.db.Create(&Order{UserID: ada.ID, Note: sealed("for Ada")}).Error)
	if _, err := signUp(t.Context(), a.db, "Another", " ADA@example.org"); !errors.Is(err, errEmailTaken) {
		t.Errorf("the same address again: %v", err)
	}
	must(t, changeEmail(t.Context(), a.db, ada, "countess@example.org"))
	found, err := byEmail(t.Context(), a.db, "COUNTESS@example.org")
	must(t, err)
	a.wantEmail(t, found.ID, "countess@example.org")
	if _, err := byEmail(t.Context(), a.db, "ada@example.org"); !errors.Is(err, gorm.ErrRecordNotFound) {
		t.Errorf("the address that she had: %v", err)
	}
	if n, err := countKnown(t.Context(), a.db, "countess@example.org", "nobody@example.org"); n != 1 || err != nil {
		t.Errorf("%d are known, %v", n, err)
	}

	a.kms.Reset()
	all, err := newest(t.Context(), a.db, 10)
	must(t, err)
	if note, err := all[0].Orders[0].Note.Get(); note != "for Ada" || err != nil || a.kms.Requests(kms.OpDecrypt) != 1 {
		t.Errorf("%q, %v, %d requests", note, err, a.kms.Requests(kms.OpDecrypt))
	}

	found.BornOn.Set(time.Date(1815, 12, 10, 0, 0, 0, 0, time.UTC))
	must(t, a.db.Save(found).Error)
	must(t, forgetBirthday(t.Context(), a.db, found))
	if again := a.load(t, ada.ID); !again.BornOn.IsNull() {
		t.Error("the birthday is still there")
	}
	must(t, rename(t.Context(), a.db, "Ada", "Ada King"))
	if again := a.load(t, ada.ID); again.Name != "Ada King" {
		t.Errorf("the name is %s", again.Name)
	}
}

func TestAnUpsertReplacesEverythingThatIsSealed(t *testing.T) {
	a := newApp(t, nil)
	ada, err := signUp(t.Context(), a.db, "Ada", "ada@example.org")
	must(t, err)
	ada.BornOn.Set(time.Now())
	must(t, a.db.Updates(ada).Error)
	must(t, importUser(t.Context(), a.db, &User{ID: ada.ID, Name: "Ada K.", Email: sealed("imported@example.org")}))
	a.wantEmail(t, ada.ID, "imported@example.org")
	if again := a.load(t, ada.ID); !again.BornOn.IsNull() || again.Name != "Ada K." {
		t.Errorf("%s, with a birthday: %t", again.Name, !again.BornOn.IsNull())
	}
	must(t, importUser(t.Context(), a.db, &User{ID: 77, Name: "Bob", Email: sealed("bob@example.org")}))
	a.wantEmail(t, 77, "bob@example.org")
}

func TestAServiceThatCannotOpenReplaces(t *testing.T) {
	a := newApp(t, nil)
	ada, err := signUp(t.Context(), a.db, "Ada", "ada@example.org")
	must(t, err)
	ada.BornOn.Set(time.Now())
	must(t, a.db.Updates(ada).Error)

	users, orders := a.users.Sealer(), a.orders.Sealer()
	db, err := gorm.Open(postgres.Open(a.dsn), &gorm.Config{})
	must(t, err)
	defer closeDB(t, db)
	must(t, db.Use(gormseal.New(users, orders)))
	a.kms.Reset()
	must(t, replace(t.Context(), db, users, ada.ID, "new@example.org"))
	if n := a.kms.Requests(kms.OpDecrypt); n != 0 {
		t.Errorf("%d requests to decrypt", n)
	}
	a.wantEmail(t, ada.ID, "new@example.org")
	if again := a.load(t, ada.ID); !again.BornOn.IsNull() {
		t.Error("what was not set is still there, under a data key that is gone")
	}
}

func TestATransactionKeepsNoLocksForTheKMS(t *testing.T) {
	a := newApp(t, strict)
	ada, err := signUp(t.Context(), a.db, "Ada", "ada@example.org")
	must(t, err)
	sleeping := &User{} // whose data key the KMS must open
	must(t, a.db.First(sleeping, ada.ID).Error)
	must(t, move(t.Context(), a.db, a.models, sleeping, "countess@example.org"))
	a.wantEmail(t, ada.ID, "countess@example.org")

	must(t, a.db.Migrator().DropTable(&Move{}))
	if err := move(t.Context(), a.db, a.models, ada, "lost@example.org"); err == nil {
		t.Error("moved without its record")
	}
	a.wantEmail(t, ada.ID, "countess@example.org")
	must(t, a.db.AutoMigrate(&Move{}))
	must(t, move(t.Context(), a.db, a.models, ada, "lovelace@example.org"))
	a.wantEmail(t, ada.ID, "lovelace@example.org")

	err = a.db.Transaction(func(tx *gorm.DB) error { return tx.Create(&User{Name: "Bob", Email: sealed("bob@example.org")}).Error })
	if !errors.Is(err, kms.ErrBudget) {
		t.Errorf("Create in a transaction: %v", err)
	}
	must(t, a.db.Create(&Order{UserID: ada.ID, Note: sealed("n")}).Error)
	var order Order
	must(t, a.db.First(&order).Error)
	if note, err := order.Note.Get(); note != "n" || err != nil { // OpenOnFind
		t.Errorf("%q, %v", note, err)
	}
}

func TestConflicts(t *testing.T) {
	a := newApp(t, nil)
	ada, err := signUp(t.Context(), a.db, "Ada", "ada@example.org")
	must(t, err)

	t.Run("another writer of another field, or of a new data key, is no conflict", func(t *testing.T) {
		other := a.load(t, ada.ID)
		other.BornOn.Set(time.Now())
		must(t, a.users.Rekey(t.Context(), other))
		must(t, a.db.Updates(other).Error)
		must(t, changeEmail(t.Context(), a.db, ada, "countess@example.org"))
		if again := a.load(t, ada.ID); again.BornOn.IsNull() {
			t.Error("the other's value is lost")
		}
		a.wantEmail(t, ada.ID, "countess@example.org")
	})
	t.Run("of two values for one field the later one stays", func(t *testing.T) {
		mine, other := a.load(t, ada.ID), a.load(t, ada.ID)
		must(t, changeEmail(t.Context(), a.db, other, "other@example.org"))
		must(t, changeEmail(t.Context(), a.db, mine, "mine@example.org"))
		a.wantEmail(t, ada.ID, "mine@example.org")
	})
	t.Run("what somebody else has cleared is one", func(t *testing.T) {
		mine, other := a.load(t, ada.ID), a.load(t, ada.ID)
		a.users.Clear(other)
		must(t, a.db.Updates(other).Error)
		if err := changeEmail(t.Context(), a.db, mine, "late@example.org"); !errors.Is(err, rowseal.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("so is a row that is gone", func(t *testing.T) {
		mine := a.load(t, ada.ID)
		must(t, a.db.Unscoped().Delete(&User{ID: ada.ID}).Error)
		mine.Email.Set("late@example.org")
		if err := a.db.Save(mine).Error; !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("Save: %v", err)
		}
		if err := changeEmail(t.Context(), a.db, mine, "late@example.org"); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("Updates: %v", err)
		}
	})
}

func TestASoftDeletedRowKeepsWhatIsSealed(t *testing.T) {
	a := newApp(t, nil)
	ada, err := signUp(t.Context(), a.db, "Ada", "ada@example.org")
	must(t, err)
	must(t, a.db.Delete(ada).Error)
	if _, err := byEmail(t.Context(), a.db, "ada@example.org"); !errors.Is(err, gorm.ErrRecordNotFound) {
		t.Errorf("a deleted user is found: %v", err)
	}
	_, err = signUp(t.Context(), a.db, "Ada again", "ada@example.org")
	must(t, err)

	gone := &User{}
	must(t, a.db.Unscoped().First(gone, ada.ID).Error)
	must(t, gormseal.Open(t.Context(), gone))
	if email, err := gone.Email.Get(); email != "ada@example.org" || err != nil {
		t.Errorf("%q, %v", email, err)
	}
	a.users.Clear(gone)
	must(t, a.db.Unscoped().Updates(gone).Error)
	again := &User{}
	must(t, a.db.Unscoped().First(again, ada.ID).Error)
	if !again.EncryptedKMSKey.IsNull() || !again.Email.IsNull() || !again.EmailIndex.IsNull() {
		t.Error("what was cleared is still there")
	}
}

// Visitor has a hook.
type Visitor struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

func (v *Visitor) BeforeCreate(*gorm.DB) error {
	v.Email.Set("set by the hook")
	return nil
}

func TestWhatAHookSetsIsSealed(t *testing.T) {
	a := newApp(t, func(m models) *gormseal.Plugin {
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{}, nil)})
		must(t, err)
		visitors, err := rowseal.NewModel[Visitor]("visitors", ring, nil)
		must(t, err)
		return gormseal.New(m.users, m.orders, visitors)
	})
	must(t, a.db.AutoMigrate(&Visitor{}))
	must(t, a.db.Create(&Visitor{}).Error)
	var v Visitor
	must(t, a.db.Scopes(gormseal.OpenOnFind).First(&v).Error)
	if email, err := v.Email.Get(); email != "set by the hook" || err != nil {
		t.Errorf("%q, %v", email, err)
	}
}

func TestAssociationsAreSealedWithTheirRow(t *testing.T) {
	a := newApp(t, nil)
	u := &User{Name: "Ada", Orders: []Order{{Note: sealed("first")}, {Note: sealed("second")}}}
	u.Email.Set("ada@example.org")
	must(t, a.db.Create(u).Error)
	all, err := newest(t.Context(), a.db, 1)
	must(t, err)
	var notes []string
	for _, o := range all[0].Orders {
		note, err := o.Note.Get()
		must(t, err)
		notes = append(notes, note)
	}
	if strings.Join(notes, ", ") != "first, second" {
		t.Errorf("the notes are %q", notes)
	}
}

func TestTheTableIsAsTheModelsNeedIt(t *testing.T) {
	a := newApp(t, nil)
	must(t, check(t.Context(), a.db))
	must(t, a.db.Exec(`ALTER TABLE orders DROP COLUMN note_ciphertext`).Error)
	if err := check(t.Context(), a.db); err == nil || !strings.Contains(err.Error(), "note_ciphertext") {
		t.Errorf("without the column: %v", err)
	}
}

// What is refused, as docs/gorm.md lists it.
func TestWhatIsRefused(t *testing.T) {
	a := newApp(t, strict)
	text := guide(t)
	for code, tc := range map[string]struct {
		want error
		name string // of want, as in the guide
		do   func(db *gorm.DB, u *User) error
	}{
		`Update("Email", "x")`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, u *User) error {
			return db.Model(u).Update("Email", "x").Error
		}},
		`Updates(map[string]any{"email_ciphertext": "x"})`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, u *User) error {
			return db.Model(u).Updates(map[string]any{"email_ciphertext": "x"}).Error
		}},
		`UpdateColumn("Email", "x")`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, u *User) error {
			return db.Model(u).UpdateColumn("Email", "x").Error
		}},
		`Update("email_ciphertext", gorm.Expr("NULL"))`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, u *User) error {
			return db.Model(u).Update("email_ciphertext", gorm.Expr("NULL")).Error
		}},
		`Table("users").Where("id = 1").Update("email_ciphertext", "x")`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, _ *User) error {
			return db.Table("users").Where("id = 1").Update("email_ciphertext", "x").Error
		}},
		`Model(&u).Updates(User{Email: email})`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, u *User) error {
			return db.Model(u).Updates(User{Email: sealed("x")}).Error
		}},
		`Where(&User{Email: email})`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, _ *User) error {
			return db.Where(&User{Email: sealed("x")}).First(&User{}).Error
		}},
		`Where(map[string]any{"email_ciphertext": "x"})`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, _ *User) error {
			return db.Where(map[string]any{"email_ciphertext": "x"}).First(&User{}).Error
		}},
		`Save(&User{ID: 1, Email: email})`: {gorm.ErrDuplicatedKey, "gorm.ErrDuplicatedKey", func(db *gorm.DB, u *User) error {
			return db.Save(&User{ID: u.ID, Email: sealed("x")}).Error
		}},
		`Assign(User{Email: email}).FirstOrCreate(&u)`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, u *User) error {
			return db.Where("id = ?", u.ID).Assign(User{Email: sealed("x")}).FirstOrCreate(&User{}).Error
		}},
		`Model(&User{}).Create(map[string]any{"Email": "x"})`: {rowseal.ErrUnsealed, "rowseal.ErrUnsealed", func(db *gorm.DB, _ *User) error {
			return db.Model(&User{}).Create(map[string]any{"Email": "x"}).Error
		}},
		`Create(u)`: {gorm.ErrInvalidData, "gorm.ErrInvalidData", func(db *gorm.DB, _ *User) error {
			return db.Create(User{Email: sealed("x")}).Error
		}},
		`Omit("Email").Save(&u)`: {kms.ErrInvalidRequest, "kms.ErrInvalidRequest", func(db *gorm.DB, u *User) error {
			u.Email.Set("x")
			return db.Omit("Email").Save(u).Error
		}},
		`Select("Name", "Email").Create(&u)`: {kms.ErrInvalidRequest, "kms.ErrInvalidRequest", func(db *gorm.DB, _ *User) error {
			return db.Select("Name", "Email").Create(&User{Name: "x", Email: sealed("x")}).Error
		}},
		`Updates(&User{ID: 1, Email: email})`: {rowseal.ErrNoKey, "rowseal.ErrNoKey", func(db *gorm.DB, u *User) error {
			return db.Updates(&User{ID: u.ID, Email: sealed("x")}).Error
		}},
		`Model(&u).Update("ID", 2)`: {rowseal.ErrContextChanged, "rowseal.ErrContextChanged", func(db *gorm.DB, u *User) error {
			return db.Model(u).Update("ID", u.ID+1).Error
		}},
		`clause.OnConflict{Columns: …, DoUpdates: clause.AssignmentColumns([]string{"email_ciphertext"})}`: {kms.ErrInvalidRequest, "kms.ErrInvalidRequest",
			func(db *gorm.DB, u *User) error {
				return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"email_ciphertext"})}).
					Create(&User{ID: u.ID, Email: sealed("x")}).Error
			}},
		`clause.OnConflict{Columns: {{Name: "name"}}, UpdateAll: true}`: {kms.ErrInvalidRequest, "kms.ErrInvalidRequest", func(db *gorm.DB, u *User) error {
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, UpdateAll: true}).Create(&User{ID: u.ID, Email: sealed("x")}).Error
		}},
		`ID = 0; Create(&u)`: {kms.ErrInvalidRequest, "kms.ErrInvalidRequest", func(db *gorm.DB, u *User) error {
			u.ID = 0
			return db.Create(u).Error
		}},
		`Find(&[]Stranger{})`: {kms.ErrInvalidRequest, "kms.ErrInvalidRequest", func(db *gorm.DB, _ *User) error {
			return db.Find(&[]Stranger{}).Error
		}},
		`Transaction(… tx.Create(&u) …)`: {kms.ErrBudget, "kms.ErrBudget", func(db *gorm.DB, _ *User) error {
			return db.Transaction(func(tx *gorm.DB) error { return tx.Create(&User{Email: sealed("x")}).Error })
		}},
	} {
		t.Run(code, func(t *testing.T) {
			line := regexp.MustCompile(`(?m)^\|.*` + regexp.QuoteMeta("`"+code+"`") + `.*$`).FindString(text)
			if !strings.Contains(line, tc.name) {
				t.Errorf("docs/gorm.md says %q, and not %s", line, tc.name)
			}
			u := &User{Name: "Ada"}
			must(t, a.db.Create(u).Error)
			u.Email.Set(strings.ReplaceAll(t.Name(), " ", "") + "@example.org")
			must(t, a.db.Updates(u).Error)
			before := a.row(t, u.ID)
			loaded := &User{}
			must(t, a.db.First(loaded, u.ID).Error)
			if err := tc.do(a.db, loaded); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			if after := a.row(t, u.ID); after != before {
				t.Errorf("the row is\n%s, and was\n%s", after, before)
			}
		})
	}
}

func TestKeysChange(t *testing.T) {
	a := newApp(t, nil)
	var users []*User
	for _, name := range []string{"ada", "bob", "eve"} {
		u, err := signUp(t.Context(), a.db, name, name+"@example.org")
		must(t, err)
		users = append(users, u)
	}
	must(t, a.db.Delete(users[2]).Error) // softly
	before := []string{a.row(t, users[0].ID), a.row(t, users[1].ID), a.row(t, users[2].ID)}
	must(t, rekey(t.Context(), a.db, a.users, users[0]))
	after := a.load(t, users[0].ID)
	if key := after.EncryptedKMSKey.Wrapped(); strings.Contains(before[0], key) || strings.Contains(before[0], after.Email.Ciphertext()) {
		t.Error("the row has what it had")
	}
	a.wantEmail(t, users[0].ID, "ada@example.org")

	a.kms.Rotate()
	status, err := rotate(t.Context(), a.db, a.users)
	must(t, err)
	if status.Changed != 3 || status.Quarantined != 0 {
		t.Errorf("%+v", status)
	}
	for i, u := range users {
		if a.row(t, u.ID) == before[i] {
			t.Errorf("user %d has not changed", u.ID)
		}
	}
	a.wantEmail(t, users[1].ID, "bob@example.org")
}

// Stranger has sealed fields, and no model was given for it.
type Stranger struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

// app is the guide's application.
type app struct {
	models
	db  *gorm.DB
	dsn string
	kms *kmstest.Fake
}

// newApp makes the database with the plugin, nil: that of open.
func newApp(t *testing.T, plugin func(models) *gormseal.Plugin) *app {
	t.Helper()
	a := &app{dsn: dbtest.PostgreSQL.New(t), kms: &kmstest.Fake{BatchSize: 100}}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(a.kms, nil)})
	must(t, err)
	secret := sha256.Sum256([]byte("the index key"))
	indexKey, err := rowseal.NewMasterKey(secret[:])
	must(t, err)
	a.models, err = newModels(ring, indexKey)
	must(t, err)
	if plugin == nil {
		a.db, err = open(postgres.Open(a.dsn), a.models)
	} else if a.db, err = gorm.Open(postgres.Open(a.dsn), &gorm.Config{TranslateError: true}); err == nil {
		err = a.db.Use(plugin(a.models))
	}
	must(t, err)
	t.Cleanup(func() { closeDB(t, a.db) })
	must(t, migrate(a.db))
	return a
}

func closeDB(t *testing.T, db *gorm.DB) {
	pool, err := db.DB()
	must(t, err)
	must(t, pool.Close())
}

func (a *app) load(t *testing.T, id int64) *User {
	t.Helper()
	u, err := byID(t.Context(), a.db, id)
	must(t, err)
	return u
}

func (a *app) wantEmail(t *testing.T, id int64, want string) {
	t.Helper()
	if email, err := a.load(t, id).Email.Get(); email != want || err != nil {
		t.Errorf("user %d has %q, %v, want %q", id, email, err, want)
	}
}

// row is all that the database has of a user.
func (a *app) row(t *testing.T, id int64) (row string) {
	t.Helper()
	must(t, a.db.WithContext(context.Background()).Raw(`SELECT u::text FROM users u WHERE id = ?`, id).Scan(&row).Error)
	return row
}

func sealed(v string) (s rowseal.Sealed[string]) {
	s.Set(v)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
