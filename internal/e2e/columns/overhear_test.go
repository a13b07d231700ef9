package columns

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/tracelog"
)

// overhearer writes down whatever a tracer, a logger or a driver is given, in every way in which Go prints things.
type overhearer struct {
	mu   sync.Mutex
	text strings.Builder
	jot  *slog.Logger
}

// newOverhearer returns one that must have heard something of this, and nothing secret, when t ends.
func newOverhearer(t *testing.T, something ...string) *overhearer {
	o := &overhearer{}
	o.jot = slog.New(slog.NewJSONHandler(o, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
	t.Cleanup(func() {
		heard := o.text.String()
		for _, want := range something {
			if !strings.Contains(heard, want) {
				t.Errorf("nothing was told of %s", want)
			}
		}
		for _, secret := range secrets {
			if _, after, found := strings.Cut(heard, secret); found {
				t.Errorf("%q was told, before %.100q", secret, after)
			}
		}
	})
	return o
}

func (o *overhearer) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(text)
}

func (o *overhearer) hear(things ...any) {
	for _, thing := range things {
		text, _ := json.Marshal(thing)
		fmt.Fprintf(o, "%v %+v %#v %q %x %s\n", thing, thing, thing, thing, thing, text)
		o.jot.Info("heard", "thing", thing)
	}
}

// openPgx has two tracers: pgx's own at its most talkative, and one that prints all that it is given.
func (o *overhearer) openPgx(t *testing.T, dsn string, mode pgx.QueryExecMode) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	must(t, err)
	config.ConnConfig.DefaultQueryExecMode = mode
	config.ConnConfig.Tracer = tracer{o, &tracelog.TraceLog{LogLevel: tracelog.LogLevelTrace,
		Logger: tracelog.LoggerFunc(func(_ context.Context, _ tracelog.LogLevel, msg string, data map[string]any) { o.hear(msg, data) })}}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(pool.Close)
	return pool
}

type tracer struct {
	*overhearer
	*tracelog.TraceLog
}

func (t tracer) TraceQueryStart(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	t.hear(d.SQL, d.Args)
	return t.TraceLog.TraceQueryStart(ctx, c, d)
}

func (t tracer) TraceQueryEnd(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryEndData) {
	t.hear(d.Err)
	t.TraceLog.TraceQueryEnd(ctx, c, d)
}

func (t tracer) TraceBatchQuery(ctx context.Context, c *pgx.Conn, d pgx.TraceBatchQueryData) {
	t.hear(d.SQL, d.Args, d.Err)
	t.TraceLog.TraceBatchQuery(ctx, c, d)
}

func (t tracer) TraceCopyFromEnd(ctx context.Context, c *pgx.Conn, d pgx.TraceCopyFromEndData) {
	t.hear(d.Err)
	t.TraceLog.TraceCopyFromEnd(ctx, c, d)
}

// openSQL wraps the driver, as packages that log and trace do.
func (o *overhearer) openSQL(t *testing.T, driverName, dsn string) *sql.DB {
	t.Helper()
	plain, err := sql.Open(driverName, dsn)
	must(t, err)
	defer plain.Close()
	db := sql.OpenDB(connector{o, plain.Driver(), dsn})
	t.Cleanup(func() { db.Close() })
	return db
}

type connector struct {
	*overhearer
	driver driver.Driver
	dsn    string
}

func (c connector) Driver() driver.Driver { return c.driver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	open, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return conn{open, c.overhearer}, nil
}

type conn struct {
	driver.Conn
	*overhearer
}

func (c conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
}

func (c conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return statement{s, c.overhearer, query}, nil
}

func (c conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.hear(query, args)
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.hear(query, args)
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

// CheckNamedValue sees the arguments before their Valuers are called.
func (c conn) CheckNamedValue(v *driver.NamedValue) error {
	c.hear(v.Value)
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type statement struct {
	driver.Stmt
	*overhearer
	query string
}

func (s statement) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.hear(s.query, args)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s statement) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.hear(s.query, args)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
