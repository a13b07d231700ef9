package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/rowseal/rowseal"
)

var errConflict = errors.New("the row has changed; load it again")

// change gives a row that was loaded another e-mail address.
func change(ctx context.Context, db *sql.DB, users *rowseal.Model[User], u *User, email string) error {
	u.Email.Set(email)
	if err := users.Seal(ctx, u); err != nil { // under the data key that the row has
		return err
	}
	stored, _ := u.EncryptedKMSKey.Stored()
	result, err := db.ExecContext(ctx,
		`UPDATE users SET encrypted_kms_key = ?, email_ciphertext = ? WHERE id = ? AND encrypted_kms_key IS ?`,
		u.EncryptedKMSKey, u.Email, u.ID, stored)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errConflict)
	}
	return users.Committed(ctx, u) // what was written counts as loaded
}
