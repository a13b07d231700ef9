package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/sqlseal"
)

// database is what a configuration names.
type database struct {
	*sqlseal.DB
	sql *sql.DB
}

// openDatabase connects to a database, for reading only or for writing too. It makes no file that is not there.
func openDatabase(ctx context.Context, d config.Database, readOnly bool) (*database, error) {
	open := map[sqlseal.Dialect]func(config.Database, bool) (*sql.DB, error){
		sqlseal.SQLite: openSQLite, sqlseal.PostgreSQL: openPostgreSQL, sqlseal.MySQL: openMySQL,
	}[d.Dialect]
	db, err := open(d, readOnly)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, connecting)
		defer cancel()
		err = db.PingContext(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("database %s: %s", d, withoutPassword(d, inShort(err)))
	}
	return &database{sqlseal.SQL(d.Dialect, db), db}, nil
}

// connecting is how long a server may take to answer the first time.
const connecting = 15 * time.Second

// inShort is the cause of a driver's error: pgx tells each address and each way that it tried, and the database is named anyway.
func inShort(err error) error {
	var answer *pgconn.PgError
	var options *pgconn.ParseConfigError // it repeats the address, with the user
	var lookup *net.DNSError
	var dial *net.OpError
	switch {
	case errors.As(err, &options):
		text := options.Error()
		return errors.New(text[strings.LastIndex(text, "`: ")+len("`: "):])
	case errors.As(err, &answer):
		return errors.New(answer.Message)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("it has not answered within %s", connecting)
	case errors.As(err, &lookup):
		return lookup
	case errors.As(err, &dial):
		return dial
	}
	return err
}

// withoutPassword is an error of a driver, which may repeat the address.
func withoutPassword(d config.Database, err error) string {
	text := err.Error()
	if d.URL == nil {
		return text
	}
	if password, ok := d.URL.User.Password(); ok && password != "" {
		escaped, _, _ := strings.Cut(strings.TrimPrefix(d.URL.User.String(), d.URL.User.Username()+":"), "@")
		text = strings.NewReplacer(password, "…", escaped, "…").Replace(text)
	}
	return text
}

// Close closes all connections.
func (db *database) Close() error { return db.sql.Close() }

// row is a row as the database has it.
type row struct {
	columns []rowseal.TableColumn // in the table's order
	values  map[string]any
}

// columns lists the columns of a table. SQLite takes a quoted name that is no column for a text, so names are compared
// with this list before they get into a query.
func (db *database) columns(ctx context.Context, table string) ([]rowseal.TableColumn, error) {
	columns, err := db.TableColumns(ctx, table)
	if err == nil && len(columns) == 0 {
		err = fmt.Errorf("there is no such table in the database")
	}
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", table, err)
	}
	return columns, nil
}

// checkColumns finds columns that the configuration, which is in a file, names and the table has not.
func (db *database) checkColumns(ctx context.Context, t *config.Table, file string) error {
	columns, err := db.columns(ctx, t.Schema.Table)
	if err != nil {
		return err
	}
	var there []string
	for _, c := range columns {
		there = append(there, c.Name)
	}
	for _, c := range t.Columns() {
		if !slices.Contains(there, c) {
			return fmt.Errorf("table %s has no column %q, which %s names%s", t.Schema.Table, c, file, config.Meant(c, there))
		}
	}
	return nil
}

// isNoValue tells that PostgreSQL cannot read an argument as a value of the column's type, so that no row has it.
func isNoValue(err error) bool {
	const dataException = "22"
	var answer *pgconn.PgError
	return errors.As(err, &answer) && strings.HasPrefix(answer.Code, dataException)
}

// find returns at most limit rows in which a column has one of the values, in the order of the primary key.
func (db *database) find(ctx context.Context, t *config.Table, column string, values []any, limit int) (all []row, err error) {
	columns, err := db.columns(ctx, t.Schema.Table)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = db.Quote(c.Name)
	}
	query := fmt.Sprintf(`SELECT %s FROM %s WHERE %s IN (%s) ORDER BY %s LIMIT %d`, strings.Join(names, ", "), db.Quote(t.Schema.Table), db.Quote(column),
		db.parameters(len(values)), db.Quote(t.Schema.PrimaryKey), limit)
	err = db.Query(ctx, query, values, func(scan func(...any) error) error {
		cells := make([]any, len(columns))
		for i := range cells {
			cells[i] = new(any)
		}
		if err := scan(cells...); err != nil {
			return err
		}
		one := row{columns, make(map[string]any, len(columns))}
		for i, c := range columns {
			one.values[c.Name] = sqlseal.Value(c, *cells[i].(*any))
		}
		all = append(all, one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Schema.Table, err)
	}
	return all, nil
}

// has tells whether a table is there.
func (db *database) has(ctx context.Context, table string) (bool, error) {
	columns, err := db.TableColumns(ctx, table)
	return len(columns) > 0, err
}

// hasValues tells whether any row has something else in a column than NULL or an empty text.
func (db *database) hasValues(ctx context.Context, table string, column rowseal.TableColumn) (found bool, err error) {
	name := db.Quote(column.Name)
	condition := name + " IS NOT NULL"
	if column.Kind == rowseal.TextColumn || column.Kind == rowseal.AnyColumn {
		condition += " AND " + name + " <> ''"
	}
	query := "SELECT 1 FROM " + db.Quote(table) + " WHERE " + condition + " LIMIT 1"
	err = db.Query(ctx, query, nil, func(scan func(...any) error) error {
		found = true
		return scan(new(any))
	})
	return found, err
}

// tables lists the tables of a database, as schema.table.
func (db *database) tables(ctx context.Context, d config.Database) ([]string, error) {
	all, err := db.Tables(ctx)
	if db.Dialect == sqlseal.MySQL { // which lists those of the server
		all = slices.DeleteFunc(all, func(table string) bool { return !strings.HasPrefix(table, d.Name()+".") })
	}
	return all, err
}

// fullName is a table's name as tables has it, "" if there is no such table.
func (db *database) fullName(ctx context.Context, d config.Database, table string) (string, error) {
	switch {
	case strings.Contains(table, "."):
		return table, nil
	case db.Dialect == sqlseal.MySQL:
		return d.Name() + "." + table, nil
	case db.Dialect == sqlseal.SQLite:
		return "main." + table, nil
	}
	found, err := db.texts(ctx, `SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1::text)`,
		db.Quote(table))
	return strings.Join(found, ""), err
}

// attachmentNames lists the names of the attachments that some records of a type have.
func (db *database) attachmentNames(ctx context.Context, recordType string, ids []any) ([]string, error) {
	types := db.Placeholder(1)
	records := strings.TrimPrefix(db.parameters(len(ids)+1), types+", ")
	return db.texts(ctx, `SELECT DISTINCT name FROM active_storage_attachments WHERE record_type = `+types+` AND record_id IN (`+records+`) ORDER BY name`,
		append([]any{recordType}, ids...)...)
}

// recordTypes lists the classes that have attachments.
func (db *database) recordTypes(ctx context.Context) ([]string, error) {
	return db.texts(ctx, `SELECT DISTINCT record_type FROM active_storage_attachments ORDER BY record_type`)
}

func (db *database) texts(ctx context.Context, query string, args ...any) (all []string, err error) {
	err = db.Query(ctx, query, args, func(scan func(...any) error) error {
		var text string
		err := scan(&text)
		all = append(all, text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	return all, nil
}

// parameters are the placeholders of n arguments.
func (db *database) parameters(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = db.Placeholder(i + 1)
	}
	return strings.Join(all, ", ")
}
