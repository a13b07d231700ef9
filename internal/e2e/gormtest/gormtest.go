// Package gormtest opens GORM on the databases of package dbtest.
package gormtest

import (
	"testing"

	"github.com/libtnb/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// Open returns GORM on an empty database of t's own, which goes when t ends. The config is copied, and may be nil; without a
// Logger in it nothing is logged.
func Open(t testing.TB, d dbtest.Database, config *gorm.Config) *gorm.DB {
	t.Helper()
	return OpenDSN(t, d, d.New(t), config)
}

// OpenDSN is Open on a database that exists: for a second connection pool, or for a DSN with parameters appended.
func OpenDSN(t testing.TB, d dbtest.Database, dsn string, config *gorm.Config) *gorm.DB {
	t.Helper()
	var own gorm.Config
	if config != nil {
		own = *config
	}
	if own.Logger == nil {
		own.Logger = logger.Discard
	}
	db, err := gorm.Open(dialector(d, dsn), &own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool, err := db.DB()
		if err == nil {
			err = pool.Close()
		}
		if err != nil {
			t.Error(err)
		}
	})
	return db
}

func dialector(d dbtest.Database, dsn string) gorm.Dialector {
	switch d.Driver {
	case dbtest.PostgreSQL.Driver:
		return postgres.Open(dsn)
	case dbtest.MariaDB.Driver:
		return mysql.Open(dsn)
	}
	return sqlite.Open(dsn)
}
