package gormseal

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Check compares the tables of all models with their structs, and tries the rights at the KMS: rowseal.Model.Check for each, for
// the start of a program and its health checks. The errors of several models are joined. opts may be nil; its PrimaryKey is
// that of GORM.
func Check(ctx context.Context, db *gorm.DB, opts *rowseal.CheckOptions) error {
	p, ok := db.Plugins[name].(*Plugin)
	if !ok || p.installed == nil {
		return fmt.Errorf("gormseal: this db has no plugin; install it by db.Use(gormseal.New(…)): %w", kms.ErrInvalidRequest)
	}
	if opts == nil {
		opts = &rowseal.CheckOptions{}
	}
	var errs []error
	for _, t := range p.installed.tables {
		own := *opts
		own.PrimaryKey = t.schema.PrimaryFieldDBNames
		errs = append(errs, t.rows.Check(ctx, database(db), &own))
	}
	return errors.Join(errs...)
}
