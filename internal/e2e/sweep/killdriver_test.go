package sweep_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// moments counts the moments before and after every statement and every request to a KMS, and ends the process at one of them.
type moments struct {
	at, count atomic.Int64
	requests  *os.File // gets a byte for every request
	delay     time.Duration
}

// killed is the exit code of a process that was ended at its moment.
const killed = 86

func (m *moments) pass() {
	if m.count.Add(1) == m.at.Load() {
		os.Exit(killed)
	}
}

// Wait implements kms.Pacer.
func (m *moments) Wait(ctx context.Context) error {
	m.pass()
	time.Sleep(m.delay)
	if _, err := m.requests.Write([]byte{'.'}); err != nil {
		return err
	}
	return ctx.Err()
}

// Done implements kms.Pacer.
func (m *moments) Done(bool) { m.pass() }

// open opens a database whose statements pass m.
func (m *moments) open(name, dsn string) (*sql.DB, error) {
	plain, err := sql.Open(name, dsn)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	return sql.OpenDB(connector{m, plain.Driver(), dsn}), nil
}

type connector struct {
	*moments
	driver driver.Driver
	dsn    string
}

func (c connector) Driver() driver.Driver { return c.driver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.dsn)
	if err != nil {
		return nil, err
	}
	return &conn{c.moments, inner}, nil
}

type conn struct {
	*moments
	driver.Conn
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.pass()
	defer c.pass()
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.pass()
	defer c.pass()
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.pass()
	defer c.pass()
	inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return transaction{c.moments, inner}, err
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.pass()
	defer c.pass()
	inner, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	return prepared{c.moments, inner}, err
}

func (c *conn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

func (c *conn) ResetSession(ctx context.Context) error {
	if r, ok := c.Conn.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

type transaction struct {
	*moments
	inner driver.Tx
}

func (t transaction) Commit() error {
	t.pass()
	defer t.pass()
	return t.inner.Commit()
}

func (t transaction) Rollback() error {
	t.pass()
	defer t.pass()
	return t.inner.Rollback()
}

type prepared struct {
	*moments
	driver.Stmt
}

func (p prepared) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	p.pass()
	defer p.pass()
	s, ok := p.Stmt.(driver.StmtExecContext)
	if !ok {
		return nil, errors.New("the driver's statements take no ctx")
	}
	return s.ExecContext(ctx, args)
}

func (p prepared) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	p.pass()
	defer p.pass()
	s, ok := p.Stmt.(driver.StmtQueryContext)
	if !ok {
		return nil, errors.New("the driver's statements take no ctx")
	}
	return s.QueryContext(ctx, args)
}
