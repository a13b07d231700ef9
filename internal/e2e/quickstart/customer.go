package main

import (
	"context"
	"database/sql"
	"io"
	"os"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/store"
)

const createCustomers = `CREATE TABLE IF NOT EXISTS customers
	(id INTEGER PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT, email_bidx TEXT, contract_file TEXT)`

type Customer struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey        // column encrypted_kms_key
	Email           rowseal.Sealed[string] // email_ciphertext
	EmailIndex      blindindex.Index       `rowseal:"of=Email,normalize=strip+lower"` // email_bidx: finds rows by e-mail
	Contract        rowseal.File           // contract_file: refers to an object in the store
}

func newCustomers(ring *rowseal.Keyring) (*rowseal.Model[Customer], error) {
	indexKey, err := rowseal.ParseMasterKey(os.Getenv("INDEX_KEY")) // 64 hex digits; OpenMasterKey takes it from a KMS
	if err != nil {
		return nil, err
	}
	return rowseal.NewModel[Customer]("customers", ring, &rowseal.Options{
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: indexKey},
		Store:      store.Dir{Path: "contracts"},
	})
}

func add(ctx context.Context, db *sql.DB, customers *rowseal.Model[Customer], c *Customer, contract io.Reader) error {
	c.Contract.Set(contract, rowseal.FileInfo{Name: "contract.pdf", ContentType: "application/pdf"})
	return sqlseal.New(customers, nil).Insert(ctx, sqlseal.SQL(sqlseal.SQLite, db), c) // fills the index and stores the file, sealed
}

func find(ctx context.Context, db *sql.DB, customers *rowseal.Model[Customer], email string) (*Customer, error) {
	index, err := customers.Lookup(ctx, "email_bidx", email)
	if err != nil {
		return nil, err
	}
	if len(index) == 0 { // a normalizer may leave a value out
		return nil, sql.ErrNoRows
	}
	c := &Customer{}
	err = db.QueryRowContext(ctx,
		`SELECT id, encrypted_kms_key, email_ciphertext, email_bidx, contract_file FROM customers WHERE email_bidx = ?`, index[0]).
		Scan(&c.ID, &c.EncryptedKMSKey, &c.Email, &c.EmailIndex, &c.Contract)
	if err != nil {
		return nil, err
	}
	return c, customers.Open(ctx, c) // then c.Contract.Open(ctx) reads the file, and c.Contract.Info() its name
}
