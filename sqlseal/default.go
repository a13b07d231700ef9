package sqlseal

import (
	"context"
	"fmt"
	"strings"
)

// fetchIDs asks the database for ids and gives them to the rows. ok is false where the primary key has no default that can
// be asked for: where the database makes the id while it inserts, as AUTO_INCREMENT and rowids are made.
func (w *Writer) fetchIDs(ctx context.Context, db *DB, rows []any) (ok bool, err error) {
	source, err := db.defaultOf(ctx, w.schema.Table, w.schema.PrimaryKey)
	if err != nil || source == "" {
		return false, err
	}
	for len(rows) > 0 {
		n := min(len(rows), idsAtOnce)
		got := 0
		err := db.conn.query(ctx, statement{SQL: db.repeat(source, n)}, func(scan func(...any) error) error {
			if got == n {
				return fmt.Errorf("sqlseal: more than %d ids for as many rows of %s", n, w.schema.Table)
			}
			id, err := w.rows.Pointer(rows[got], w.schema.PrimaryKey)
			if err == nil {
				err = scan(id)
			}
			got++
			return err
		})
		if err == nil && got < n {
			err = fmt.Errorf("sqlseal: %d ids for %d rows of %s", got, n, w.schema.Table)
		}
		if err != nil {
			return false, err
		}
		rows = rows[n:]
	}
	return true, nil
}

// idsAtOnce is less than the deepest recursion that MariaDB and MySQL allow a statement by default, 1,000.
const idsAtOnce = 500

// repeat is a query with the value of an expression n times, each evaluated anew.
func (d Dialect) repeat(expression string, n int) string {
	if d == PostgreSQL {
		return fmt.Sprintf("SELECT %s FROM generate_series(1, %d)", expression, n)
	}
	return fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT %s FROM n", n, expression)
}

// defaultOf returns the expression of which a column's default is made, "" if it has none that can be evaluated by itself.
// It comes from the database's own catalogue, where only who may change the table can put it.
func (db *DB) defaultOf(ctx context.Context, table, column string) (expression string, err error) {
	switch db.Dialect {
	case PostgreSQL:
		return db.defaultOfPostgreSQL(ctx, table, column)
	case MySQL:
		return db.defaultOfMySQL(ctx, table, column)
	}
	var text *string
	_, err = db.one(ctx, statement{"SELECT dflt_value FROM pragma_table_info(?) WHERE name = ?", []any{table, column}}, &text)
	if err != nil || text == nil {
		return "", err
	}
	return call(*text), nil
}

// call is an expression that is a call of a function; a constant is no id for more than one row.
func call(expression string) string {
	if !strings.Contains(expression, "(") || strings.HasPrefix(expression, "'") {
		return ""
	}
	return expression
}

// defaultOfPostgreSQL takes serial and identity columns from their sequence; a column that is GENERATED ALWAYS takes no
// value from outside.
func (db *DB) defaultOfPostgreSQL(ctx context.Context, table, column string) (string, error) {
	const query = `SELECT a.attidentity::text, pg_get_serial_sequence($1::text, a.attname), pg_get_expr(d.adbin, d.adrelid)
		FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = to_regclass($1::text) AND a.attname::text = $2::text AND a.attgenerated = '' AND NOT a.attisdropped`
	var identity string
	var sequence, expression *string
	_, err := db.one(ctx, statement{query, []any{PostgreSQL.Quote(table), column}}, &identity, &sequence, &expression)
	switch {
	case err != nil || identity == "a":
		return "", err
	case identity == "d" && sequence != nil:
		return "nextval('" + strings.ReplaceAll(*sequence, "'", "''") + "')", nil
	case expression != nil:
		return call(*expression), nil
	}
	return "", nil
}

// defaultOfMySQL reads MariaDB's catalogue, where all defaults are expressions, and MySQL's, which marks those that are.
func (db *DB) defaultOfMySQL(ctx context.Context, table, column string) (string, error) {
	const query = `SELECT column_default, extra, VERSION() FROM information_schema.columns
		WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND column_name = ?`
	schema, name := splitTable(table)
	var expression *string
	var extra, version string
	_, err := db.one(ctx, statement{query, []any{schema, name, column}}, &expression, &extra, &version)
	if err != nil || expression == nil {
		return "", err
	}
	if !strings.Contains(version, "MariaDB") && !strings.Contains(strings.ToUpper(extra), "DEFAULT_GENERATED") {
		return "", nil
	}
	return call(*expression), nil
}

// splitTable takes schema.table apart; schema is nil where it is not there.
func splitTable(table string) (schema any, name string) {
	if before, after, ok := strings.Cut(table, "."); ok {
		return before, after
	}
	return nil, table
}
