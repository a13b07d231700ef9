package gormguide

import (
	"context"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
)

func changeEmail(ctx context.Context, db *gorm.DB, u *User, email string) error {
	u.Email.Set(email)
	return db.WithContext(ctx).Updates(u).Error
}

func forgetBirthday(ctx context.Context, db *gorm.DB, u *User) error {
	u.BornOn.SetNull()
	return db.WithContext(ctx).Select("BornOn").Updates(u).Error
}

func rename(ctx context.Context, db *gorm.DB, from, to string) error { // not sealed: GORM's own affair
	return db.WithContext(ctx).Model(&User{}).Where("name = ?", from).Update("name", to).Error
}

func replace(ctx context.Context, db *gorm.DB, users *rowseal.Sealer[User], id int64, email string) error {
	u := &User{}
	if err := db.WithContext(ctx).First(u, id).Error; err != nil {
		return err
	}
	users.Clear(u)
	u.Email.Set(email)
	return db.WithContext(ctx).Updates(u).Error // under a new data key; what was not set is NULL now
}
