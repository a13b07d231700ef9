package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/examples/intake/internal/applications"
	"github.com/rowseal/rowseal/sqlseal"
)

var errNotFound = errors.New("there is no such application")

// form is what an applicant fills in.
type form struct {
	Name      string `json:"name"`
	Email     string `json:"email"`
	Statement string `json:"statement"`
}

// inbox is where applications go in, and do not come out.
type inbox struct {
	db     *sql.DB
	sealer *rowseal.Sealer[applications.Application]
	table  *sqlseal.Table[applications.Application]
}

func newInbox(db *sql.DB, sealer *rowseal.Sealer[applications.Application]) *inbox {
	return &inbox{db, sealer, sqlseal.New(sealer, &sqlseal.Options{Columns: []string{"received_at"}})}
}

func (in *inbox) database() *sqlseal.DB { return sqlseal.SQL(sqlseal.PostgreSQL, in.db) }

// check finds a right to encrypt that is missing. A right to decrypt that should be is not its business.
func (in *inbox) check(ctx context.Context, opts *rowseal.CheckOptions) error {
	return in.sealer.Check(ctx, in.database(), opts)
}

// add returns the id of the new application.
func (in *inbox) add(ctx context.Context, f form) (id string, err error) {
	a := &applications.Application{ID: rand.Text(), ReceivedAt: time.Now()}
	fill(a, f)
	return a.ID, in.table.Insert(ctx, in.database(), a)
}

// replace writes an application anew. What it was cannot be read here: Clear forgets it, and the row gets a new data key.
func (in *inbox) replace(ctx context.Context, id string, f form) error {
	a := &applications.Application{ID: id}
	err := in.db.QueryRowContext(ctx, `SELECT received_at, encrypted_kms_key FROM applications WHERE id = $1`, id).
		Scan(&a.ReceivedAt, &a.EncryptedKMSKey)
	if errors.Is(err, sql.ErrNoRows) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	in.sealer.Clear(a)
	fill(a, f)
	return in.table.Update(ctx, in.database(), a)
}

func fill(a *applications.Application, f form) {
	a.Name.Set(f.Name)
	a.Email.Set(f.Email)
	a.Statement.Set(f.Statement)
}
