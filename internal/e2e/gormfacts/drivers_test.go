package gormfacts

import (
	"bytes"
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/davecgh/go-spew/spew"
	"github.com/jackc/pgx/v5"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// traced keeps the arguments that a tracer of pgx is given.
type traced struct{ args []any }

func (t *traced) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	t.args = data.Args
	return ctx
}

func (*traced) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func connect(t *testing.T, change func(*pgx.ConnConfig)) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(dbtest.PostgreSQL.New(t))
	must(t, err)
	if change != nil {
		change(config)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	exec(t, conn, "CREATE TABLE sealeds (id bigint PRIMARY KEY, email text, raw bytea)")
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	must(t, err)
}

func TestATracerOfPgxIsGivenTheArgumentsThemselves(t *testing.T) {
	tracer := new(traced)
	conn := connect(t, func(c *pgx.ConnConfig) { c.Tracer = tracer })
	arg := sealed("x")
	exec(t, conn, "INSERT INTO sealeds (id, email) VALUES (1, $1)", arg)
	equal(t, "arguments", tracer.args, []any{arg})
	exec(t, conn, "UPDATE sealeds SET email = @email", pgx.NamedArgs{"email": arg})
	equal(t, "named arguments, before they are rewritten", tracer.args, []any{pgx.NamedArgs{"email": arg}})
}

// payload is a Valuer of text or bytes.
type payload struct{ v driver.Value }

func (p payload) Value() (driver.Value, error) { return p.v, nil }

func TestCopyOfPgxRefusesAStringIntoBytea(t *testing.T) {
	conn := connect(t, nil)
	for name, test := range map[string]struct {
		column string
		value  driver.Value
		ok     bool
	}{
		"string into text":  {"email", "x", true},
		"bytes into text":   {"email", []byte("x"), true},
		"bytes into bytea":  {"raw", []byte("x"), true},
		"string into bytea": {"raw", "x", false},
	} {
		exec(t, conn, "TRUNCATE sealeds")
		_, err := conn.CopyFrom(t.Context(), pgx.Identifier{"sealeds"}, []string{"id", test.column},
			pgx.CopyFromRows([][]any{{int64(1), payload{test.value}}}))
		equal(t, fmt.Sprintf("%s: %v", name, err), err == nil, test.ok)
	}
}

func TestRowToStructByNameOfPgxNeedsTags(t *testing.T) {
	type untagged struct {
		ID    int64
		Email Seal
		Raw   Seal
		Extra string `db:"-"`
	}
	type renamed struct {
		ID              int64
		EmailCiphertext Seal
	}
	type tagged struct {
		ID              int64
		EmailCiphertext Seal `db:"email"`
	}
	conn := connect(t, nil)
	exec(t, conn, "INSERT INTO sealeds VALUES (1, 'x', 'y')")
	rows := func(columns string) pgx.Rows {
		r, err := conn.Query(t.Context(), "SELECT "+columns+" FROM sealeds")
		must(t, err)
		return r
	}
	_, err := pgx.CollectRows(rows("*"), pgx.RowToStructByName[untagged])
	must(t, err)
	_, err = pgx.CollectRows(rows("id, email"), pgx.RowToStructByName[renamed])
	equal(t, "a field with another name fails", err != nil, true)
	got, err := pgx.CollectRows(rows("id, email"), pgx.RowToStructByName[tagged])
	must(t, err)
	equal(t, "with a tag", got[0].EmailCiphertext.last(), "x")
}

func TestTextAndByteaScanInEveryExecModeOfPgx(t *testing.T) {
	for mode := pgx.QueryExecModeCacheStatement; mode <= pgx.QueryExecModeSimpleProtocol; mode++ {
		conn := connect(t, func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode })
		exec(t, conn, "INSERT INTO sealeds VALUES ($1, $2, $3)", 1, sealed("x"), payload{[]byte("y")})
		var text, raw, null Seal
		must(t, conn.QueryRow(t.Context(), "SELECT email, raw, NULL::text FROM sealeds WHERE id = $1", 1).Scan(&text, &raw, &null))
		equal(t, mode.String(), []any{text.last(), raw.last(), null.last()}, []any{"x", "y", nil})
	}
}

func TestABlobNeverEqualsTextInSQLite(t *testing.T) {
	for name, want := range map[string]bool{"SQLite": false, "MariaDB": true} {
		for _, d := range dbtest.All() {
			if d.Name != name {
				continue
			}
			db := d.Open(t)
			var same bool
			must(t, db.QueryRowContext(t.Context(), "SELECT ? = ?", "x", []byte("x")).Scan(&same))
			equal(t, name, same, want)
		}
	}
}

func TestPrintersReadUnexportedFieldsAndCallNoMethodsThere(t *testing.T) {
	type inner struct{ plaintext loud }
	type hidden struct{ get func() loud }
	var slogged bytes.Buffer
	diff := spew.ConfigState{DisableMethods: true} // as testify prints what differs
	log := slog.New(slog.NewTextHandler(&slogged, nil))
	for name, print := range map[string]func(any) string{
		"fmt %v":  func(v any) string { return fmt.Sprintf("%v", v) },
		"fmt %+v": func(v any) string { return fmt.Sprintf("%+v", v) },
		"fmt %#v": func(v any) string { return fmt.Sprintf("%#v", v) },
		"diffs":   func(v any) string { return diff.Sdump(v) },
		"slog":    func(v any) string { slogged.Reset(); log.Info("m", "v", v); return slogged.String() },
	} {
		equal(t, name+" of an unexported field", strings.Contains(print(inner{"plain"}), "plain"), true)
		equal(t, name+" of a closure", strings.Contains(print(hidden{func() loud { return "plain" }}), "plain"), false)
	}
}

// loud would redact itself where it is asked.
type loud string

func (loud) String() string       { return "[redacted]" }
func (loud) GoString() string     { return "[redacted]" }
func (loud) LogValue() slog.Value { return slog.StringValue("[redacted]") }
