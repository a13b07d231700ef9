package gormseal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/storetest"
)

// Deal has a file outside the database.
type Deal struct {
	ID              int64
	Title           string `gorm:"size:100;uniqueIndex"`
	EncryptedKMSKey rowseal.DataKey
	Price           rowseal.Sealed[string]
	Contract        rowseal.File
}

// deals is a database with a store beside it.
type deals struct {
	*gorm.DB
	t     *testing.T
	kms   *kmstest.Fake
	model *rowseal.Model[Deal]
	files *watched
}

// watched is a store that tells of deletions before they happen.
type watched struct {
	storetest.Memory
	deleting func(key string)
}

func (w *watched) Delete(ctx context.Context, key string) error {
	w.deleting(key)
	return w.Memory.Delete(ctx, key)
}

func openDeals(t *testing.T, d dbtest.Database, binding rowseal.Binding, order sqlseal.Order) *deals {
	t.Helper()
	db := &deals{t: t, kms: &kmstest.Fake{BatchSize: 100}, files: &watched{}}
	db.files.deleting = db.wantUnused
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(db.kms, nil)})
	must(t, err)
	db.model, err = rowseal.NewModel[Deal]("deals", ring, &rowseal.Options{Binding: binding, Store: db.files})
	must(t, err)
	plugin := gormseal.New(db.model)
	plugin.Tables = map[string]gormseal.TableOptions{"deals": {Order: order}}
	db.DB = gormtest.Open(t, d, nil)
	must(t, db.Use(plugin))
	must(t, db.AutoMigrate(&Deal{}))
	return db
}

// eachDeals runs a test on every database, where ids are fetched and where rows are inserted before they have one.
func eachDeals(t *testing.T, test func(t *testing.T, db *deals)) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for _, binding := range []rowseal.Binding{rowseal.BindColumn, rowseal.BindRow} {
			for name, order := range map[string]sqlseal.Order{"Auto": sqlseal.Auto, "InsertFirst": sqlseal.InsertFirst} {
				t.Run(fmt.Sprint(name, " ", binding), func(t *testing.T) { test(t, openDeals(t, d, binding, order)) })
			}
		}
	})
}

// wantUnused demands that no row which is committed refers to an object: another connection than a transaction's is asked.
func (db *deals) wantUnused(key string) {
	db.t.Helper()
	var n int64
	must(db.t, db.Session(&gorm.Session{NewDB: true}).Model(&Deal{}).Where("contract_file LIKE ?", "%"+key+"%").Count(&n).Error)
	if n > 0 {
		db.t.Errorf("object %s is deleted while a row refers to it", key)
	}
}

// wantFiles demands that a row has this file, and the store this many objects.
func (db *deals) wantFiles(what string, id int64, content string, objects int) *Deal {
	db.t.Helper()
	found := &Deal{}
	must(db.t, db.First(found, id).Error)
	must(db.t, gormseal.Open(db.t.Context(), found))
	if got := contentOf(db.t, found.Contract); got != content {
		db.t.Errorf("%s: the file has %q, want %q", what, got, content)
	}
	if keys := db.files.Keys(); len(keys) != objects {
		db.t.Errorf("%s: the store has %d objects, want %d", what, len(keys), objects)
	}
	return found
}

func contentOf(t *testing.T, f rowseal.File) string {
	t.Helper()
	r, err := f.Open(t.Context())
	must(t, err)
	content, err := io.ReadAll(r)
	must(t, err)
	return string(content)
}

func newDeal(title, contract string) *Deal {
	d := &Deal{Title: title, Price: set("price of " + title)}
	setContract(d, contract)
	return d
}

func setContract(d *Deal, content string) {
	d.Contract.Set(strings.NewReader(content), rowseal.FileInfo{Name: content + ".pdf", ContentType: "application/pdf"})
}

func TestAFileIsCreatedFoundReplacedAndTakenAway(t *testing.T) {
	eachDeals(t, func(t *testing.T, db *deals) {
		d := newDeal("a", "one")
		must(t, db.Create(d).Error)
		if n := db.kms.Requests(kms.OpEncrypt); n != 1 {
			t.Errorf("Create: %d requests", n)
		}
		found := db.wantFiles("created", d.ID, "one", 1)
		if info, err := found.Contract.Info(); err != nil || info != (rowseal.FileInfo{Name: "one.pdf", ContentType: "application/pdf", Size: 3}) {
			t.Errorf("%+v, %v", info, err)
		}
		for _, key := range db.files.Keys() {
			if sealed, err := db.files.Get(t.Context(), key, 1000); err != nil || bytes.Contains(sealed, []byte("one")) {
				t.Errorf("the object has %q, %v", sealed, err)
			}
		}
		object := found.Contract.Object()
		found.Price.Set("2")
		must(t, db.Save(found).Error)
		if found = db.wantFiles("another field was written", d.ID, "one", 1); found.Contract.Object() != object {
			t.Error("the object is another one")
		}
		for i, write := range []func(any) *gorm.DB{db.Save, func(row any) *gorm.DB { return db.Updates(row) }} {
			content := fmt.Sprint("new ", i)
			setContract(found, content)
			must(t, write(found).Error)
			if got := contentOf(t, found.Contract); got != content {
				t.Errorf("the struct has %q", got)
			}
			found = db.wantFiles("replaced", d.ID, content, 1)
		}
		found.Contract.SetNull()
		must(t, db.Updates(found).Error)
		if found = db.wantFiles("set to NULL", d.ID, "", 0); !found.Contract.IsNull() || get(t, found.Price) != "2" {
			t.Errorf("%+v", found)
		}
		setContract(found, "last")
		must(t, db.Save(found).Error)
		db.wantFiles("set again", d.ID, "last", 1)
	})
}

func TestFilesOfManyRows(t *testing.T) {
	eachDeals(t, func(t *testing.T, db *deals) {
		all := []*Deal{newDeal("a", "one"), newDeal("b", "two"), {Title: "c"}}
		must(t, db.Create(&all).Error)
		if n := db.kms.Requests(kms.OpEncrypt); n != 1 {
			t.Errorf("%d requests", n)
		}
		for _, d := range all {
			setContract(d, d.Title+" again")
		}
		must(t, db.Save(&all).Error)
		for _, d := range all {
			db.wantFiles(d.Title, d.ID, d.Title+" again", 3)
		}
	})
}

// A transaction of the application's own may be rolled back after the file was stored, and GORM does not learn of that.
func TestTheOldFileStaysUntilTheApplicationSaysThatItHasCommitted(t *testing.T) {
	eachDeals(t, func(t *testing.T, db *deals) {
		d := newDeal("a", "one")
		must(t, db.Create(d).Error)
		found := db.wantFiles("created", d.ID, "one", 1)
		save := func(undo error) error {
			return db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Save(found).Error)
				if len(db.files.Keys()) < 2 {
					t.Error("the old file is gone before the transaction is committed")
				}
				return undo
			})
		}
		setContract(found, "two")
		wantErr(t, "undone", save(errUndo), errUndo)
		db.wantFiles("undone", d.ID, "one", 2)
		must(t, save(nil))
		db.wantFiles("saved by a retry", d.ID, "two", 2)
		must(t, db.model.Committed(t.Context(), found))
		db.wantFiles("committed", d.ID, "two", 1)

		setContract(found, "three")
		wantErr(t, "undone", save(errUndo), errUndo)
		must(t, db.model.Abandoned(t.Context(), found))
		db.wantFiles("abandoned", d.ID, "two", 1)
		found.Price.Set("3")
		must(t, db.Save(found).Error)
		if again := db.wantFiles("saved without the file", d.ID, "two", 1); get(t, again.Price) != "3" {
			t.Errorf("%+v", again)
		}
		found.Contract.SetNull()
		wantErr(t, "undone", db.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Save(found).Error, errUndo) }), errUndo)
		db.wantFiles("NULL undone", d.ID, "two", 1)
		must(t, db.Save(found).Error)
		db.wantFiles("NULL by a retry", d.ID, "", 0)
	})
}

func TestACreateWithAFileThatFails(t *testing.T) {
	eachDeals(t, func(t *testing.T, db *deals) {
		must(t, db.Create(newDeal("a", "one")).Error)
		d := newDeal("a", "two")
		if db.Create(d).Error == nil {
			t.Fatal("two rows have one title")
		}
		d.Title = "b"
		must(t, db.Create(d).Error)
		db.wantFiles("created by a retry", d.ID, "two", 2)

		d = newDeal("c", "three")
		wantErr(t, "undone", db.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(d).Error, errUndo) }), errUndo)
		must(t, db.model.Abandoned(t.Context(), d))
		if n := len(db.files.Keys()); n != 2 {
			t.Errorf("abandoned: %d objects", n)
		}
		setContract(d, "three")
		must(t, db.Create(d).Error)
		db.wantFiles("created after Abandoned", d.ID, "three", 3)
	})
}

// What a store or a reader says is the error of the statement, and the row stays as it was.
func TestAFileThatCannotBeStored(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openDeals(t, d, rowseal.BindColumn, sqlseal.Auto)
		broken := errors.New("the reader broke")
		bad := &Deal{Title: "a"}
		bad.Contract.Set(io.MultiReader(strings.NewReader("half"), failing{broken}), rowseal.FileInfo{})
		wantErr(t, "Create", db.Create(bad).Error, broken)
		var n int64
		must(t, db.Model(&Deal{}).Count(&n).Error)
		if n != 0 || len(db.files.Keys()) != 0 {
			t.Errorf("%d rows, %d objects", n, len(db.files.Keys()))
		}
		good := newDeal("a", "one")
		must(t, db.Create(good).Error)
		found := db.wantFiles("created", good.ID, "one", 1)
		found.Contract.Set(failing{broken}, rowseal.FileInfo{})
		wantErr(t, "Save", db.Save(found).Error, broken)
		db.wantFiles("not saved", good.ID, "one", 1)
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestTwoWritersOfARowWithAFile(t *testing.T) {
	eachDeals(t, func(t *testing.T, db *deals) {
		d := newDeal("a", "one")
		must(t, db.Create(d).Error)
		mine, theirs := db.wantFiles("mine", d.ID, "one", 1), db.wantFiles("theirs", d.ID, "one", 1)
		setContract(theirs, "theirs")
		must(t, db.Save(theirs).Error)
		mine.Price.Set("mine")
		must(t, db.Save(mine).Error) // which leaves the file alone
		found := db.wantFiles("of two fields", d.ID, "theirs", 1)
		if get(t, found.Price) != "mine" {
			t.Errorf("%+v", found)
		}
		_, err := mine.Contract.Open(t.Context())
		wantErr(t, "the file that was replaced", err, store.ErrNotFound)

		mine, theirs = found, db.wantFiles("theirs", d.ID, "theirs", 1)
		must(t, db.model.Rekey(t.Context(), theirs)) // which stores the file anew
		must(t, db.Save(theirs).Error)
		mine.Price.Set("after the rekey")
		must(t, db.Save(mine).Error)
		found = db.wantFiles("after a rekey", d.ID, "theirs", 1)
		if get(t, found.Price) != "after the rekey" {
			t.Errorf("%+v", found)
		}

		mine, theirs = found, db.wantFiles("theirs", d.ID, "theirs", 1)
		must(t, db.model.Rekey(t.Context(), theirs))
		must(t, db.Save(theirs).Error)
		setContract(mine, "last")
		wantErr(t, "a new file under a data key that is not the row's any more", db.Save(mine).Error, rowseal.ErrConflict)
		must(t, db.model.Abandoned(t.Context(), mine))
		mine, theirs = db.wantFiles("refused", d.ID, "theirs", 1), db.wantFiles("refused", d.ID, "theirs", 1)

		setContract(theirs, "first")
		must(t, db.Save(theirs).Error)
		setContract(mine, "last")
		must(t, db.Save(mine).Error)
		db.wantFiles("the last file", d.ID, "last", 2) // the first is garbage: nobody has shown mine that it was the row's
	})
}
