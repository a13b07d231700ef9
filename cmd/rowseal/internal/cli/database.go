package cli

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
)

// database is what a configuration names, opened for reading only.
type database struct{ *sql.DB }

// openDatabase changes nothing, and makes no file that is not there.
func openDatabase(d config.Database) (*database, error) {
	info, err := os.Stat(d.Path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("database: %w", err)
	case info.IsDir():
		return nil, fmt.Errorf("database: %s is a directory", d.Path)
	}
	path, err := filepath.Abs(d.Path)
	if err != nil {
		return nil, err
	}
	address := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: "mode=ro&_pragma=query_only(1)&_pragma=busy_timeout(5000)"}
	db, err := sql.Open("sqlite", address.String())
	if err != nil {
		return nil, err
	}
	return &database{db}, nil
}

// row is a row as the database has it.
type row struct {
	columns []string // in the table's order
	values  map[string]any
}

// columns lists the columns of a table. SQLite takes a quoted name that is no column for a text, so names are compared
// with this list before they get into a query.
func (db *database) columns(ctx context.Context, table string) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT * FROM `+quoted(table)+` LIMIT 0`)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", table, err)
	}
	defer rows.Close()
	return rows.Columns()
}

// checkColumns finds columns that the configuration names and the table has not.
func (db *database) checkColumns(ctx context.Context, t *config.Table) error {
	there, err := db.columns(ctx, t.Schema.Table)
	if err != nil {
		return err
	}
	for _, c := range t.Columns() {
		if !slices.Contains(there, c) {
			return fmt.Errorf("table %s has no column %q%s", t.Schema.Table, c, config.Meant(c, there))
		}
	}
	return nil
}

// find returns at most limit rows in which a column has one of the values, in the order of the primary key.
func (db *database) find(ctx context.Context, t *config.Table, column string, values []any, limit int) ([]row, error) {
	query := fmt.Sprintf(`SELECT * FROM %s WHERE %s IN (%s) ORDER BY %s LIMIT %d`, quoted(t.Schema.Table), quoted(column),
		parameters(len(values)), quoted(t.Schema.PrimaryKey), limit)
	rows, err := db.QueryContext(ctx, query, values...)
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", t.Schema.Table, err)
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Schema.Table, err)
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// has tells whether a table is there.
func (db *database) has(ctx context.Context, table string) (bool, error) {
	found, err := db.texts(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name = ?`, table)
	return len(found) > 0, err
}

// attachmentNames lists the names of the attachments that some records of a type have.
func (db *database) attachmentNames(ctx context.Context, recordType string, ids []any) ([]string, error) {
	return db.texts(ctx, `SELECT DISTINCT name FROM active_storage_attachments WHERE record_type = ? AND record_id IN (`+parameters(len(ids))+`) ORDER BY name`,
		append([]any{recordType}, ids...)...)
}

// recordTypes lists the classes that have attachments.
func (db *database) recordTypes(ctx context.Context) ([]string, error) {
	return db.texts(ctx, `SELECT DISTINCT record_type FROM active_storage_attachments ORDER BY record_type`)
}

func (db *database) texts(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("database: %w", err)
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func parameters(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func scan(rows *sql.Rows) (row, error) {
	columns, err := rows.Columns()
	if err != nil {
		return row{}, err
	}
	cells := make([]any, len(columns))
	for i := range cells {
		cells[i] = new(any)
	}
	if err := rows.Scan(cells...); err != nil {
		return row{}, err
	}
	one := row{columns, make(map[string]any, len(columns))}
	for i, column := range columns {
		one.values[column] = *cells[i].(*any)
	}
	return one, nil
}

// quoted quotes the name of a table, which may have that of a schema before it, or of a column.
func quoted(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = `"` + strings.ReplaceAll(p, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}
