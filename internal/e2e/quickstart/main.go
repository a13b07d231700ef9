// Command quickstart is the README's quick start.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/sqlseal"
	_ "modernc.org/sqlite"
)

type User struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey        // column encrypted_kms_key: the row's wrapped data key
	Email           rowseal.Sealed[string] // column email_ciphertext
}

func run(ctx context.Context, db *sql.DB) error {
	key, err := kms.Open(ctx, "local/users", nil)
	if err != nil {
		return err
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		return err
	}
	users, err := rowseal.NewModel[User]("users", ring, &rowseal.Options{Model: "User"})
	if err != nil {
		return err
	}

	table := sqlseal.New(users, nil)
	conn := sqlseal.SQL(sqlseal.SQLite, db)

	var u User
	u.Email.Set("ada@example.org")
	if err := table.Insert(ctx, conn, &u); err != nil { // a new data key, wrapped for this row
		return err
	}

	var v User
	row := db.QueryRowContext(ctx, `SELECT id, encrypted_kms_key, email_ciphertext FROM users WHERE id = ?`, u.ID)
	if err := row.Scan(&v.ID, &v.EncryptedKMSKey, &v.Email); err != nil {
		return err
	}
	if err := users.Open(ctx, &v); err != nil { // any number of rows, one batch; the KMS logs which
		return err
	}
	email, err := v.Email.Get()
	if err != nil {
		return err
	}
	fmt.Println(email)

	v.Email.Set("countess@example.org")
	return table.Update(ctx, conn, &v) // if the row still has the data key that was loaded
}

func main() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "users.sqlite3")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT)`); err != nil {
		log.Fatal(err)
	}
	if err := run(ctx, db); err != nil {
		log.Fatal(err)
	}
}
