package gormfacts

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/gormtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// User is an ordinary model.
type User struct {
	ID    int64
	Name  string `gorm:"size:100"`
	Email string `gorm:"size:100;unique"`
	Age   int
}

// Seal is a column type as ours are: a Scanner and a Valuer. Scanned remembers what it was last given.
type Seal struct {
	scanned any
	set     bool
	err     error  // of Value
	calls   *int   // of Value, counted
	value   string // what Value gives
}

const never = "never scanned"

func (s *Seal) Scan(src any) error {
	if b, ok := src.([]byte); ok {
		src = string(b)
	}
	*s = Seal{scanned: src, set: true}
	if src != nil {
		s.value = fmt.Sprint(src)
	}
	return nil
}

func (s Seal) Value() (driver.Value, error) {
	if s.calls != nil {
		*s.calls++
	}
	if s.value == "" {
		return nil, s.err
	}
	return s.value, s.err
}

func (Seal) GormDataType() string { return "text" }

func (s Seal) last() any {
	if !s.set {
		return never
	}
	return s.scanned
}

// Sealed is a model with a column of our own type.
type Sealed struct {
	ID    int64
	Name  string
	Email Seal
}

func sealed(value string) Seal { return Seal{value: value} }

// open returns GORM on an empty SQLite database with the models' tables. What is a matter of GORM alone is tested there.
func open(t *testing.T, config *gorm.Config, models ...any) *gorm.DB {
	t.Helper()
	return openOn(t, dbtest.SQLite, config, models...)
}

func openOn(t *testing.T, d dbtest.Database, config *gorm.Config, models ...any) *gorm.DB {
	t.Helper()
	db := gormtest.Open(t, d, config)
	must(t, db.AutoMigrate(models...))
	if log, ok := db.Logger.(*statements); ok {
		log.take()
	}
	return db
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q has no %q", text, part)
	}
}

// emails reads a table of Users or Sealeds without GORM's models.
func emails(t *testing.T, db *gorm.DB, table string) (all []string) {
	t.Helper()
	var columns []sql.NullString
	must(t, db.Session(&gorm.Session{NewDB: true}).Table(table).Order("id").Pluck("email", &columns).Error)
	for _, c := range columns {
		if !c.Valid {
			c.String = "NULL"
		}
		all = append(all, c.String)
	}
	return all
}

// statements is a logger that keeps the SQL of what GORM ran or tried to, with its placeholders.
type statements struct {
	mu  sync.Mutex
	sql []string
}

func (l *statements) LogMode(logger.LogLevel) logger.Interface { return l }
func (l *statements) Info(context.Context, string, ...any)     {}
func (l *statements) Warn(context.Context, string, ...any)     {}
func (l *statements) Error(context.Context, string, ...any)    {}
func (l *statements) ParamsFilter(_ context.Context, sql string, _ ...any) (string, []any) {
	return sql, nil
}

func (l *statements) Trace(_ context.Context, _ time.Time, f func() (string, int64), _ error) {
	sql, _ := f()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sql = append(l.sql, sql)
}

func (l *statements) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.sql
	l.sql = nil
	return all
}

// last returns the last statement without its quotes.
func (l *statements) last() string {
	all := l.take()
	if len(all) == 0 {
		return "no statement"
	}
	return strings.ReplaceAll(all[len(all)-1], "`", "")
}

// pool counts what reaches the database outside of transactions.
type pool struct {
	*sql.DB
	ran []string
}

func (p *pool) GetDBConn() (*sql.DB, error) { return p.DB, nil }

func (p *pool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	p.ran = append(p.ran, query)
	return p.DB.ExecContext(ctx, query, args...)
}

func (p *pool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	p.ran = append(p.ran, query)
	return p.DB.QueryContext(ctx, query, args...)
}

func (p *pool) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	p.ran = append(p.ran, query)
	return p.DB.QueryRowContext(ctx, query, args...)
}

// counted returns a db whose statements go through a pool that counts them.
func counted(t *testing.T, db *gorm.DB) (*gorm.DB, *pool) {
	t.Helper()
	inner, err := db.DB()
	must(t, err)
	p := &pool{DB: inner}
	db = db.Session(&gorm.Session{NewDB: true, SkipDefaultTransaction: true, Context: t.Context()})
	db.Statement.ConnPool = p
	return db, p
}

var errRefused = errors.New("refused")

func openDSN(t *testing.T, d dbtest.Database, parameters string, models ...any) *gorm.DB {
	t.Helper()
	db := gormtest.OpenDSN(t, d, d.New(t)+parameters, nil)
	must(t, db.AutoMigrate(models...))
	return db
}

func withEvents(t *testing.T, e *events) context.Context {
	return context.WithValue(t.Context(), eventsKey{}, e)
}
