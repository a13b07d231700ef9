package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/examples/intake/internal/applications"
)

// office reads what the intake service has written.
type office struct {
	db    *sql.DB
	model *rowseal.Model[applications.Application]
}

// list needs nothing that is sealed, and asks the KMS for nothing.
func (o *office) list(ctx context.Context, out io.Writer) error {
	rows, err := o.db.QueryContext(ctx, `SELECT id, received_at FROM applications ORDER BY received_at`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var received time.Time
		if err := rows.Scan(&id, &received); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s  %s\n", received.Format(time.DateTime), id)
	}
	return rows.Err()
}

// show opens applications and notes on log which: the KMS's log says the same, and cannot be forgotten. One that does not open
// stops none of the others, nor does one that is not there.
func (o *office) show(ctx context.Context, out, log io.Writer, ids []string) error {
	all, err := o.load(ctx, ids)
	if err != nil {
		return err
	}
	var missing error
	if len(all) < len(ids) {
		missing = fmt.Errorf("%d of %d applications are not there", len(ids)-len(all), len(ids))
	}
	opened := o.model.Open(ctx, all...)
	if batch := (*rowseal.BatchError)(nil); opened != nil && !errors.As(opened, &batch) {
		return opened
	}
	for _, a := range all {
		name, err1 := a.Name.Get()
		email, err2 := a.Email.Get()
		statement, err3 := a.Statement.Get()
		if errors.Join(err1, err2, err3) != nil {
			continue // opened has the reason
		}
		fmt.Fprintf(log, "opened %s\n", a.ID)
		fmt.Fprintf(out, "%s <%s>\n%s\n\n", name, email, statement)
	}
	return errors.Join(opened, missing)
}

func (o *office) load(ctx context.Context, ids []string) ([]*applications.Application, error) {
	rows, err := o.db.QueryContext(ctx, `SELECT id, received_at, encrypted_kms_key, name_ciphertext, email_ciphertext, statement_ciphertext
		FROM applications WHERE id = ANY ($1) ORDER BY received_at`, ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []*applications.Application
	for rows.Next() {
		a := &applications.Application{}
		if err := rows.Scan(&a.ID, &a.ReceivedAt, &a.EncryptedKMSKey, &a.Name, &a.Email, &a.Statement); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, rows.Err()
}
