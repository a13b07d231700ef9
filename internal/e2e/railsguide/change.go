package main

import (
	"context"
	"database/sql"
	"errors"

	"github.com/rowseal/rowseal"
)

var errConflict = errors.New("the row has changed; load it again")

// setEmail gives a user another e-mail address, beside a Rails app that may change the row too.
func setEmail(ctx context.Context, db *sql.DB, users *rowseal.Model[User], u *User, email string) error {
	u.Email.Set(email)
	if err := users.Seal(ctx, u); err != nil {
		return err
	}
	key, _ := u.EncryptedKMSKey.Stored()
	result, err := db.ExecContext(ctx, `UPDATE users SET encrypted_kms_key = ?, email_ciphertext = ?, email_bidx = ?,
		updated_at = CURRENT_TIMESTAMP, lock_version = lock_version + 1
		WHERE id = ? AND lock_version = ? AND encrypted_kms_key IS ?`,
		u.EncryptedKMSKey, u.Email, u.EmailIndex, u.ID, u.LockVersion, key)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, errConflict)
	}
	u.LockVersion++
	return users.Committed(ctx, u)
}
