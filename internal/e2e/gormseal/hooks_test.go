package gormseal_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// Note makes its id, and a value to be sealed, in hooks.
type Note struct {
	ID              string `gorm:"primaryKey;size:36"`
	Title           string `gorm:"size:50"`
	Changes         int
	EncryptedKMSKey rowseal.DataKey
	Text            rowseal.Sealed[string]
	Author          rowseal.Sealed[string]
	Parts           []Part `gorm:"polymorphic:Owner"`
}

// Part is embedded in no table of its own owner's, and belongs to several.
type Part struct {
	Base
	OwnerID   string                 `gorm:"size:36"`
	OwnerType string                 `gorm:"size:36"`
	Body      rowseal.Sealed[[]byte] `rowseal:"raw"`
}

// Base is embedded.
type Base struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Label           rowseal.Sealed[string]
}

func (n *Note) BeforeCreate(*gorm.DB) error {
	if n.ID == "" {
		n.ID = "note-" + n.Title
	}
	n.Author.Set("hook")
	return nil
}

func (n *Note) BeforeUpdate(tx *gorm.DB) error {
	if tx.Statement.Changed("Title") {
		tx.Statement.SetColumn("Changes", n.Changes+1)
	}
	if n.Title == "raw" {
		tx.Statement.SetColumn("Text", "by SetColumn")
	}
	return nil
}

// AfterFind is called before rows of the outermost query are opened only if they are not asked for.
func (n *Note) AfterFind(*gorm.DB) error {
	if text, err := n.Text.Get(); err == nil {
		n.Title += " (" + text + ")"
	}
	return nil
}

type notes struct {
	*gorm.DB
	kms   *kmstest.Fake
	model *rowseal.Model[Note]
}

func openNotes(t *testing.T, d dbtest.Database) notes {
	n := notes{kms: &kmstest.Fake{BatchSize: 100}}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(n.kms, nil)})
	must(t, err)
	n.model, err = rowseal.NewModel[Note]("notes", ring, nil)
	must(t, err)
	parts, err := rowseal.NewModel[Part]("parts", ring, &rowseal.Options{Binding: rowseal.BindRow})
	must(t, err)
	n.DB = gormtest.Open(t, d, nil)
	must(t, n.Use(gormseal.New(n.model, parts)))
	must(t, n.AutoMigrate(&Note{}, &Part{}))
	return n
}

func TestHooks(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openNotes(t, d)
		note := &Note{Title: "a", Text: set("text")}
		must(t, db.Create(note).Error)
		if n := db.kms.Requests(kms.OpEncrypt); n != 1 {
			t.Errorf("%d requests", n)
		}
		must(t, db.Model(note).Update("Title", "b").Error)
		note.Text.Set("new")
		must(t, db.Model(note).Updates(note).Error)
		var found Note
		must(t, db.First(&found).Error)
		must(t, db.model.Open(t.Context(), &found))
		if found.ID != "note-a" || found.Title != "b" || found.Changes != 1 || get(t, found.Text) != "new" || get(t, found.Author) != "hook" {
			t.Errorf("%+v", found)
		}
		found.Title = "raw"
		must(t, db.Updates(&found).Error)
		wantErr(t, "SetColumn beside a map", db.Model(&found).Update("Changes", 7).Error, rowseal.ErrUnsealed)
		must(t, db.Scopes(gormseal.OpenOnFind).First(&found).Error)
		if found.Title != "raw (by SetColumn)" || found.Changes != 1 {
			t.Errorf("%+v", found)
		}
	})
}

func TestPolymorphicAndEmbeddedStructsBoundToTheirRows(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openNotes(t, d)
		note := &Note{Title: "a", Text: set("text"), Parts: []Part{{}, {}}}
		for i := range note.Parts {
			note.Parts[i].Body.Set([]byte{byte(i), 0, 255})
			note.Parts[i].Label.Set(fmt.Sprint("part ", i))
		}
		must(t, db.Create(note).Error)
		var found Note
		must(t, db.Preload("Parts").First(&found).Error)
		must(t, gormseal.Open(t.Context(), &found))
		if len(found.Parts) != 2 {
			t.Fatalf("%+v", found)
		}
		for i, p := range found.Parts {
			body, err := p.Body.Get()
			must(t, err)
			if string(body) != string([]byte{byte(i), 0, 255}) || get(t, p.Label) != fmt.Sprint("part ", i) || p.OwnerType != "notes" {
				t.Errorf("%+v", p)
			}
		}
		found.Parts[1].Label.Set("changed")
		err := db.Save(&found).Error // which writes foreign keys of associations, and no other columns
		wantErr(t, "a value of an association that is not saved", err, rowseal.ErrUnsealed)
		must(t, db.Session(&gorm.Session{FullSaveAssociations: true}).Save(&found).Error)
		must(t, db.Save(&found).Error)
		must(t, db.Preload("Parts").First(&found).Error)
		must(t, gormseal.Open(t.Context(), &found))
		if get(t, found.Parts[1].Label) != "changed" {
			t.Errorf("%+v", found.Parts)
		}
		must(t, db.Model(&found).Association("Parts").Append(&Part{Base: Base{Label: set("third")}}))
		var n int64
		must(t, db.Model(&Part{}).Count(&n).Error)
		if n != 3 {
			t.Errorf("%d parts", n)
		}
		must(t, db.Model(&found).Association("Parts").Clear())
	})
}

// recorder keeps what GORM logs.
type recorder struct{ strings.Builder }

func (r *recorder) Printf(format string, args ...any) { fmt.Fprintf(r, format+"\n", args...) }

// At the noisiest level, a log has no plaintext in it, and costs no request.
func TestLogs(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		var printed recorder
		w := open(t, d, func(_ *gormseal.Plugin, c *gorm.Config) {
			c.Logger = logger.New(&printed, logger.Config{LogLevel: logger.Info})
		})
		u := newUser("secret-ada")
		u.Orders = []Order{{Note: set("secret-note")}}
		u.Name = "name"
		must(t, w.Create(u).Error)
		w.requests("Create", 2, 0)
		u.Email.Set("secret-new")
		must(t, w.Save(u).Error)
		w.requests("Save", 0, 0)
		u.Phone.Set("secret-phone")
		_ = w.Model(u).Update("Email", u.Phone).Error
		_ = w.Where(&User{Phone: u.Phone}).Find(&[]User{}).Error
		_ = w.Exec("UPDATE users SET phone_ciphertext = ?", u.Phone).Error
		_ = w.Where(gormseal.Equal("Email", "secret-new")).First(&User{}).Error
		_ = w.Session(&gorm.Session{DryRun: true}).Save(u).Error
		_ = w.Preload("Orders").Scopes(gormseal.OpenOnFind).Find(&[]User{}).Error
		fmt.Fprintf(&printed, "%v %+v %#v", u, *u, u)
		slog.New(slog.NewTextHandler(&printed, nil)).Info("", "user", u)
		if strings.Contains(printed.String(), "secret") {
			t.Errorf("%s", printed.String())
		}
		if !strings.Contains(printed.String(), "[unsealed]") || !strings.Contains(printed.String(), "INSERT") {
			t.Errorf("nothing was logged: %s", printed.String())
		}
	})
}

// A dry run makes the SQL, with what is set shown as such, asks no KMS and changes nothing.
func TestDryRun(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		w := open(t, d)
		u := newUser("ada")
		must(t, w.Create(u).Error)
		w.kms.Reset()
		before := w.dump("users")
		u.Email.Set("new")
		for what, want := range map[string]string{
			w.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Create(newUser("bob")) }):                              "[unsealed]",
			w.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Updates(u) }):                                          "[unsealed]",
			w.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Model(u).Update("age", 3) }):                           "age",
			w.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Where(gormseal.Equal("Email", "x")).Find(&[]User{}) }): "email_bidx",
			w.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Scopes(gormseal.OpenOnFind).Find(&[]User{}) }):         "SELECT",
			w.ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Save(&[]User{*newUser("cyd")}) }):                      "INSERT",
		} {
			if !strings.Contains(what, want) {
				t.Errorf("%s has no %s", what, want)
			}
		}
		w.requests("dry runs", 0, 0)
		if w.dump("users") != before {
			t.Error("a dry run has changed the table")
		}
		must(t, w.Updates(u).Error)
		w.wantUser("and then", u.ID, "new", "phone of ada")
	})
}
