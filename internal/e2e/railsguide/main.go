// Command railsguide is the code of docs/rails.md.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/testkms" // or awskms, gcpkms, vaultkms: what KMS_KEY_ID needs
	_ "modernc.org/sqlite"
)

type User struct {
	ID              int64
	LockVersion     int64
	EncryptedKMSKey rowseal.DataKey           // encrypted_kms_key
	Email           rowseal.Sealed[string]    // email_ciphertext
	EmailIndex      blindindex.Index          `rowseal:"of=Email,normalize=lower"`  // email_bidx
	DateOfBirth     rowseal.Sealed[time.Time] `rowseal:"type=date"`                 // date_of_birth_ciphertext
	Notes           rowseal.Sealed[string]    `rowseal:"padding=16,ad=users.notes"` // notes_ciphertext
	SSN             rowseal.Sealed[string]    `rowseal:"codec=attr_encrypted"`      // encrypted_ssn
	SSNIV           rowseal.IV                `rowseal:"of=SSN"`                    // encrypted_ssn_iv
}

func newUsers(ctx context.Context) (*rowseal.Model[User], error) {
	key, err := kms.Open(ctx, os.Getenv("KMS_KEY_ID"), nil)
	if err != nil {
		return nil, err
	}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: key})
	if err != nil {
		return nil, err
	}
	index, err := rowseal.ParseMasterKey(os.Getenv("LOCKBOX_MASTER_KEY")) // or BLIND_INDEX_MASTER_KEY, if the app has one
	if err != nil {
		return nil, err
	}
	return rowseal.NewModel[User]("users", ring, &rowseal.Options{
		Model:      "User",           // the class's name, in the context that the KMS gets
		Binding:    rowseal.BindNone, // what Lockbox does
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index},
	})
}

func findUser(ctx context.Context, db *sql.DB, users *rowseal.Model[User], email string) (*User, error) {
	index, err := users.Lookup(ctx, "email_bidx", email)
	if err != nil {
		return nil, err
	}
	if len(index) == 0 { // a normalizer may leave a value out
		return nil, sql.ErrNoRows
	}
	u := &User{}
	err = db.QueryRowContext(ctx, `SELECT id, lock_version, encrypted_kms_key, email_ciphertext, email_bidx,
		date_of_birth_ciphertext, notes_ciphertext, encrypted_ssn, encrypted_ssn_iv FROM users WHERE email_bidx = ?`, index[0]).
		Scan(&u.ID, &u.LockVersion, &u.EncryptedKMSKey, &u.Email, &u.EmailIndex, &u.DateOfBirth, &u.Notes, &u.SSN, &u.SSNIV)
	if err != nil {
		return nil, err
	}
	return u, users.Open(ctx, u)
}

func main() {
	ctx := context.Background()
	db, err := sql.Open("sqlite", "production.sqlite3")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	users, err := newUsers(ctx)
	if err != nil {
		log.Fatal(err)
	}
	u, err := findUser(ctx, db, users, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	ssn, err := u.SSN.Get()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(u.ID, ssn)
}
