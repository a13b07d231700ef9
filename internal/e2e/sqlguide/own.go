package sqlguide

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
)

func insertUser(ctx context.Context, db *sql.DB, users *rowseal.Model[User], u *User) error {
	if err := users.Seal(ctx, u); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `INSERT INTO users (id, name, encrypted_kms_key, email_ciphertext, email_bidx, photo_ciphertext)
		VALUES ($1, $2, $3, $4, $5, $6)`, u.ID, u.Name, u.EncryptedKMSKey, u.Email, u.EmailIndex, u.Photo)
	if err != nil {
		return err
	}
	users.Rows().Inserted(u)
	return users.Committed(ctx, u)
}

func updateUser(ctx context.Context, db *sql.DB, users *rowseal.Model[User], u *User) error {
	if err := users.Seal(ctx, u); err != nil {
		return err
	}
	change, err := users.Rows().Change(u, nil, nil)
	if err != nil || len(change.Set) == 0 {
		return err
	}
	if len(change.Replaces) > 0 || change.Unsure {
		return fmt.Errorf("user %d was cleared, rekeyed or written in a transaction: that is for a sqlseal.Table", u.ID)
	}
	var args []any
	value := func(arg any) string {
		args = append(args, arg)
		return sqlseal.PostgreSQL.Placeholder(len(args))
	}
	var set []string
	for _, a := range change.Set {
		set = append(set, a.Column+" = "+value(a.Value))
	}
	where := "id = " + value(u.ID)
	for _, m := range change.Match {
		where += " AND " + sqlseal.PostgreSQL.Condition(m, value)
	}
	result, err := db.ExecContext(ctx, "UPDATE users SET "+strings.Join(set, ", ")+" WHERE "+where, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n != 1 || err != nil {
		return fmt.Errorf("user %d was changed meanwhile, load it again: %w", u.ID, rowseal.ErrConflict)
	}
	return users.Committed(ctx, u)
}

func copyUsers(ctx context.Context, pool *pgxpool.Pool, users *rowseal.Model[User], all []*User) error {
	if err := users.Seal(ctx, all...); err != nil { // each has its id
		return err
	}
	var columns []string
	var values [][]any
	for _, u := range all {
		sealed, err := users.Rows().Values(u)
		if err != nil {
			return err
		}
		columns, values = []string{"id", "name"}, append(values, []any{u.ID, u.Name})
		for _, s := range sealed {
			columns, values[len(values)-1] = append(columns, s.Column), append(values[len(values)-1], s.Value)
		}
	}
	if _, err := pool.CopyFrom(ctx, pgx.Identifier{"users"}, columns, pgx.CopyFromRows(values)); err != nil {
		return err
	}
	for _, u := range all {
		users.Rows().Inserted(u)
	}
	return users.Committed(ctx, all...)
}
