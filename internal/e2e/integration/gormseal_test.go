package integration_test

import (
	"context"
	"io"
	"log"
	"reflect"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal/gormseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
	"github.com/rowseal/rowseal/internal/e2e/integration"
)

var overGORM = integration.Integration{Name: "gormseal", Databases: dbtest.All(), Connect: connectGORM, Logs: "INSERT INTO"}

func TestGORM(t *testing.T) { integration.Run(t, overGORM) }

// gormSession is GORM as its users write it.
type gormSession struct {
	db *gorm.DB
}

func connectGORM(t testing.TB, d dbtest.Database, dsn string, w io.Writer, tables ...integration.Table) integration.Session {
	t.Helper()
	everything := logger.New(log.New(w, "", 0), logger.Config{LogLevel: logger.Info})
	db := gormtest.OpenDSN(t, d, dsn, &gorm.Config{Logger: everything})
	plugin := gormseal.New()
	plugin.Tables = map[string]gormseal.TableOptions{}
	for _, table := range tables {
		plugin.Models = append(plugin.Models, table.Model)
		plugin.Tables[table.Model.Rows().Schema().Table] = gormseal.TableOptions{Order: table.Order}
		plugin.NoKMSInTransaction = plugin.NoKMSInTransaction || table.NoKMSInTransaction
	}
	if err := db.Use(plugin); err != nil {
		t.Fatal(err)
	}
	return gormSession{db}
}

// rows are one row, or a slice of them as GORM wants it.
func rows(all []any) any {
	if len(all) == 1 {
		return all[0]
	}
	slice := reflect.MakeSlice(reflect.SliceOf(reflect.TypeOf(all[0])), 0, len(all))
	for _, row := range all {
		slice = reflect.Append(slice, reflect.ValueOf(row))
	}
	return slice.Interface()
}

func (s gormSession) Create(ctx context.Context, all ...any) error {
	return s.db.WithContext(ctx).Create(rows(all)).Error
}

func (s gormSession) Find(ctx context.Context, row, id any, columns ...string) error {
	db := s.db.WithContext(ctx)
	if len(columns) > 0 {
		db = db.Select(columns)
	}
	return db.Where("id = ?", id).Take(row).Error
}

func (s gormSession) FindAll(ctx context.Context, all any) error {
	return s.db.WithContext(ctx).Order("id").Find(all).Error
}

func (s gormSession) FindWithNotes(ctx context.Context, accounts *[]*integration.Account) error {
	return s.db.WithContext(ctx).Preload("Notes").Order("id").Find(accounts).Error
}

func (s gormSession) Open(ctx context.Context, all ...any) error { return gormseal.Open(ctx, all...) }

func (s gormSession) Update(ctx context.Context, all ...any) error {
	for _, row := range all {
		if err := s.db.WithContext(ctx).Updates(row).Error; err != nil {
			return err
		}
	}
	return nil
}

func (s gormSession) Save(ctx context.Context, all ...any) error {
	return s.db.WithContext(ctx).Save(rows(all)).Error
}

func (s gormSession) Upsert(ctx context.Context, target []string, all ...any) error {
	conflict := clause.OnConflict{UpdateAll: true}
	for _, column := range target {
		conflict.Columns = append(conflict.Columns, clause.Column{Name: column})
	}
	return s.db.WithContext(ctx).Clauses(conflict).Create(rows(all)).Error
}

func (s gormSession) Delete(ctx context.Context, row any) error {
	return s.db.WithContext(ctx).Delete(row).Error
}

func (s gormSession) Exec(ctx context.Context, statement string, args ...any) error {
	return s.db.WithContext(ctx).Exec(statement, args...).Error
}

func (s gormSession) Transaction(ctx context.Context, do func(integration.Session) error) error {
	return s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return do(gormSession{tx}) })
}
