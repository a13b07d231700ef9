package gormfacts

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// printer keeps what GORM's own logger prints.
type printer struct{ strings.Builder }

func (p *printer) Printf(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func printed(t *testing.T, config logger.Config, models ...any) (*gorm.DB, *printer) {
	t.Helper()
	db := open(t, nil, models...)
	p := new(printer)
	db.Logger = logger.New(p, config)
	return db, p
}

func TestTheLoggerAtInfoCallsValueOnceMore(t *testing.T) {
	for _, test := range []struct {
		level logger.LogLevel
		fails error
		want  int
	}{
		{logger.Silent, nil, 1}, {logger.Error, nil, 1}, {logger.Warn, nil, 1}, {logger.Info, nil, 2},
		{logger.Silent, errRefused, 1}, {logger.Error, errRefused, 2}, // a statement that failed is logged at Error
	} {
		db, _ := printed(t, logger.Config{LogLevel: test.level}, &Sealed{})
		calls := 0
		_ = db.Create(&Sealed{Email: Seal{value: "x", calls: &calls, err: test.fails}}).Error
		equal(t, fmt.Sprintf("calls of Value at level %d, error %v", test.level, test.fails), calls, test.want)
	}
}

func TestTheLoggerPrintsWhatValueGivesAndNotTheError(t *testing.T) {
	db, out := printed(t, logger.Config{LogLevel: logger.Info}, &Sealed{})
	must(t, db.Create(&Sealed{Email: sealed("ciphertext")}).Error)
	contains(t, out.String(), `VALUES ("","ciphertext")`)
	out.Reset()
	_ = db.Create(&Sealed{Email: failing("[unsealed]")}).Error
	contains(t, out.String(), `VALUES ("","[unsealed]")`)
	contains(t, out.String(), "refused")
}

func TestTheLoggerPrintsRawValuesOfMaps(t *testing.T) {
	db, out := printed(t, logger.Config{LogLevel: logger.Info}, &Sealed{})
	must(t, db.Callback().Update().Before("gorm:update").Register("test:refuse", func(db *gorm.DB) {
		_ = db.AddError(errRefused)
	}))
	_ = db.Model(&Sealed{ID: 1}).Update("email", "plaintext").Error
	equal(t, "of a statement that was refused before it had SQL", out.String(), "")
	must(t, db.Callback().Update().Remove("test:refuse"))
	out.Reset()
	must(t, db.Model(&Sealed{ID: 1}).Update("email", "plaintext").Error)
	contains(t, out.String(), `"plaintext"`)
}

func TestParameterizedQueriesHidesValuesAndCallsNothing(t *testing.T) {
	db, out := printed(t, logger.Config{LogLevel: logger.Info, ParameterizedQueries: true}, &Sealed{})
	calls := 0
	must(t, db.Create(&Sealed{Email: Seal{value: "x", calls: &calls}}).Error)
	contains(t, out.String(), "VALUES (?,?)")
	equal(t, "calls of Value", calls, 1)
}

func TestAParamsFilterIsGivenTheValuersThemselves(t *testing.T) {
	filter := &keeping{Interface: logger.Discard}
	db := open(t, nil, &Sealed{})
	db.Logger = filter
	must(t, db.Create(&Sealed{Name: "n", Email: sealed("x")}).Error)
	equal(t, "parameters", filter.vars, []any{"n", sealed("x")})
}

// keeping is a logger that keeps the parameters of the last statement.
type keeping struct {
	logger.Interface
	vars []any
}

func (k *keeping) LogMode(logger.LogLevel) logger.Interface { return k }

func (k *keeping) ParamsFilter(_ context.Context, sql string, vars ...any) (string, []any) {
	k.vars = vars
	return sql, nil
}

func (k *keeping) Trace(_ context.Context, _ time.Time, f func() (string, int64), _ error) { f() }

func TestTheErrorOfAValuerKeepsItsChain(t *testing.T) {
	db := open(t, nil, &Sealed{})
	err := db.Create(&Sealed{Email: failing("x")}).Error
	equal(t, "errors.Is", errors.Is(err, errRefused), true)
	equal(t, "message", err.Error(), "sql: converting argument $2 type: refused")
}

func TestFieldSetPrintsWhatItCannotSet(t *testing.T) {
	// A plain field's error has the value, as %#v.
	db := open(t, nil, &User{})
	field := parse(t, db, &User{}).LookUpField("age")
	u := User{}
	err := field.Set(t.Context(), reflect.ValueOf(&u), struct{ Secret string }{"in the message"})
	contains(t, fmt.Sprint(err), "in the message")
}
