package main

import (
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
)

// Customer is a row of the table customers, under a data key of its own.
type Customer struct {
	ID              string
	Name            string
	EncryptedKMSKey rowseal.DataKey           // encrypted_kms_key: the data key, wrapped by the KMS
	Email           rowseal.Sealed[string]    // email_ciphertext
	EmailIndex      blindindex.Index          `gorm:"uniqueIndex" rowseal:"of=Email,normalize=strip+lower"` // email_bidx
	Phone           rowseal.Sealed[string]    // phone_ciphertext
	BornOn          rowseal.Sealed[time.Time] `rowseal:"type=date"` // born_on_ciphertext
}

// Event is what happened to a customer, written in the same transaction.
type Event struct {
	ID         int64
	CustomerID string
	Kind       string // created, changed, deleted
	CreatedAt  time.Time
}
