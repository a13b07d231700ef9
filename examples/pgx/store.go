package main

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
)

//go:embed schema.sql
var schema string

// store keeps customers in PostgreSQL. Requests to the KMS are made outside of transactions, whose locks would wait for it.
type store struct {
	db        *pgxpool.Pool
	customers *rowseal.Model[Customer]
	table     *sqlseal.Table[Customer]
}

func openStore(ctx context.Context, url string, customers *rowseal.Model[Customer]) (*store, error) {
	db, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	if _, err := db.Exec(ctx, schema); err != nil {
		db.Close()
		return nil, err
	}
	table := sqlseal.New(customers, &sqlseal.Options{Columns: []string{"name"}, NoKMSInTransaction: true})
	return &store{db, customers, table}, nil
}

func (s *store) close() { s.db.Close() }

// check compares the table, and the rights at the KMS, with what the Model needs.
func (s *store) check(ctx context.Context, opts *rowseal.CheckOptions) error {
	return s.customers.Check(ctx, sqlseal.Pgx(s.db), opts)
}

func (s *store) create(ctx context.Context, c *Customer) error {
	if err := s.customers.Seal(ctx, c); err != nil {
		return err
	}
	return s.write(ctx, c.ID, "created", func(tx pgx.Tx) error { return s.table.Insert(ctx, sqlseal.Pgx(tx), c) })
}

func (s *store) get(ctx context.Context, id string) (*Customer, error) {
	return s.find(ctx, `SELECT * FROM customers WHERE id = $1`, id)
}

// getByEmail looks for the blind indexes of the address: one, or two while the index key is being replaced.
func (s *store) getByEmail(ctx context.Context, email string) (*Customer, error) {
	indexes, err := s.customers.Lookup(ctx, "email_bidx", email)
	if err != nil {
		return nil, err
	}
	return s.find(ctx, `SELECT * FROM customers WHERE email_bidx = ANY ($1)`, indexes)
}

func (s *store) find(ctx context.Context, query string, arg any) (*Customer, error) {
	rows, err := s.db.Query(ctx, query, arg)
	if err != nil {
		return nil, err
	}
	c, err := pgx.CollectOneRow(rows, pgx.RowToAddrOfStructByName[Customer])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	return c, s.customers.Open(ctx, c)
}

// update saves a customer that get or getByEmail has returned.
func (s *store) update(ctx context.Context, c *Customer) error {
	if err := s.customers.Seal(ctx, c); err != nil {
		return err
	}
	return s.write(ctx, c.ID, "changed", func(tx pgx.Tx) error { return s.table.Update(ctx, sqlseal.Pgx(tx), c) })
}

func (s *store) delete(ctx context.Context, id string) error {
	return s.write(ctx, id, "deleted", func(tx pgx.Tx) error {
		deleted, err := tx.Exec(ctx, `DELETE FROM customers WHERE id = $1`, id)
		if err == nil && deleted.RowsAffected() == 0 {
			return errNotFound
		}
		return err
	})
}

// write does something to a customer, and notes it, in one transaction.
func (s *store) write(ctx context.Context, id, kind string, do func(tx pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		if err := do(tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO events (customer_id, kind) VALUES ($1, $2)`, id, kind)
		return err
	})
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.ConstraintName == "customers_email_bidx_key":
		return errEmailTaken
	case errors.Is(err, sql.ErrNoRows): // deleted since it was loaded
		return errNotFound
	}
	return err
}
