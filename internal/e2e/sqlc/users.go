// Package sqlc is docs/sql.md's example of sqlc (https://sqlc.dev): schema.sql, query.sql and sqlc.yaml are the user's, and
// `sqlc generate` (v1.31.1) has written what is in userspgx and userssql but for their types.go.
package sqlc

import (
	"context"
	"fmt"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/sqlc/userspgx"
)

func signUp(ctx context.Context, q *userspgx.Queries, users *rowseal.Model[userspgx.User], u *userspgx.User) (err error) {
	if u.ID, err = q.NewUserID(ctx); err != nil {
		return err
	}
	if err := users.Seal(ctx, u); err != nil {
		return err
	}
	if err := q.InsertUser(ctx, userspgx.InsertUserParams(*u)); err != nil {
		return err
	}
	users.Rows().Inserted(u)
	return nil
}

func userByEmail(ctx context.Context, q *userspgx.Queries, users *rowseal.Model[userspgx.User], email string) (*userspgx.User, error) {
	indexes, err := users.Lookup(ctx, "email_bidx", email) // one, as the index has no Previous
	if err != nil {
		return nil, err
	}
	u := userspgx.User{}
	if err := u.EmailIndex.Scan(indexes[0]); err != nil {
		return nil, err
	}
	if u, err = q.UserByEmail(ctx, u.EmailIndex); err != nil {
		return nil, err
	}
	return &u, users.Open(ctx, &u)
}

func changeEmail(ctx context.Context, q *userspgx.Queries, users *rowseal.Model[userspgx.User], u *userspgx.User, email string) error {
	u.Email.Set(email)
	if err := users.Seal(ctx, u); err != nil { // under the data key that the row has
		return err
	}
	n, err := q.SetEmail(ctx, userspgx.SetEmailParams{
		ID: u.ID, Email: u.Email, EmailIndex: u.EmailIndex, EncryptedKMSKey: u.EncryptedKMSKey,
	})
	if err != nil {
		return err
	}
	if n != 1 { // the row has another data key by now, or none
		return fmt.Errorf("user %d: %w", u.ID, rowseal.ErrConflict)
	}
	return users.Committed(ctx, u)
}
