package sqlseal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// Dialect is the SQL of a database. The values are the names that GORM's dialectors have.
type Dialect string

const (
	PostgreSQL Dialect = "postgres"
	MySQL      Dialect = "mysql" // and MariaDB
	SQLite     Dialect = "sqlite"
)

func (d Dialect) check() error {
	switch d {
	case PostgreSQL, MySQL, SQLite:
		return nil
	}
	return fmt.Errorf("sqlseal: unknown dialect %q; known are %s, %s and %s: %w", string(d), PostgreSQL, MySQL, SQLite, kms.ErrInvalidRequest)
}

// Quote quotes an identifier; dots stay outside, so that schema.table names a table in a schema.
func (d Dialect) Quote(name string) string {
	mark := `"`
	if d == MySQL {
		mark = "`"
	}
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = mark + strings.ReplaceAll(part, mark, mark+mark) + mark
	}
	return strings.Join(parts, ".")
}

// Placeholder is that of the nth argument, from 1.
func (d Dialect) Placeholder(n int) string {
	if d == PostgreSQL {
		return "$" + strconv.Itoa(n)
	}
	return "?"
}

// Condition is a Match as SQL. It compares bytes, whatever the column's collation is; value is where the argument stands, and
// takes none where the column is to be NULL.
func (d Dialect) Condition(m rowseal.Match, value func(arg any) string) string {
	column := d.Quote(m.Column)
	if m.Value == nil {
		return column + " IS NULL"
	}
	if m.Text {
		column = d.text(column)
	}
	switch d {
	case MySQL: // text is compared by a collation, as a rule one that knows no capital letters
		return "CAST(" + column + " AS BINARY) = CAST(" + value(m.Value) + " AS BINARY)"
	case SQLite: // TEXT equals no BLOB; and a column may be COLLATE NOCASE
		return "CAST(" + column + " AS BLOB) = CAST(" + value(m.Value) + " AS BLOB)"
	}
	if m.Text {
		return column + ` COLLATE "C" = ` + value(m.Value)
	}
	return column + " = " + value(m.Value)
}

// text is a column as the text that it is in an encryption context.
func (d Dialect) text(quoted string) string {
	if d == MySQL {
		return "CAST(" + quoted + " AS CHAR)"
	}
	return "CAST(" + quoted + " AS text)"
}

// builder is a statement in the making.
type builder struct {
	Dialect
	sql  strings.Builder
	args []any
}

func (b *builder) write(parts ...string) {
	for _, part := range parts {
		b.sql.WriteString(part)
	}
}

// value adds an argument and returns its placeholder.
func (b *builder) value(arg any) string {
	b.args = append(b.args, arg)
	return b.Placeholder(len(b.args))
}

func (b *builder) names(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = b.Quote(c)
	}
	return strings.Join(quoted, ", ")
}

// statement is what was built.
func (b *builder) statement() statement { return statement{SQL: b.sql.String(), Args: b.args} }
