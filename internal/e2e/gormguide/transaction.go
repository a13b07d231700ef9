package gormguide

import (
	"context"
	"time"

	"gorm.io/gorm"
)

func move(ctx context.Context, db *gorm.DB, m models, u *User, email string) error {
	u.Email.Set(email)
	if err := m.users.Seal(ctx, u); err != nil { // what the KMS is asked for, it is asked for here
		return err
	}
	err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		if err := tx.Updates(u).Error; err != nil {
			return err
		}
		return tx.Create(&Move{UserID: u.ID, At: time.Now()}).Error
	})
	if err != nil {
		return err // u can be saved again
	}
	return m.users.Committed(ctx, u)
}
