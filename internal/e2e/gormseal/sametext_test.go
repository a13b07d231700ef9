package gormseal_test

import (
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

// Coupon has a text for its id.
type Coupon struct {
	ID              string `gorm:"primaryKey"`
	EncryptedKMSKey rowseal.DataKey
	Owner           rowseal.Sealed[string]
}

func newCoupon(id, owner string) *Coupon {
	c := &Coupon{ID: id}
	c.Owner.Set(owner)
	return c
}

func TestAnUpsertOfATextThatTheDatabaseTakesForAnotherIsUndone(t *testing.T) {
	idType := map[string]string{"PostgreSQL": "citext", "MariaDB": "varchar(36)", "SQLite": "text COLLATE NOCASE"}
	all := clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, UpdateAll: true}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{BatchSize: 10}, nil)})
		must(t, err)
		m, err := rowseal.NewModel[Coupon]("coupons", ring, nil)
		must(t, err)
		db := gormtest.Open(t, d, nil)
		must(t, db.Use(gormseal.New(m)))
		if d.Name == "PostgreSQL" {
			must(t, db.Exec("CREATE EXTENSION IF NOT EXISTS citext").Error)
		}
		must(t, db.Exec("CREATE TABLE coupons (id "+idType[d.Name]+" PRIMARY KEY, encrypted_kms_key text, owner_ciphertext text)").Error)
		pool, err := db.DB()
		must(t, err)
		own := sqlseal.SQL(sqlseal.Dialect(db.Name()), pool)
		want := func(what, owner string) {
			t.Helper()
			var found []Coupon
			must(t, db.Find(&found).Error)
			must(t, gormseal.Open(t.Context(), &found))
			if len(found) != 1 || found[0].ID != "Ada" || get(t, found[0].Owner) != owner {
				t.Errorf("%s: %d rows, the first of %q: %q", what, len(found), found[0].ID, get(t, found[0].Owner))
			}
		}
		must(t, db.Create(newCoupon("Ada", "first")).Error)
		for what, upsert := range map[string]func(c *Coupon) error{
			"GORM":      func(c *Coupon) error { return db.Clauses(all).Create(c).Error },
			"a slice":   func(c *Coupon) error { return db.Clauses(all).Create([]*Coupon{c}).Error },
			"RETURNING": func(c *Coupon) error { return db.Clauses(all, clause.Returning{}).Create(c).Error },
			"no transaction": func(c *Coupon) error {
				return db.Session(&gorm.Session{SkipDefaultTransaction: true}).Clauses(all).Create(c).Error
			},
			"a transaction that goes on": func(c *Coupon) (err error) {
				must(t, db.Transaction(func(tx *gorm.DB) error { err = tx.Clauses(all).Create(c).Error; return nil }))
				return err
			},
			"sqlseal": func(c *Coupon) error { return sqlseal.New(m, nil).Upsert(t.Context(), own, nil, c) },
		} {
			wantErr(t, what, upsert(newCoupon("ada", "another")), rowseal.ErrContextChanged)
			want(what, "first")
			must(t, upsert(newCoupon("Ada", what)))
			want(what, what)
			must(t, upsert(newCoupon("Ada", "first")))
		}
	})
}
