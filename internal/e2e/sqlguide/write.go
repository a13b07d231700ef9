package sqlguide

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
)

func newUserTable(users *rowseal.Model[User]) *sqlseal.Table[User] {
	return sqlseal.New(users, &sqlseal.Options{Columns: []string{"name"}}) // written too, as they are in the struct
}

func signUp(ctx context.Context, pool *pgxpool.Pool, table *sqlseal.Table[User], name, email string) (*User, error) {
	u := &User{Name: name}
	u.Email.Set(email)
	return u, table.Insert(ctx, sqlseal.Pgx(pool), u) // u has its id now
}

func changeEmail(ctx context.Context, db *sql.DB, table *sqlseal.Table[User], u *User, email string) error {
	u.Email.Set(email)
	return table.Update(ctx, sqlseal.SQL(sqlseal.PostgreSQL, db), u)
}

func importUser(ctx context.Context, db *sql.DB, table *sqlseal.Table[User], id int64, name, email string) error {
	u := &User{ID: id, Name: name}
	u.Email.Set(email)
	return table.Upsert(ctx, sqlseal.SQL(sqlseal.PostgreSQL, db), nil, u) // Photo is NULL now, if the row was there
}

func saveAll(ctx context.Context, pool *pgxpool.Pool, users *rowseal.Model[User], table *sqlseal.Table[User], changed ...*User) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := table.Update(ctx, sqlseal.Pgx(tx), changed...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO changes (users) VALUES ($1)`, len(changed))
		return err
	})
	if err != nil {
		return err // all can be updated again
	}
	return users.Committed(ctx, changed...)
}
