package activestorage

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Dialect is the SQL of a database: how it quotes, numbers its parameters, tells a new row's id and takes a time.
type Dialect string

// The dialects. All drivers of database/sql for them will do.
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
	return fmt.Errorf("activestorage: there is no dialect %q: use PostgreSQL, MySQL or SQLite", string(d))
}

// sql turns a statement of this package, with ? for parameters and "" around names, into the dialect's. None of them
// has either in another place.
func (d Dialect) sql(statement string) string {
	switch d {
	case MySQL:
		return strings.ReplaceAll(statement, `"`, "`")
	case PostgreSQL:
		return numbered(statement)
	default:
		return statement
	}
}

func numbered(statement string) string {
	parts := strings.Split(statement, "?")
	var b strings.Builder
	b.WriteString(parts[0])
	for i, part := range parts[1:] {
		b.WriteString("$" + strconv.Itoa(i+1) + part)
	}
	return b.String()
}

// returnsID reports whether INSERT can have a RETURNING clause. MySQL has none.
func (d Dialect) returnsID() bool { return d != MySQL }

// time returns the parameter for a column of type datetime, so that the row says what Rails would have written. SQLite
// and MySQL take Rails' text for it, because drivers differ in what they make of a time.Time: they write a zone beside
// it, or convert it into the connection's. PostgreSQL takes a time.Time, because a text would have another meaning in a
// column with a time zone than in one without.
func (d Dialect) time(t time.Time) any {
	if d == PostgreSQL {
		return t
	}
	return t.Format(timeLayout)
}

// timeLayout is Active Record's (quoted_date in activerecord
// lib/active_record/connection_adapters/abstract/quoting.rb). It also reads times with less than six digits after the
// point, or none.
const timeLayout = "2006-01-02 15:04:05.000000"

// timestamp scans a datetime column: drivers return times or text.
type timestamp time.Time

// Scan implements sql.Scanner.
func (t *timestamp) Scan(src any) error {
	switch v := src.(type) {
	case time.Time:
		*t = timestamp(v.UTC())
		return nil
	case []byte:
		return t.parse(string(v))
	case string:
		return t.parse(v)
	default:
		return fmt.Errorf("a time of type %T", src)
	}
}

func (t *timestamp) parse(text string) error {
	parsed, err := time.Parse(time.DateTime, text) // which accepts a fraction too
	*t = timestamp(parsed)
	return err
}
