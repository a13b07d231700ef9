package sqlseal_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"log"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/sqlseal"
)

type User struct {
	ID              int64
	Name            string
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

// In a program, db is sqlseal.SQL(sqlseal.PostgreSQL, sqlDB), or sqlseal.Pgx(pool); here it prints the statements.
func Example() {
	key := kms.NewKey(testkms.New(false), nil) // in production: kms.Open(ctx, "vault/my-key")
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		log.Fatal(err)
	}
	users, err := rowseal.NewModel[User]("users", ring, nil)
	if err != nil {
		log.Fatal(err)
	}
	table := sqlseal.New(users, &sqlseal.Options{Columns: []string{"name"}})
	db := sqlseal.SQL(sqlseal.PostgreSQL, printer{})
	ctx := context.Background()

	u := User{ID: 1, Name: "Ann"}
	u.Email.Set("ann@example.org")
	if err := table.Insert(ctx, db, &u); err != nil {
		log.Fatal(err)
	}
	u.Email.Set("ann@example.com")
	if err := table.Update(ctx, db, &u); err != nil {
		log.Fatal(err)
	}
	// Output:
	// INSERT INTO "users" ("id", "name", "encrypted_kms_key", "email_ciphertext") VALUES ($1, $2, $3, $4)
	// UPDATE "users" SET "name" = $1, "email_ciphertext" = $2 WHERE "id" = $3 AND "encrypted_kms_key" = $4 AND CAST("id" AS text) COLLATE "C" = $5
}

type printer struct{}

func (printer) ExecContext(_ context.Context, query string, _ ...any) (sql.Result, error) {
	fmt.Println(query)
	return driver.RowsAffected(1), nil
}

func (printer) Stats() sql.DBStats { return sql.DBStats{} } // as a pool has it

func (printer) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, fmt.Errorf("nothing is asked for here")
}
