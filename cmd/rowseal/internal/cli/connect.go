package cli

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
)

func openSQLite(d config.Database, readOnly bool) (*sql.DB, error) {
	info, err := os.Stat(d.Path)
	switch {
	case err != nil:
		return nil, errors.New("there is no such file")
	case info.IsDir():
		return nil, errors.New("it is a directory")
	}
	path, err := filepath.Abs(d.Path)
	if err != nil {
		return nil, err
	}
	query := "mode=rw&_pragma=busy_timeout(10000)&_txlock=immediate" // a transaction that began by reading could not wait for other writers
	if readOnly {
		query = "mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(5000)"
	}
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query}
	return sql.Open("sqlite", address.String())
}

func openPostgreSQL(d config.Database, readOnly bool) (*sql.DB, error) {
	c, err := pgx.ParseConfig(d.URL.String())
	if err != nil {
		return nil, err
	}
	if readOnly {
		c.RuntimeParams["default_transaction_read_only"] = "on"
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "rowseal"
	}
	return stdlib.OpenDB(*c), nil
}

// openMySQL takes the driver's own parameters (https://github.com/go-sql-driver/mysql#parameters) and socket.
func openMySQL(d config.Database, readOnly bool) (*sql.DB, error) {
	query := d.URL.Query()
	address := "tcp(" + d.URL.Host + ")"
	if socket := query.Get("socket"); socket != "" {
		address = "unix(" + socket + ")"
	}
	query.Del("socket")
	c, err := mysql.ParseDSN(address + "/" + url.PathEscape(d.Name()) + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	c.User = d.URL.User.Username()
	c.Passwd, _ = d.URL.User.Password()
	c.ClientFoundRows = true // an UPDATE counts the rows that it found
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	if readOnly {
		connector = readOnlyMySQL{connector}
	}
	return sql.OpenDB(connector), nil
}

// readOnlyMySQL makes connections whose transactions only read.
type readOnlyMySQL struct{ driver.Connector }

// Connect implements driver.Connector.
func (c readOnlyMySQL) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	execer, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T runs no statements", conn), conn.Close())
	}
	if _, err := execer.ExecContext(ctx, "SET SESSION TRANSACTION READ ONLY", nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
