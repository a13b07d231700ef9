package railstest

import (
	"context"
	"database/sql/driver"
	"testing"

	"github.com/rowseal/rowseal"
)

// Users are the rows as a program has them: through a Model or a Table.
type Users interface {
	Row(columns map[string]any) (Row, error)
	Open(ctx context.Context, rows ...Row) error
	Seal(ctx context.Context, rows ...Row) error
	Rewrap(ctx context.Context, rows ...Row) error
	Rekey(ctx context.Context, rows ...Row) error
	Reindex(ctx context.Context, rows ...Row) error
	Committed(ctx context.Context, rows ...Row) error
	Clear(rows ...Row)
	Only(keys ...string) Users
	Lookup(ctx context.Context, column string, values ...any) ([]driver.Value, error)
}

// Row is a *User or a *rowseal.Record.
type Row interface {
	Get(column string) (any, error)
	Set(column string, value any) error
	SetColumn(column string, value any) error
	Key(name string) (*rowseal.DataKey, error)
	Sealed() (map[string]driver.Value, error)
}

// Program says what a program has besides the KMS key.
type Program struct {
	Table    bool // it has a Table; else a Model
	Rotated  bool // its keyrings go on to version 2
	SealOnly bool // it has no right to open
}

// Users returns the rows of a program.
func (d Database) Users(t *testing.T, p Program) Users {
	t.Helper()
	opts := &rowseal.Options{
		Keys: map[string]rowseal.KeyOptions{
			"street": {Keyring: d.keyring(t, p, 2, 1)},
		},
		MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: d.masterKey(t)},
	}
	ring := d.keyring(t, p, 1)
	if p.Rotated {
		ring = d.keyring(t, p, 2, 1)
	}
	if p.Table {
		table, err := rowseal.NewTable(Schema(), ring, opts)
		must(t, err)
		return usersOf[rowseal.Record]{table, table.Record, func(keys ...string) api[rowseal.Record] { return table.Only(keys...) }}
	}
	opts.Model, opts.Binding = "User", rowseal.BindNone
	opts.Keys["phone"] = rowseal.KeyOptions{Context: phoneContext}
	opts.Keys["street"] = rowseal.KeyOptions{Keyring: opts.Keys["street"].Keyring, Context: streetContext, Versions: earlierStreetContexts}
	model, err := rowseal.NewModel[User]("users", ring, opts)
	must(t, err)
	return usersOf[User]{model, newUser, func(keys ...string) api[User] { return model.Only(keys...) }}
}

func (d Database) keyring(t *testing.T, p Program, numbers ...int) *rowseal.Keyring {
	t.Helper()
	var versions []rowseal.Version
	for _, number := range numbers {
		versions = append(versions, rowseal.Version{Number: number, Key: d.Key})
	}
	ring, err := rowseal.NewKeyring(versions...)
	must(t, err)
	if p.SealOnly {
		return ring.EncryptOnly()
	}
	return ring
}

// api is what Model and Table have in common.
type api[R any] interface {
	Open(ctx context.Context, rows ...*R) error
	Seal(ctx context.Context, rows ...*R) error
	Rewrap(ctx context.Context, rows ...*R) error
	Rekey(ctx context.Context, rows ...*R) error
	Reindex(ctx context.Context, rows ...*R) error
	Committed(ctx context.Context, rows ...*R) error
	Clear(rows ...*R)
	Lookup(ctx context.Context, column string, values ...any) ([]driver.Value, error)
}

type usersOf[R any] struct {
	api  api[R]
	row  func(columns map[string]any) (*R, error)
	only func(keys ...string) api[R]
}

func own[R any](rows []Row) []*R {
	all := make([]*R, len(rows))
	for i, row := range rows {
		all[i] = any(row).(*R)
	}
	return all
}

func (u usersOf[R]) Row(columns map[string]any) (Row, error) {
	r, err := u.row(columns)
	if err != nil {
		return nil, err
	}
	return any(r).(Row), nil
}

func (u usersOf[R]) Open(ctx context.Context, rows ...Row) error {
	return u.api.Open(ctx, own[R](rows)...)
}

func (u usersOf[R]) Seal(ctx context.Context, rows ...Row) error {
	return u.api.Seal(ctx, own[R](rows)...)
}

func (u usersOf[R]) Rewrap(ctx context.Context, rows ...Row) error {
	return u.api.Rewrap(ctx, own[R](rows)...)
}

func (u usersOf[R]) Rekey(ctx context.Context, rows ...Row) error {
	return u.api.Rekey(ctx, own[R](rows)...)
}

func (u usersOf[R]) Reindex(ctx context.Context, rows ...Row) error {
	return u.api.Reindex(ctx, own[R](rows)...)
}

func (u usersOf[R]) Committed(ctx context.Context, rows ...Row) error {
	return u.api.Committed(ctx, own[R](rows)...)
}

func (u usersOf[R]) Clear(rows ...Row) { u.api.Clear(own[R](rows)...) }

func (u usersOf[R]) Only(keys ...string) Users {
	return usersOf[R]{api: u.only(keys...), row: u.row, only: u.only}
}

func (u usersOf[R]) Lookup(ctx context.Context, column string, values ...any) ([]driver.Value, error) {
	return u.api.Lookup(ctx, column, values...)
}
