package main

import (
	"context"
	"database/sql"
	"errors"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
)

// store keeps customers in PostgreSQL. Requests to the KMS are made outside of transactions, whose locks would wait for it.
type store struct {
	db        *gorm.DB
	customers *rowseal.Model[Customer]
}

func openStore(ctx context.Context, url string, customers *rowseal.Model[Customer]) (*store, error) {
	db, err := gorm.Open(postgres.Open(url), &gorm.Config{
		TranslateError: true,           // gorm.ErrDuplicatedKey
		Logger:         logger.Discard, // it returns each error too, and not every one is a failure of the service: problem.go logs those
	})
	if err != nil {
		return nil, err
	}
	plugin := gormseal.New(customers)
	plugin.NoKMSInTransaction = true
	if err := db.Use(plugin); err != nil {
		return nil, err
	}
	return &store{db, customers}, db.WithContext(ctx).AutoMigrate(&Customer{}, &Event{})
}

func (s *store) close() {
	if db, err := s.db.DB(); err == nil {
		db.Close()
	}
}

// check compares the table, and the rights at the KMS, with what the Model needs.
func (s *store) check(ctx context.Context, opts *rowseal.CheckOptions) error {
	return gormseal.Check(ctx, s.db, opts)
}

func (s *store) create(ctx context.Context, c *Customer) error {
	if err := s.customers.Seal(ctx, c); err != nil {
		return err
	}
	return s.write(ctx, c.ID, "created", func(tx *gorm.DB) error { return tx.Create(c).Error })
}

func (s *store) get(ctx context.Context, id string) (*Customer, error) {
	return s.find(ctx, gorm.Expr("id = ?", id))
}

// getByEmail looks for the blind index of the address.
func (s *store) getByEmail(ctx context.Context, email string) (*Customer, error) {
	return s.find(ctx, gormseal.Equal("Email", email))
}

func (s *store) find(ctx context.Context, condition any) (*Customer, error) {
	c := &Customer{}
	err := s.db.WithContext(ctx).Where(condition).Take(c).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	return c, gormseal.Open(ctx, c)
}

// update saves a customer that get or getByEmail has returned.
func (s *store) update(ctx context.Context, c *Customer) error {
	if err := s.customers.Seal(ctx, c); err != nil {
		return err
	}
	return s.write(ctx, c.ID, "changed", func(tx *gorm.DB) error { return tx.Save(c).Error })
}

func (s *store) delete(ctx context.Context, id string) error {
	return s.write(ctx, id, "deleted", func(tx *gorm.DB) error {
		deleted := tx.Delete(&Customer{ID: id})
		if deleted.Error == nil && deleted.RowsAffected == 0 {
			return errNotFound
		}
		return deleted.Error
	})
}

// write does something to a customer, and notes it, in one transaction.
func (s *store) write(ctx context.Context, id, kind string, do func(tx *gorm.DB) error) error {
	err := s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := do(tx); err != nil {
			return err
		}
		return tx.Create(&Event{CustomerID: id, Kind: kind}).Error
	})
	switch {
	case errors.Is(err, gorm.ErrDuplicatedKey): // of email_bidx: ids do not meet
		return errEmailTaken
	case errors.Is(err, sql.ErrNoRows): // deleted since it was loaded
		return errNotFound
	}
	return err
}
