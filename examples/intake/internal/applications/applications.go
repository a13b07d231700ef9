// Package applications is the table that the intake service and the back office share.
package applications

import (
	"context"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/localkms" // KMS_KEY_ID=local/…, where the rights cannot be separated
	_ "github.com/rowseal/rowseal/kms/vaultkms" // KMS_KEY_ID=vault/…, with VAULT_ADDR and a VAULT_TOKEN for each program
)

// Application is a row: what somebody has sent in.
type Application struct {
	ID              string
	ReceivedAt      time.Time
	EncryptedKMSKey rowseal.DataKey
	Name            rowseal.Sealed[string]
	Email           rowseal.Sealed[string]
	Statement       rowseal.Sealed[string] `rowseal:"padding=256"` // so that its length shows in steps of 256 bytes
}

// Model seals and opens with a key of the KMS, as far as that lets the program do so.
func Model(key *kms.Key) (*rowseal.Model[Application], error) {
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		return nil, err
	}
	return rowseal.NewModel[Application]("applications", ring, &rowseal.Options{Model: "Application"})
}

// Sealer only seals: what it returns has no way to open a row, whatever its user may do at the KMS.
func Sealer(ctx context.Context, keyID string) (*rowseal.Sealer[Application], error) {
	key, err := kms.Open(ctx, keyID, nil)
	if err != nil {
		return nil, err
	}
	model, err := Model(key.EncryptOnly())
	if err != nil {
		return nil, err
	}
	return model.Sealer(), nil
}
