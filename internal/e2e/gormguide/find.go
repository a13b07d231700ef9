package gormguide

import (
	"context"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal/gormseal"
)

func newest(ctx context.Context, db *gorm.DB, n int) ([]User, error) {
	var all []User
	err := db.WithContext(ctx).Preload("Orders").Order("id DESC").Limit(n).Find(&all).Error
	if err != nil {
		return nil, err
	}
	return all, gormseal.Open(ctx, &all) // the users and their orders, in one batch
}

func byID(ctx context.Context, db *gorm.DB, id int64) (*User, error) {
	u := &User{}
	return u, db.WithContext(ctx).Scopes(gormseal.OpenOnFind).First(u, id).Error
}

func byEmail(ctx context.Context, db *gorm.DB, email string) (*User, error) {
	u := &User{}
	err := db.WithContext(ctx).Where(gormseal.Equal("Email", email)).First(u).Error
	if err != nil { // gorm.ErrRecordNotFound
		return nil, err
	}
	return u, gormseal.Open(ctx, u)
}

func countKnown(ctx context.Context, db *gorm.DB, emails ...any) (n int64, err error) {
	return n, db.WithContext(ctx).Model(&User{}).Where(gormseal.In("Email", emails...)).Count(&n).Error
}
