// Package gormguide is the code of docs/gorm.md.
package gormguide

import (
	"time"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/gormseal"
)

type User struct {
	ID              int64
	Name            string
	EncryptedKMSKey rowseal.DataKey           // encrypted_kms_key: the row's data key, wrapped by the KMS
	Email           rowseal.Sealed[string]    // email_ciphertext
	EmailIndex      blindindex.Index          `gorm:"uniqueIndex:,where:deleted_at IS NULL" rowseal:"of=Email,normalize=strip+lower"` // email_bidx
	BornOn          rowseal.Sealed[time.Time] `rowseal:"type=date"`                                                                   // born_on_ciphertext
	UpdatedAt       time.Time
	DeletedAt       gorm.DeletedAt
	Orders          []Order
}

type Order struct {
	ID              int64
	UserID          int64
	EncryptedKMSKey rowseal.DataKey
	Note            rowseal.Sealed[string]
}

// Move is what plain tables look like beside them.
type Move struct {
	ID     int64
	UserID int64
	At     time.Time
}

type models struct {
	users  *rowseal.Model[User]
	orders *rowseal.Model[Order]
}

func newModels(ring *rowseal.Keyring, indexKey *rowseal.MasterKey) (m models, err error) {
	m.users, err = rowseal.NewModel[User]("users", ring, &rowseal.Options{
		Model:      "User", // the KMS knows rows by it, so it stays when the struct is renamed
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: indexKey},
	})
	if err != nil {
		return m, err
	}
	m.orders, err = rowseal.NewModel[Order]("orders", ring, &rowseal.Options{Model: "Order"})
	return m, err
}

func open(dialector gorm.Dialector, m models) (*gorm.DB, error) {
	db, err := gorm.Open(dialector, &gorm.Config{TranslateError: true})
	if err != nil {
		return nil, err
	}
	return db, db.Use(gormseal.New(m.users, m.orders))
}
