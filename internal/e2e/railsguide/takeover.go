package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
)

// Member is a row of an app that has Lockbox and no KMS: has_encrypted :email, blind_index :email.
type Member struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey        // a new column of type text
	Email           rowseal.Sealed[string] `rowseal:"previous=lockbox"`
	EmailIndex      blindindex.Index       `rowseal:"of=Email"`
}

func newMembers(ring *rowseal.Keyring, lockboxMasterKey string) (*rowseal.Model[Member], error) {
	master, err := rowseal.ParseMasterKey(lockboxMasterKey)
	if err != nil {
		return nil, err
	}
	return rowseal.NewModel[Member]("members", ring, &rowseal.Options{
		Binding:    rowseal.BindNone,
		MasterKeys: map[string]*rowseal.MasterKey{"lockbox": master, rowseal.DefaultIndexKey: master},
	})
}

// giveKey gives a row its first data key and seals its fields under it.
func giveKey(ctx context.Context, db *sql.DB, members *rowseal.Model[Member], m *Member) error {
	if err := members.Rekey(ctx, m); err != nil {
		return err
	}
	key, _ := m.EncryptedKMSKey.Stored() // NULL
	result, err := db.ExecContext(ctx,
		`UPDATE members SET encrypted_kms_key = ?, email_ciphertext = ? WHERE id = ? AND encrypted_kms_key IS ?`,
		m.EncryptedKMSKey, m.Email, m.ID, key)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errConflict)
	}
	return members.Committed(ctx, m)
}
