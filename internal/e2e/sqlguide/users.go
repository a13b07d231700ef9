// Package sqlguide is the code of docs/sql.md.
package sqlguide

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jmoiron/sqlx"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
)

type User struct {
	ID              int64                  `db:"id"`
	Name            string                 `db:"name"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	Email           rowseal.Sealed[string] `db:"email_ciphertext"`
	EmailIndex      blindindex.Index       `db:"email_bidx" rowseal:"of=Email,normalize=lower"`
	Photo           rowseal.Sealed[[]byte] `db:"photo_ciphertext" rowseal:"raw"`
}

func newUsers(ring *rowseal.Keyring, indexKey *rowseal.MasterKey) (*rowseal.Model[User], error) {
	return rowseal.NewModel[User]("users", ring, &rowseal.Options{
		Model:      "User",
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: indexKey},
	})
}

func userByID(ctx context.Context, db *sql.DB, users *rowseal.Model[User], id int64) (*User, error) {
	u := &User{}
	err := db.QueryRowContext(ctx, `SELECT id, name, encrypted_kms_key, email_ciphertext, email_bidx, photo_ciphertext
		FROM users WHERE id = $1`, id).Scan(&u.ID, &u.Name, &u.EncryptedKMSKey, &u.Email, &u.EmailIndex, &u.Photo)
	if err != nil {
		return nil, err
	}
	return u, users.Open(ctx, u)
}

func userByEmail(ctx context.Context, db *sqlx.DB, users *rowseal.Model[User], email string) (*User, error) {
	indexes, err := users.Lookup(ctx, "email_bidx", email)
	if err != nil {
		return nil, err
	}
	query, args, err := sqlx.In(`SELECT * FROM users WHERE email_bidx IN (?)`, indexes)
	if err != nil { // also where Lookup has found no index to look for
		return nil, err
	}
	u := &User{}
	if err := db.GetContext(ctx, u, db.Rebind(query), args...); err != nil {
		return nil, err
	}
	return u, users.Open(ctx, u)
}

func usersByName(ctx context.Context, pool *pgxpool.Pool, users *rowseal.Model[User], name string) ([]*User, error) {
	rows, err := pool.Query(ctx, `SELECT * FROM users WHERE name = $1 ORDER BY id`, name)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByName[User])
	if err != nil {
		return nil, err
	}
	return found, users.Open(ctx, found...) // one batch, however many
}
