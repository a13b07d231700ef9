package sqlseal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
)

func TestIdentifiersAreQuotedByTheDialect(t *testing.T) {
	for _, c := range []struct {
		dialect    sqlseal.Dialect
		name, want string
	}{
		{sqlseal.PostgreSQL, "users", `"users"`},
		{sqlseal.PostgreSQL, `na"me`, `"na""me"`},
		{sqlseal.PostgreSQL, "app.users", `"app"."users"`},
		{sqlseal.SQLite, `na"me`, `"na""me"`},
		{sqlseal.MySQL, "users", "`users`"},
		{sqlseal.MySQL, "na`me", "`na``me`"},
	} {
		if got := c.dialect.Quote(c.name); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.dialect, c.name, got, c.want)
		}
	}
}

// What it compares on real servers, whose collations take A for a, is tested there.
func TestConditionsCompareBytesAndKnowNULL(t *testing.T) {
	sealed := rowseal.Match{Column: "k", Value: "v1:x"}
	null := rowseal.Match{Column: "k"}
	text := rowseal.Match{Column: "tenant", Value: "7", Text: true}
	for _, c := range []struct {
		dialect sqlseal.Dialect
		match   rowseal.Match
		want    string
	}{
		{sqlseal.PostgreSQL, sealed, `"k" = $1`},
		{sqlseal.PostgreSQL, null, `"k" IS NULL`},
		{sqlseal.PostgreSQL, text, `CAST("tenant" AS text) COLLATE "C" = $1`},
		{sqlseal.MySQL, sealed, "CAST(`k` AS BINARY) = CAST(? AS BINARY)"},
		{sqlseal.MySQL, null, "`k` IS NULL"},
		{sqlseal.MySQL, text, "CAST(CAST(`tenant` AS CHAR) AS BINARY) = CAST(? AS BINARY)"},
		{sqlseal.SQLite, sealed, `CAST("k" AS BLOB) = CAST(? AS BLOB)`},
		{sqlseal.SQLite, null, `"k" IS NULL`},
		{sqlseal.SQLite, text, `CAST(CAST("tenant" AS text) AS BLOB) = CAST(? AS BLOB)`},
	} {
		var args []any
		got := c.dialect.Condition(c.match, func(arg any) string {
			args = append(args, arg)
			return c.dialect.Placeholder(len(args))
		})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.dialect, got, c.want)
		}
		if wants := c.match.Value != nil; wants != (len(args) == 1) {
			t.Errorf("%s: %s takes %d arguments", c.dialect, got, len(args))
		}
	}
}

func TestAnUnknownDialectIsRefused(t *testing.T) {
	table, u := newTable(t, nil), &User{ID: 1}
	u.Email.Set("ada@example.org")
	for what, err := range map[string]error{
		"Insert": table.Insert(t.Context(), sqlseal.SQL("oracle", printer{}), u),
		"Update": table.Update(t.Context(), sqlseal.SQL("oracle", printer{}), u),
		"Upsert": table.Upsert(t.Context(), sqlseal.SQL("oracle", printer{}), nil, u),
	} {
		if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(err.Error(), `unknown dialect "oracle"; known are postgres, mysql and sqlite`) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func newTable(t *testing.T, opts *sqlseal.Options) *sqlseal.Table[User] {
	t.Helper()
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(&kmstest.Fake{BatchSize: 10}, nil)})
	if err != nil {
		t.Fatal(err)
	}
	users, err := rowseal.NewModel[User]("users", ring, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sqlseal.New(users, opts)
}

// Rows of a transaction that cannot be rolled back would be inserted in part.
func TestSeveralRowsNeedSomethingThatBeginsATransaction(t *testing.T) {
	a, b := &User{ID: 1}, &User{ID: 2}
	a.Email.Set("ada@example.org")
	b.Email.Set("grace@example.org")
	err := newTable(t, nil).Insert(t.Context(), sqlseal.SQL(sqlseal.SQLite, printer{}), a, b)
	if !errors.Is(err, kms.ErrInvalidRequest) || !strings.Contains(fmt.Sprint(err), "begins no transaction; give a *sql.DB or a *sql.Tx") {
		t.Error(err)
	}
}

// pool and tx have the methods of pgx's types.
type (
	pool struct{ statements *[]string }
	tx   struct{ pool }
	tag  int64
	rows struct{}
)

func (t tag) RowsAffected() int64 { return int64(t) }
func (rows) Next() bool           { return false }
func (rows) Scan(...any) error    { return nil }
func (rows) Err() error           { return nil }
func (rows) Close()               {}
func (p pool) note(text string)   { *p.statements = append(*p.statements, text) }

func (p pool) Exec(_ context.Context, sql string, _ ...any) (tag, error) {
	p.note(strings.Fields(sql)[0])
	return tag(1 + strings.Count(sql, "), (")), nil // rows
}
func (p pool) Query(context.Context, string, ...any) (rows, error) { return rows{}, nil }
func (p pool) Begin(context.Context) (tx, error)                   { p.note("BEGIN"); return tx{p}, nil }
func (t tx) Commit(context.Context) error                          { t.note("COMMIT"); return nil }
func (t tx) Rollback(context.Context) error                        { t.note("ROLLBACK"); return nil }

func TestPgxNeedsNoDatabaseSQL(t *testing.T) {
	var statements []string
	p := pool{&statements}
	a, b := &User{ID: 1}, &User{ID: 2}
	a.Email.Set("ada@example.org")
	b.Email.Set("grace@example.org")
	table := newTable(t, nil)
	if err := table.Insert(t.Context(), sqlseal.Pgx(p), a, b); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(statements, " "); got != "BEGIN INSERT COMMIT" {
		t.Errorf("ran %s", got)
	}
	statements = nil
	a.Email.Set("countess@example.org")
	b.Email.Set("admiral@example.org")
	if err := table.Update(t.Context(), sqlseal.Pgx(tx{p}), a, b); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(statements, " "); got != "SAVEPOINT UPDATE UPDATE RELEASE" {
		t.Errorf("in a transaction of the caller's ran %s", got)
	}
}
