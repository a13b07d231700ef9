package main

import (
	"context"
	"fmt"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/localkms" // KMS_KEY_ID=local/…
	_ "github.com/rowseal/rowseal/kms/vaultkms" // KMS_KEY_ID=vault/…, with VAULT_ADDR and VAULT_TOKEN
)

// newCustomers returns what seals and opens customers. It makes no request to the KMS.
func newCustomers(ctx context.Context, c config) (*rowseal.Model[Customer], error) {
	var opts kms.KeyOptions
	if c.Ledger != "" { // each line is in the file when a call returns, so that nobody has to close it
		ledger, err := audit.OpenLedger(c.Ledger, nil)
		if err != nil {
			return nil, fmt.Errorf("LEDGER: %w", err)
		}
		opts.Observers = append(opts.Observers, ledger)
	}
	key, err := kms.Open(ctx, c.KMSKeyID, &opts)
	if err != nil {
		return nil, fmt.Errorf("KMS_KEY_ID: %w", err)
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		return nil, err
	}
	indexKey, err := rowseal.ParseMasterKey(c.IndexKey)
	if err != nil {
		return nil, fmt.Errorf("INDEX_KEY: %w", err)
	}
	return rowseal.NewModel[Customer]("customers", ring, &rowseal.Options{
		Model:      "Customer", // the KMS knows rows by it, so it stays when the struct is renamed
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: indexKey},
	})
}
