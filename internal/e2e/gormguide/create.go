package gormguide

import (
	"context"
	"errors"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

var errEmailTaken = errors.New("another user has this e-mail address")

func signUp(ctx context.Context, db *gorm.DB, name, email string) (*User, error) {
	u := &User{Name: name}
	u.Email.Set(email)
	err := db.WithContext(ctx).Create(u).Error
	if errors.Is(err, gorm.ErrDuplicatedKey) { // of email_bidx
		return nil, errEmailTaken
	}
	return u, err
}

func importUser(ctx context.Context, db *gorm.DB, u *User) error {
	return db.WithContext(ctx).Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, UpdateAll: true}).Create(u).Error
}
