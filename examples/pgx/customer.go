package main

import (
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
)

// Customer is a row of the table customers, under a data key of its own. The tags are those of pgx.RowToStructByName.
type Customer struct {
	ID              string                    `db:"id"`
	Name            string                    `db:"name"`
	EncryptedKMSKey rowseal.DataKey           `db:"encrypted_kms_key"` // the data key, wrapped by the KMS
	Email           rowseal.Sealed[string]    `db:"email_ciphertext"`
	EmailIndex      blindindex.Index          `db:"email_bidx" rowseal:"of=Email,normalize=strip+lower"`
	Phone           rowseal.Sealed[string]    `db:"phone_ciphertext"`
	BornOn          rowseal.Sealed[time.Time] `db:"born_on_ciphertext" rowseal:"type=date"`
}
