package gormseal_test

import (
	"errors"
	"fmt"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

// Badge has its id from the database, and two data keys.
type Badge struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Name            rowseal.Sealed[string]
	NameIndex       blindindex.Index       `rowseal:"of=Name,algorithm=hmac_sha256"`
	KMSKeyPIN       rowseal.DataKey        `rowseal:"name=pin"`
	PIN             rowseal.Sealed[string] `rowseal:"key=pin"`
}

type badges struct {
	*gorm.DB
	t     *testing.T
	kms   *kmstest.Fake
	model *rowseal.Model[Badge]
}

// openBadges has a KMS that does not look at the encryption context, so that only the binding tells rows apart.
func openBadges(t *testing.T, d dbtest.Database, order sqlseal.Order) *badges {
	t.Helper()
	b := &badges{t: t, kms: &kmstest.Fake{BatchSize: 100, IgnoreContext: true}}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(b.kms, nil)})
	must(t, err)
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	b.model, err = rowseal.NewModel[Badge]("badges", ring, &rowseal.Options{
		Binding: rowseal.BindRow, MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index},
	})
	must(t, err)
	plugin := gormseal.New(b.model)
	plugin.Tables = map[string]gormseal.TableOptions{"badges": {Order: order}}
	b.DB = gormtest.Open(t, d, nil)
	must(t, b.Use(plugin))
	must(t, b.AutoMigrate(&Badge{}))
	return b
}

func newBadge(name string) *Badge { return &Badge{Name: set(name), PIN: set("pin of " + name)} }

func (b *badges) wantBadge(what string, id int64, name, pin string) *Badge {
	b.t.Helper()
	found := &Badge{}
	must(b.t, b.First(found, id).Error)
	must(b.t, gormseal.Open(b.t.Context(), found))
	if got := get(b.t, found.Name); got != name || get(b.t, found.PIN) != pin {
		b.t.Errorf("%s: the row has %q and %q, want %q and %q", what, got, get(b.t, found.PIN), name, pin)
	}
	var indexed Badge
	if err := b.Where(gormseal.Equal("Name", name)).Take(&indexed).Error; name != "" && (err != nil || indexed.ID != id) {
		b.t.Errorf("%s: by its index, row %d: %v", what, indexed.ID, err)
	}
	b.kms.Reset()
	return found
}

func TestFieldsAreBoundToAnIDThatTheDatabaseMakes(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		for name, order := range map[string]sqlseal.Order{"Auto": sqlseal.Auto, "InsertFirst": sqlseal.InsertFirst} {
			t.Run(name, func(t *testing.T) {
				db := openBadges(t, d, order)
				all := []*Badge{newBadge("a"), newBadge("b"), newBadge("c")}
				must(t, db.Create(&all).Error)
				if n := db.kms.Requests(kms.OpEncrypt); n != 1 {
					t.Errorf("%d requests", n)
				}
				for i, b := range all {
					db.wantBadge("created", b.ID, string(rune('a'+i)), "pin of "+string(rune('a'+i)))
				}
				all[0].Name.Set("new")
				must(t, db.Save(all[0]).Error)
				all[1].PIN.SetNull()
				must(t, db.Updates(all[1]).Error)
				if n := db.kms.Requests(); n != 0 {
					t.Errorf("%d requests for rows that were just created", n)
				}
				db.wantBadge("saved", all[0].ID, "new", "pin of a")
				mine, theirs := db.wantBadge("NULL", all[1].ID, "b", ""), db.wantBadge("NULL", all[1].ID, "b", "")
				must(t, db.model.Rekey(t.Context(), theirs))
				must(t, db.Save(theirs).Error)
				mine.PIN.Set("1")
				must(t, db.Save(mine).Error)
				db.wantBadge("after a rekey", mine.ID, "b", "1")

				undone := newBadge("undone")
				create := func(undo error) error {
					return db.Transaction(func(tx *gorm.DB) error { return errors.Join(tx.Create(undone).Error, undo) })
				}
				wantErr(t, "undone", create(errUndo), errUndo)
				must(t, create(nil))
				db.wantBadge("created by a retry", undone.ID, "undone", "pin of undone")
			})
		}
	})
}

// Whoever can write to the database can copy a row's key together with what is sealed under it.
func TestWhatIsBoundToItsRowDoesNotOpenInAnother(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openBadges(t, d, sqlseal.Auto)
		one, two := newBadge("a"), newBadge("b")
		must(t, db.Create([]*Badge{one, two}).Error)
		must(t, db.Exec("UPDATE badges SET encrypted_kms_key = ?, name_ciphertext = ? WHERE id = ?",
			one.EncryptedKMSKey.Wrapped(), one.Name.Ciphertext(), two.ID).Error)
		var found Badge
		must(t, db.First(&found, two.ID).Error)
		err := gormseal.Open(t.Context(), &found)
		_, err2 := found.Name.Get()
		wantErr(t, "another row's name", errors.Join(err, err2), kms.ErrDecryptionFailed)
		if got := get(t, found.PIN); got != "pin of b" {
			t.Errorf("what was not copied is %q", got)
		}
	})
}

// Record belongs to a tenant, who has a KMS key of its own.
type Record struct {
	ID              int64
	Tenant          string `gorm:"size:20"`
	Title           string `gorm:"size:20"`
	EncryptedKMSKey rowseal.DataKey
	Text            rowseal.Sealed[string]
}

type records struct {
	*gorm.DB
	t       *testing.T
	tenants map[string]*kmstest.Fake
	model   *rowseal.Model[Record]
}

func openRecords(t *testing.T, d dbtest.Database) *records {
	t.Helper()
	r := &records{t: t, tenants: map[string]*kmstest.Fake{}}
	rings := map[string]*rowseal.Keyring{}
	for _, tenant := range []string{"acme", "initech"} {
		r.tenants[tenant] = &kmstest.Fake{ID: "key-of-" + tenant, BatchSize: 100}
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(r.tenants[tenant], nil)})
		must(t, err)
		rings[tenant] = ring
	}
	choose := func(row rowseal.Row) (*rowseal.Keyring, error) {
		tenant, err := row.Column("tenant")
		if err == nil && rings[tenant] == nil {
			err = fmt.Errorf("there is no tenant %q: %w", tenant, kms.ErrKeyNotFound)
		}
		return rings[tenant], err
	}
	var err error
	r.model, err = rowseal.NewModel[Record]("records", nil, &rowseal.Options{Keys: map[string]rowseal.KeyOptions{
		"": {KeyringFor: choose, KeyringColumns: []string{"tenant"}},
	}})
	must(t, err)
	r.DB = gormtest.Open(t, d, nil)
	must(t, r.Use(gormseal.New(r.model)))
	must(t, r.AutoMigrate(&Record{}))
	return r
}

// requests compares what each tenant's key was asked since the last look.
func (r *records) requests(what string, op kms.Op, acme, initech int) {
	r.t.Helper()
	for tenant, want := range map[string]int{"acme": acme, "initech": initech} {
		if got, all := r.tenants[tenant].Requests(op), r.tenants[tenant].Requests(); got != want || all != want {
			r.t.Errorf("%s: %s was asked %d times, %d of them to %v, want %d", what, tenant, all, got, op, want)
		}
		r.tenants[tenant].Reset()
	}
}

// wantTexts opens all rows, in the order of their ids.
func (r *records) wantTexts(what string, want ...string) (found []*Record) {
	r.t.Helper()
	must(r.t, r.Order("id").Find(&found).Error)
	must(r.t, gormseal.Open(r.t.Context(), found))
	for i, row := range found {
		if got := row.Tenant + ": " + get(r.t, row.Text); len(found) != len(want) || got != want[i] {
			r.t.Errorf("%s: row %d of %d is %q, want %q", what, i, len(found), got, want)
		}
	}
	return found
}

func TestAColumnChoosesTheKeyring(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openRecords(t, d)
		must(t, db.Create([]*Record{{Tenant: "acme", Text: set("a")}, {Tenant: "initech", Text: set("b")}, {Tenant: "acme", Text: set("c")}}).Error)
		db.requests("Create", kms.OpEncrypt, 1, 1)
		rows := db.wantTexts("created", "acme: a", "initech: b", "acme: c")
		db.requests("Open", kms.OpDecrypt, 1, 1)

		var found Record
		must(t, db.Where("tenant = ?", "initech").Take(&found).Error)
		must(t, gormseal.Open(t.Context(), &found))
		found.Text.Set("b2")
		must(t, db.Save(&found).Error)
		db.requests("one tenant's row", kms.OpDecrypt, 0, 1)
		theirs := *rows[0]
		must(t, db.First(&theirs, rows[0].ID).Error)
		must(t, db.model.Rekey(t.Context(), &theirs))
		must(t, db.Save(&theirs).Error)
		rows[0].Text.Set("a2")
		must(t, db.Save(rows[0]).Error)
		rows = db.wantTexts("written", "acme: a2", "initech: b2", "acme: c")

		wantErr(t, "a tenant without a key", db.Create(&Record{Tenant: "hooli", Text: set("x")}).Error, kms.ErrKeyNotFound)
		wantErr(t, "an upsert that may meet another tenant's row", db.Clauses(clause.OnConflict{UpdateAll: true}).
			Create(&Record{ID: rows[0].ID, Tenant: "initech", Text: set("x")}).Error, rowseal.ErrContextChanged)
		db.wantTexts("refused", "acme: a2", "initech: b2", "acme: c")
	})
}

func TestTheColumnThatChoosesTheKeyringIsNotChangedAlone(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		db := openRecords(t, d)
		row := &Record{Tenant: "acme", Text: set("a")}
		must(t, db.Create(row).Error)
		wantErr(t, "Update", db.Model(row).Update("tenant", "initech").Error, rowseal.ErrContextChanged)
		wantErr(t, "many rows", db.Model(&Record{}).Where("1 = 1").Updates(map[string]any{"Tenant": "initech"}).Error, rowseal.ErrContextChanged)
		wantErr(t, "Table", db.Table("records").Where("1 = 1").Update("tenant", "initech").Error, rowseal.ErrContextChanged)
		for _, change := range []func(*Record){func(*Record) {}, func(r *Record) { r.Text.Set("b") }, func(r *Record) { r.Text.SetNull() }} {
			moved := db.wantTexts("not moved", "acme: a")[0]
			moved.Tenant = "initech"
			change(moved)
			if err := db.Save(moved).Error; err == nil {
				t.Error("a row is moved to another tenant with a key of the first one's")
			}
		}
		stale := db.wantTexts("not moved", "acme: a")[0]
		moved := db.wantTexts("not moved", "acme: a")[0]
		db.model.Clear(moved)
		moved.Tenant = "initech"
		moved.Text.Set("moved")
		must(t, db.Save(moved).Error)
		db.wantTexts("moved with a new key", "initech: moved")
		stale.Text.Set("too late")
		wantErr(t, "of a row that has moved", db.Save(stale).Error, rowseal.ErrContextChanged)
		db.wantTexts("moved", "initech: moved")
	})
}
