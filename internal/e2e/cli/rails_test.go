package cli

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
	"github.com/rowseal/rowseal/vectors"
)

// railsTable is a database that a Rails application wrote, which may have been moved to another server.
type railsTable struct {
	shell
	*testing.T
	address, keyID string
	rows           []map[string]any // with the values that Ruby had
}

// columnOf are the columns of Ruby's attributes.
var columnOf = map[string]string{
	"id": "id", "name": "name", "email": "email_ciphertext", "email_bidx": "email_bidx", "date_of_birth": "date_of_birth_ciphertext", "balance": "balance_ciphertext",
	"notes": "notes_ciphertext", "ssn": "encrypted_ssn", "phone": "phone_ciphertext", "street": "street_ciphertext", "license_sha256": "license",
}

func newRailsTable(t *testing.T, d dbtest.Database, name string, sh shell) *railsTable {
	t.Helper()
	var expected struct {
		KeyID     string `json:"key_id"`
		MasterKey string `json:"lockbox_master_key"`
		Rows      []map[string]any
	}
	text, err := vectors.FS.ReadFile("rails/" + name + ".json")
	must(t, err)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	must(t, decoder.Decode(&expected))
	file, err := vectors.FS.ReadFile("rails/" + name + ".sqlite3")
	must(t, err)
	path := sh.file(t, name+".sqlite3", file)
	r := &railsTable{T: t, address: "sqlite:" + path, keyID: expected.KeyID, rows: expected.Rows}
	if d.Name != "SQLite" {
		dsn := d.New(t)
		copyUsers(t, path, d, dsn)
		r.address = addressOf(t, d, dsn)
	}
	r.shell = sh.with("LOCKBOX_MASTER_KEY="+expected.MasterKey, "ROWSEAL_LOCAL_KEYS="+filepath.Join(sh.dir, "keys"))
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// addressOf is the name of a database, as rowseal.yaml has it.
func addressOf(t *testing.T, d dbtest.Database, dsn string) string {
	t.Helper()
	if d.Name == "PostgreSQL" {
		return dsn
	}
	socket, rest, ok := strings.Cut(strings.TrimPrefix(dsn, "root@unix("), ")/")
	name, _, _ := strings.Cut(rest, "?")
	if !ok {
		t.Fatalf("the name of the database is %s", dsn)
	}
	return "mysql://root@/" + name + "?socket=" + url.QueryEscape(socket)
}

// copyUsers copies Rails's table into another database.
func copyUsers(t *testing.T, from string, d dbtest.Database, dsn string) {
	t.Helper()
	bytes := map[string]string{"PostgreSQL": "bytea", "MariaDB": "longblob"}[d.Name]
	copyTable(t, from, d, dsn, "users", []string{"id BIGINT PRIMARY KEY", "name VARCHAR(255)", "email_ciphertext TEXT", "email_bidx VARCHAR(255)",
		"date_of_birth_ciphertext TEXT", "balance_ciphertext TEXT", "notes_ciphertext TEXT", "encrypted_ssn TEXT", "encrypted_ssn_iv TEXT", "phone_ciphertext TEXT",
		"street_ciphertext TEXT", "license " + bytes, "encrypted_kms_key TEXT", "encrypted_kms_key_phone TEXT", "encrypted_kms_key_street TEXT"})
}

// copyTable makes a table of these columns in another database, and fills it from a file of SQLite.
func copyTable(t *testing.T, from string, d dbtest.Database, dsn, table string, columns []string) {
	t.Helper()
	source, err := sql.Open("sqlite", from)
	must(t, err)
	defer source.Close()
	to, err := sql.Open(d.Driver, dsn)
	must(t, err)
	defer to.Close()
	quote := map[string]string{"PostgreSQL": `"`, "MariaDB": "`"}[d.Name]
	var definitions, inSource, inCopy, marks []string
	for i, c := range columns {
		name, typ, _ := strings.Cut(c, " ")
		inSource, inCopy, definitions = append(inSource, `"`+name+`"`), append(inCopy, quote+name+quote), append(definitions, quote+name+quote+" "+typ)
		marks = append(marks, "?")
		if d.Name == "PostgreSQL" {
			marks[i] = fmt.Sprintf("$%d", i+1)
		}
	}
	_, err = to.ExecContext(t.Context(), "CREATE TABLE "+table+" ("+strings.Join(definitions, ", ")+")")
	must(t, err)
	rows, err := source.QueryContext(t.Context(), "SELECT "+strings.Join(inSource, ", ")+" FROM "+table)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		values, pointers := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			pointers[i] = &values[i]
		}
		must(t, rows.Scan(pointers...))
		_, err := to.ExecContext(t.Context(), "INSERT INTO "+table+" ("+strings.Join(inCopy, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", values...)
		must(t, err)
	}
	must(t, rows.Err())
}

// configure writes rowseal.yaml; versions are those of every key, the first seals.
func (r *railsTable) configure(versions string) {
	r.Helper()
	text := fmt.Sprintf(`database: %q
tables:
  users:
    model: User
    binding: none
    master_keys: {lockbox: {key: "${LOCKBOX_MASTER_KEY}"}}
    keys:
      encrypted_kms_key: {versions: [%[2]s]}
      encrypted_kms_key_phone: {versions: [%[2]s], context: {purpose: phone, name: "{name}"}}
      encrypted_kms_key_street:
        versions: [%[3]s]
        context: {model_name: User, model_id: "{id}", v: 2}
    fields:
      email_ciphertext: {key: encrypted_kms_key}
      date_of_birth_ciphertext: {key: encrypted_kms_key, type: date}
      balance_ciphertext: {key: encrypted_kms_key, type: integer}
      notes_ciphertext: {key: encrypted_kms_key, padding: 16, associated_data: users.notes}
      encrypted_ssn: {key: encrypted_kms_key, codec: attr_encrypted}
      phone_ciphertext: {key: encrypted_kms_key_phone}
      street_ciphertext: {key: encrypted_kms_key_street}
      license: {key: encrypted_kms_key, type: binary, encode: false}
    indexes:
      email_bidx: {of: email_ciphertext, normalize: lower, master_key: lockbox}
`, r.address, versions, r.street(versions))
	must(r.T, os.WriteFile(filepath.Join(r.dir, "rowseal.yaml"), []byte(text), 0o600))
}

// street are the versions of the third key, which was at version 2 when Rails wrote it.
func (r *railsTable) street(versions string) string {
	old := fmt.Sprintf("{version: 1, key_id: %s}", r.keyID)
	both := fmt.Sprintf("{version: 2, key_id: %s}, {version: 1, key_id: %[1]s, context: {old: context}}", r.keyID)
	return strings.ReplaceAll(strings.ReplaceAll(versions, "{version: 2, key_id: local/", "{version: 3, key_id: local/"), old, both)
}

// equalsRuby compares every value of every row with what Ruby had.
func (r *railsTable) equalsRuby() {
	r.Helper()
	for _, want := range r.rows {
		var got []struct{ Columns map[string]any }
		decoder := json.NewDecoder(strings.NewReader(r.rowseal(r.T, "show", "users", fmt.Sprint(want["id"]), "--json").ok(r.T)))
		decoder.UseNumber()
		must(r.T, decoder.Decode(&got))
		for attribute, value := range want {
			shown := got[0].Columns[columnOf[attribute]]
			if text, ok := shown.(string); ok && attribute == "license_sha256" {
				content, err := base64.StdEncoding.DecodeString(text)
				must(r.T, err)
				sum := sha256.Sum256(content)
				shown = hex.EncodeToString(sum[:])
			}
			if shown != value {
				r.Errorf("row %v: %s is %v, and Ruby had %v", want["id"], attribute, shown, value)
			}
		}
	}
}

// rotatesThereAndBack runs the recipe of docs/rotation.md, and its reverse.
func (r *railsTable) rotatesThereAndBack() {
	old, fresh := fmt.Sprintf("{version: 1, key_id: %s}", r.keyID), "{version: 2, key_id: local/new}"
	r.rowseal(r.T, "keys", "create", "new").ok(r.T)
	r.configure(old)
	contains(r.T, r.rowseal(r.T, "status").ok(r.T), "users: 26 rows", "encrypted_kms_key_street  1        "+r.keyID)
	contains(r.T, r.rowseal(r.T, "verify").ok(r.T), "users: verify done in ", "26 rows, 0 changed, 26 unchanged")
	r.equalsRuby()

	r.configure(fresh + ", " + old)
	contains(r.T, r.rowseal(r.T, "rotate", "--dry-run").ok(r.T), "users: rewrap would visit 26 rows with 67 data keys to do")
	contains(r.T, r.rowseal(r.T, "rotate").ok(r.T), "26 rows, 26 changed", "encrypted_kms_key: version 1 ("+r.keyID+") may be retired")
	contains(r.T, r.rowseal(r.T, "verify").ok(r.T), "26 rows, 0 changed")
	r.configure(fresh) // the old key is retired
	r.equalsRuby()

	r.configure(old + ", " + fresh)
	contains(r.T, r.rowseal(r.T, "rotate", "--page", "5", "--json").ok(r.T), `"changed": 26`, `"quarantined": 0`)
	r.configure(old)
	contains(r.T, r.rowseal(r.T, "verify").ok(r.T), "26 rows, 0 changed")
	r.equalsRuby()

	r.configure(fresh + ", " + old)
	contains(r.T, r.rowseal(r.T, "rotate", "--rekey").ok(r.T), "26 rows, 26 changed")
	contains(r.T, r.rowseal(r.T, "status").ok(r.T), "version 1 ("+r.keyID+") is needed by the journal of a rekey, for 25 rows")
	contains(r.T, r.rowseal(r.T, "verify", "--grace", "0").ok(r.T), "26 rows, 0 changed")
	contains(r.T, r.rowseal(r.T, "status").ok(r.T), "encrypted_kms_key: version 1 ("+r.keyID+") may be retired")
	r.equalsRuby()
}

func TestWhatRailsWroteIsRotatedThereAndBack(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		newRailsTable(t, d, "insecure", newShell(t)).rotatesThereAndBack()
	})
}

func TestWhatRailsWroteWithVaultIsRotatedThereAndBack(t *testing.T) {
	vaulttest.Each(t, func(t *testing.T, s *vaulttest.Server) {
		backup, err := vectors.FS.ReadFile("rails/vault_key_backup.txt")
		must(t, err)
		s.Restore(t, "my-key", strings.TrimSpace(string(backup)))
		newRailsTable(t, dbtest.SQLite, "vault", vault{s}.with(t, "seal", "open", "rotate")).rotatesThereAndBack()
	})
}
