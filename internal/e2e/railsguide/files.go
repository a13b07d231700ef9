package main

import (
	"context"
	"database/sql"
	"io"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/store"
)

// Customer has files in Active Storage: encrypts_attached :license, key: :kms_key.
type Customer struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey `rowseal:"attachments=license"`
}

func newFiles() (*activestorage.Storage, error) {
	return activestorage.New("local", store.Dir{Path: "storage"}, activestorage.SQLite, nil) // config/storage.yml calls it local
}

// openLicense reads a file that Rails or Go has stored.
func openLicense(
	ctx context.Context, db *sql.DB, customers *rowseal.Model[Customer], files *activestorage.Storage, c *Customer,
) (io.ReadSeeker, error) {
	found, err := files.Load(ctx, db, "User", c.ID)
	if err != nil {
		return nil, err
	}
	attachment, ok := found.One(c.ID, "license")
	if !ok {
		return nil, sql.ErrNoRows
	}
	box, err := customers.Box(ctx, c, "license") // opens the row's data key
	if err != nil {
		return nil, err
	}
	return files.Open(ctx, attachment, box)
}
