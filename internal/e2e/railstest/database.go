// Package railstest tests rowseal with a database that a Rails-style program wrote (vectors/rails). Each way of reading and
// writing it runs through a Model and through a Table, and what they write is read by a reader that shares no code with
// rowseal (secondreader), and by the Ruby gems where there are any.
package railstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/secondreader"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/vectors"
)

// Database is one of vectors/rails, with what opens it.
type Database struct {
	Name   string   // "insecure", "vault"
	Key    *kms.Key // that of all data keys
	Unwrap func(ciphertext, context []byte) ([]byte, error)
	GemEnv []string // NAME=VALUE: how the gems reach the key
}

// Values are the sealed values of a row, by column: nil, a string, an int64, a time.Time or a []byte.
type Values map[string]any

// plaintexts maps the names in the .json to columns. The license is there as a hash.
var plaintexts = map[string]string{
	"email": "email_ciphertext", "date_of_birth": "date_of_birth_ciphertext", "balance": "balance_ciphertext",
	"notes": "notes_ciphertext", "ssn": "encrypted_ssn", "phone": "phone_ciphertext", "street": "street_ciphertext",
	"license_sha256": "license",
}

// fieldColumns are the columns with values.
func fieldColumns() []string { return slices.Sorted(maps.Values(plaintexts)) }

// inJSON is a value as the .json has it.
func inJSON(v any) any {
	switch v := v.(type) {
	case []byte:
		sum := sha256.Sum256(v)
		return hex.EncodeToString(sum[:])
	case time.Time:
		return v.Format(time.DateOnly)
	case int64:
		return json.Number(fmt.Sprint(v))
	}
	return v
}

// expected is the database's .json: the values by id, as inJSON has them.
func (d Database) expected(t *testing.T) (values map[int64]Values) {
	t.Helper()
	var file struct{ Rows []map[string]any }
	d.decode(t, &file)
	if len(file.Rows) != 26 {
		t.Fatalf("%s.json has %d rows", d.Name, len(file.Rows))
	}
	values = map[int64]Values{}
	for _, row := range file.Rows {
		id, err := row["id"].(json.Number).Int64()
		must(t, err)
		values[id] = Values{}
		for name, column := range plaintexts {
			v, there := row[name]
			if !there {
				t.Fatalf("%s.json has no %s", d.Name, name)
			}
			values[id][column] = v
		}
	}
	return values
}

func (d Database) masterKeyBytes(t *testing.T) []byte {
	t.Helper()
	var file struct {
		LockboxMasterKey string `json:"lockbox_master_key"`
	}
	d.decode(t, &file)
	key, err := hex.DecodeString(file.LockboxMasterKey)
	must(t, err)
	return key
}

func (d Database) masterKey(t *testing.T) *rowseal.MasterKey {
	t.Helper()
	key, err := rowseal.NewMasterKey(d.masterKeyBytes(t))
	must(t, err)
	return key
}

func (d Database) decode(t *testing.T, into any) {
	t.Helper()
	content, err := vectors.FS.ReadFile("rails/" + d.Name + ".json")
	must(t, err)
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	must(t, decoder.Decode(into))
}

// Copy returns a copy of the database for t, and its file.
func (d Database) Copy(t *testing.T) (db *sql.DB, file string) {
	t.Helper()
	content, err := vectors.FS.ReadFile("rails/" + d.Name + ".sqlite3")
	must(t, err)
	file = filepath.Join(t.TempDir(), "users.sqlite3")
	must(t, os.WriteFile(file, content, 0o600))
	db, err = sql.Open("sqlite", file)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db, file
}

func (d Database) secondReader(t *testing.T) secondreader.Reader {
	t.Helper()
	return secondreader.Reader{Unwrap: d.Unwrap, MasterKey: d.masterKeyBytes(t)}
}

// sealed are the columns that a program writes: keys, fields, the IV, the index.
func sealed() []string { return slices.Sorted(maps.Keys((&User{}).cells())) }

// conn is a *sql.DB or a *sql.Tx.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Load returns rows as database/sql gives them, by column.
func Load(t *testing.T, db conn, ids ...int64) []map[string]any {
	t.Helper()
	columns := append([]string{"id", "name"}, sealed()...)
	query := "SELECT " + strings.Join(columns, ", ") + " FROM users"
	if len(ids) > 0 {
		query += " WHERE id IN (" + strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ","), "[]") + ")"
	}
	rows, err := db.QueryContext(t.Context(), query+" ORDER BY id")
	must(t, err)
	defer rows.Close()
	var all []map[string]any
	for rows.Next() {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		must(t, rows.Scan(targets...))
		row := map[string]any{}
		for i, column := range columns {
			row[column] = values[i]
		}
		all = append(all, row)
	}
	must(t, rows.Err())
	return all
}

// rowsOf makes rows of what Load returned.
func rowsOf(t *testing.T, users Users, loaded []map[string]any) []Row {
	t.Helper()
	rows := make([]Row, len(loaded))
	for i, columns := range loaded {
		var err error
		rows[i], err = users.Row(columns)
		must(t, err)
	}
	return rows
}

// loaded is a row, and what its columns held when it was loaded.
type loaded struct {
	Row
	columns map[string]any
}

func loadOne(t *testing.T, db conn, users Users, id int64) *loaded {
	t.Helper()
	found := Load(t, db, id)
	if len(found) != 1 {
		t.Fatalf("there are %d rows %d", len(found), id)
	}
	return &loaded{Row: rowsOf(t, users, found)[0], columns: found[0]}
}

// keyNames are the names of the key columns.
var keyNames = map[string]string{"encrypted_kms_key": "", "encrypted_kms_key_phone": "phone", "encrypted_kms_key_street": "street"}

// stored are the columns that an UPDATE compares: the key columns, of which rowseal says what they held, the others that it
// writes, and the name, which a context uses.
func (l *loaded) stored() (map[string]any, error) {
	compared := maps.Clone(l.columns)
	for column, name := range keyNames {
		key, err := l.Key(name)
		if err != nil {
			return nil, err
		}
		value, loaded := key.Stored()
		if !loaded {
			return nil, fmt.Errorf("%s was not loaded", column)
		}
		compared[column] = value
	}
	return compared, nil
}

// save writes every sealed column of the row, and others, in one UPDATE, if they still hold what was loaded. SQLite's IS
// compares NULLs too, and bytes. It returns how many rows were written.
func (l *loaded) save(ctx context.Context, db conn, others map[string]any) (int64, error) {
	values, err := l.Sealed()
	if err != nil {
		return 0, err
	}
	compared, err := l.stored()
	if err != nil {
		return 0, err
	}
	for column, v := range others {
		values[column] = v
	}
	var args []any
	list := func(columns []string, operator, join string, value func(string) any) string {
		var terms []string
		for _, column := range columns {
			terms = append(terms, column+operator)
			args = append(args, value(column))
		}
		return strings.Join(terms, join)
	}
	query := "UPDATE users SET " + list(slices.Sorted(maps.Keys(values)), " = ?", ", ", func(c string) any { return values[c] }) +
		" WHERE " + list(slices.Sorted(maps.Keys(compared)), " IS ?", " AND ", func(c string) any { return compared[c] })
	result, err := db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	if n == 1 {
		l.remember(values)
	}
	return n, err
}

// remember takes what was written for what the database holds.
func (l *loaded) remember(written map[string]driver.Value) {
	l.columns = maps.Clone(l.columns)
	for column, v := range written {
		l.columns[column] = v
	}
}

// mustSave is save where nobody else writes.
func (l *loaded) mustSave(t *testing.T, db conn, users Users, others map[string]any) {
	t.Helper()
	n, err := l.save(t.Context(), db, others)
	if n != 1 || err != nil {
		t.Fatalf("%d rows were written, %v", n, err)
	}
	must(t, users.Committed(t.Context(), l.Row))
}

// insert writes a new row.
func insert(t *testing.T, db conn, columns map[string]any) (id int64) {
	t.Helper()
	names := slices.Sorted(maps.Keys(columns))
	var args []any
	for _, name := range names {
		args = append(args, columns[name])
	}
	const now = "2027-01-02 03:04:05.678901"
	result, err := db.ExecContext(t.Context(), "INSERT INTO users ("+strings.Join(names, ", ")+", created_at, updated_at) VALUES (?"+
		strings.Repeat(", ?", len(names)+1)+")", append(args, now, now)...)
	must(t, err)
	id, err = result.LastInsertId()
	must(t, err)
	return id
}

// snapshot is the table byte for byte: every cell of every row as an SQL literal, which tells text from bytes and NULL.
func snapshot(t *testing.T, db conn) map[string]string {
	t.Helper()
	columns := append([]string{"name", "created_at", "updated_at"}, sealed()...)
	rows, err := db.QueryContext(t.Context(), "SELECT id, quote("+strings.Join(columns, "), quote(")+") FROM users")
	must(t, err)
	defer rows.Close()
	cells := map[string]string{}
	for rows.Next() {
		var id int64
		literals, targets := make([]string, len(columns)), []any{&id}
		for i := range literals {
			targets = append(targets, &literals[i])
		}
		must(t, rows.Scan(targets...))
		for i, column := range columns {
			cells[fmt.Sprintf("%d %s", id, column)] = literals[i]
		}
	}
	must(t, rows.Err())
	return cells
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
