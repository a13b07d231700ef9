package main

import (
	"context"
	"os"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// openIndexKey unwraps the key of the indexes, which ring.Encrypt has wrapped under the same context.
func openIndexKey(ctx context.Context, ring *rowseal.Keyring) (*rowseal.MasterKey, error) {
	return rowseal.OpenMasterKey(ctx, ring, os.Getenv("WRAPPED_INDEX_KEY"), kms.Context{"purpose": "blind indexes"})
}
