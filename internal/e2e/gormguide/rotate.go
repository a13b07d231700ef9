package gormguide

import (
	"context"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

func rekey(ctx context.Context, db *gorm.DB, users *rowseal.Model[User], u *User) error { // one row: the gem's rotate_kms_key!
	if err := users.Rekey(ctx, u); err != nil { // or Rewrap, or users.Only("phone").Rekey
		return err
	}
	return db.WithContext(ctx).Updates(u).Error
}

func rotate(ctx context.Context, db *gorm.DB, users *rowseal.Model[User]) (sweep.Status, error) { // the table, also what is soft-deleted
	pool, err := db.DB()
	if err != nil {
		return sweep.Status{}, err
	}
	return sweep.Rewrap(ctx, sqlseal.SQL(sqlseal.PostgreSQL, pool), users, nil)
}
