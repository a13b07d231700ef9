package activestorage

import (
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

var dialects = map[dbtest.Database]activestorage.Dialect{
	dbtest.SQLite:     activestorage.SQLite,
	dbtest.PostgreSQL: activestorage.PostgreSQL,
	dbtest.MariaDB:    activestorage.MySQL,
}

// same compares NULLs too.
var same = map[activestorage.Dialect]string{
	activestorage.SQLite:     "IS",
	activestorage.PostgreSQL: "IS NOT DISTINCT FROM",
	activestorage.MySQL:      "<=>",
}

// spell turns a test's statement, with ? for parameters and "" around names, into the dialect's.
func spell(d activestorage.Dialect, statement string) string {
	switch d {
	case activestorage.MySQL:
		return strings.ReplaceAll(statement, `"`, "`")
	case activestorage.PostgreSQL:
		for n := 1; strings.Contains(statement, "?"); n++ {
			statement = strings.Replace(statement, "?", "$"+strconv.Itoa(n), 1)
		}
	}
	return statement
}

// tables are those of the app, as Rails 8 makes them, parents first: with foreign keys, which the SQLite file is without.
// ID, STRING and TIME stand for what Rails calls so in each database.
var tables = []struct{ name, columns string }{
	{"users", `id ID, name STRING, encrypted_kms_key text, created_at TIME NOT NULL, updated_at TIME NOT NULL`},
	{"active_storage_blobs", `id ID, "key" STRING NOT NULL UNIQUE, filename STRING NOT NULL, content_type STRING, metadata text,
		service_name STRING NOT NULL, byte_size bigint NOT NULL, checksum STRING, created_at TIME NOT NULL`},
	{"active_storage_attachments", `id ID, name STRING NOT NULL, record_type STRING NOT NULL, record_id bigint NOT NULL,
		blob_id bigint NOT NULL REFERENCES active_storage_blobs (id), created_at TIME NOT NULL,
		UNIQUE (record_type, record_id, name, blob_id)`},
	{"active_storage_variant_records", `id ID, blob_id bigint NOT NULL REFERENCES active_storage_blobs (id),
		variation_digest STRING NOT NULL, UNIQUE (blob_id, variation_digest)`},
}

var types = map[activestorage.Dialect]*strings.Replacer{
	activestorage.PostgreSQL: strings.NewReplacer("ID", "bigserial PRIMARY KEY", "STRING", "character varying", "TIME", "timestamp(6)"),
	activestorage.MySQL:      strings.NewReplacer("ID", "bigint AUTO_INCREMENT PRIMARY KEY", "STRING", "varchar(255)", "TIME", "datetime(6)"),
}

// migrate makes the tables, and moves there what Rails wrote into the SQLite file.
func (a *app) migrate(t testing.TB) {
	t.Helper()
	rails, err := sql.Open("sqlite", "file:"+a.sqliteFile())
	must(t, err)
	defer rails.Close()
	for _, table := range tables {
		a.exec(t, "CREATE TABLE IF NOT EXISTS "+table.name+" ("+types[a.dialect].Replace(table.columns)+")")
	}
	for _, table := range slices.Backward(tables) {
		a.exec(t, "DELETE FROM "+table.name)
	}
	for _, table := range tables {
		a.fill(t, rails, table.name)
		if a.dialect == activestorage.PostgreSQL {
			a.exec(t, fmt.Sprintf(`SELECT setval(pg_get_serial_sequence('%[1]s', 'id'), MAX(id)) FROM %[1]s`, table.name))
		}
	}
}

func (a *app) fill(t testing.TB, from *sql.DB, table string) {
	t.Helper()
	rows, err := from.QueryContext(t.Context(), "SELECT * FROM "+table)
	must(t, err)
	defer rows.Close()
	columns, err := rows.Columns()
	must(t, err)
	insert := `INSERT INTO ` + table + ` ("` + strings.Join(columns, `", "`) + `") VALUES (?` + strings.Repeat(", ?", len(columns)-1) + `)`
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		must(t, rows.Scan(into...))
		a.exec(t, insert, values...)
	}
	must(t, rows.Err())
}
