package gormguide

import (
	"context"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/gormseal"
)

func migrate(db *gorm.DB) error {
	return db.AutoMigrate(&User{}, &Order{}, &Move{}) // Move: a plain struct
}

func check(ctx context.Context, db *gorm.DB) error {
	return gormseal.Check(ctx, db, &rowseal.CheckOptions{NoKMS: true}) // nil, at start-up: the rights at the KMS too
}
