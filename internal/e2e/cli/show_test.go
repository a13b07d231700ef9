package cli

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/vectors"
)

const secondRow = `id                        2
name                      Name 1 é
email_ciphertext          User1.369977@Example.org
email_bidx                3C9l1JLf7YeoPSsVFJtlhz8JXloPjjzV9khBMsSIv3o=
date_of_birth_ciphertext  1951-01-18
balance_ciphertext        -160593530918477096
notes_ciphertext          note 1 漢漢漢漢漢漢漢漢漢漢漢漢漢
encrypted_ssn             627-47-4074
phone_ciphertext          555-0542
street_ciphertext         71 Main St
license                   [1478 bytes]
`

// TestShowSaysTheSameOnEveryDatabase is cmd/rowseal/testdata/script/show.txtar where the rows are on a server.
func TestShowSaysTheSameOnEveryDatabase(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		r := newRailsTable(t, d, "insecure", newShell(t))
		r.configure("{version: 1, key_id: " + r.keyID + "}")
		show := func(args ...string) result { return r.rowseal(t, append([]string{"show", "users"}, args...)...) }
		for _, args := range [][]string{{"2"}, {"--by", "email_bidx=USER1.369977@example.org"}} {
			if got, _, _ := strings.Cut(show(args...).ok(t), "created_at"); got != secondRow {
				t.Errorf("%v: it shows\n%s", args, got)
			}
		}
		contains(t, show("2", "--key", "phone").ok(t), "email_ciphertext          [sealed]\n", "phone_ciphertext          555-0542\n")
		contains(t, show("2", "--json").ok(t), `"balance_ciphertext": -160593530918477096`, `"name": "Name 1 é"`, `"id": 2`)
		for _, id := range []string{"999", "2 OR 1=1", "2a", "2.0", "", "0x2", "nobody", "99999999999999999999"} {
			show("--", id).fails(t, fmt.Sprintf("error: table users has no row whose id is %q\n", id))
		}
		show("--by", "email_bidx=nobody@example.org").fails(t, "error: table users has no row with this value of email_bidx\n")
		show("1", "--file", "license", "-o", "license.bin").ok(t)
		if content, err := os.ReadFile(filepath.Join(r.dir, "license.bin")); err != nil || len(content) != 144 {
			t.Errorf("the file has %d bytes (%v)", len(content), err)
		}
	})
}

// things have a column of each kind that is not sealed, by the databases' types.
var things = map[string][]string{
	"PostgreSQL": {"uuid", "smallint", "numeric(10,2)", "double precision", "date", "boolean", "varchar(20)", "bytea", "jsonb", `'\x00ff'`},
	"MariaDB":    {"char(36)", "smallint", "decimal(10,2)", "double", "date", "boolean", "varchar(20)", "varbinary(10)", "json", "x'00ff'"},
	"SQLite":     {"TEXT", "INTEGER", "TEXT", "REAL", "TEXT", "BOOLEAN", "TEXT", "BLOB", "TEXT", "x'00ff'"},
}

const thing = "5b1a0c6e-3d5b-4a39-9d51-000000000001"

func makeThings(types []string) []string {
	return []string{
		fmt.Sprintf(`CREATE TABLE things (code %s PRIMARY KEY, small %s, price %s, weight %s, made %s, ok %s, words %s, raw %s, about %s,
			missing text, encrypted_kms_key text, name_ciphertext text)`, types[0], types[1], types[2], types[3], types[4], types[5], types[6], types[7], types[8]),
		"INSERT INTO things VALUES ('" + thing + `', -7, '12.50', 0.25, '2026-01-31', true, 'é漢', ` + types[9] + `, '{"a": 1}', NULL, NULL, NULL)`,
	}
}

// script runs statements in a new database, and returns its address as rowseal.yaml has it.
func script(t *testing.T, d dbtest.Database, sh shell, statements ...string) (address string) {
	t.Helper()
	dsn := d.New(t)
	address = "sqlite:" + sh.dir + "/test.sqlite3"
	if d.Name == "SQLite" {
		dsn = "file:" + sh.dir + "/test.sqlite3"
	} else {
		address = addressOf(t, d, dsn)
	}
	db, err := sql.Open(d.Driver, dsn)
	must(t, err)
	defer db.Close()
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		must(t, err)
	}
	return address
}

func TestShowPrintsWhatIsNotSealedAsItIs(t *testing.T) {
	const want = `code             5b1a0c6e-3d5b-4a39-9d51-000000000001
small            -7
price            12.50
weight           0.25
made             2026-01-31
ok               true
words            é漢
raw              [2 bytes]
about            {"a": 1}
missing          NULL
name_ciphertext  NULL
`
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		sh := newShell(t)
		sh.configure(t, script(t, d, sh, makeThings(things[d.Name])...), `
  things:
    model: Thing
    primary_key: code
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}
    fields: {name_ciphertext: {key: encrypted_kms_key}}
`)
		got := sh.rowseal(t, "show", "things", thing).ok(t)
		if d.Name != "PostgreSQL" { // which alone knows booleans
			got = strings.Replace(got, "ok               1", "ok               true", 1)
		}
		if got != want {
			t.Errorf("it shows\n%s", got)
		}
		contains(t, sh.rowseal(t, "show", "things", thing, "--json").ok(t), `"id": "`+thing+`"`, `"small": -7`, `"price": "12.50"`, `"made": "2026-01-31"`, `"raw": "AP8="`)
		sh.rowseal(t, "show", "things", "nothing").fails(t, `error: table things has no row whose code is "nothing"`)
	})
}

func TestShowWritesAttachmentsOnEveryDatabase(t *testing.T) {
	var expected struct {
		MasterKey string `json:"lockbox_master_key"`
		Rows      []struct {
			ID          json.Number
			Attachments []struct {
				Name, Filename string
				Sum            string `json:"plaintext_sha256"`
			}
		}
	}
	text, err := vectors.FS.ReadFile("activestorage/expected.json")
	must(t, err)
	must(t, json.Unmarshal(text, &expected))
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		sh := newShell(t).with("AS_MASTER_KEY=" + expected.MasterKey).hiding(expected.MasterKey)
		files, err := fs.Sub(vectors.FS, "activestorage")
		must(t, err)
		must(t, os.CopyFS(sh.dir, files))
		path := filepath.Join(sh.dir, "app.sqlite3")
		address := "sqlite:" + path
		if d.Name != "SQLite" {
			dsn := d.New(t)
			address = addressOf(t, d, dsn)
			copyTable(t, path, d, dsn, "users", []string{"id bigint PRIMARY KEY", "name varchar(255)", "encrypted_kms_key text"})
			copyTable(t, path, d, dsn, "active_storage_blobs", []string{"id bigint PRIMARY KEY", "key varchar(255)", "filename varchar(255)", "content_type varchar(255)",
				"metadata text", "service_name varchar(255)", "byte_size bigint", "checksum varchar(255)", "created_at timestamp NULL"})
			copyTable(t, path, d, dsn, "active_storage_attachments", []string{"id bigint PRIMARY KEY", "name varchar(255)", "record_type varchar(255)", "record_id bigint",
				"blob_id bigint", "created_at timestamp NULL"})
		}
		sh.configure(t, address, `
  users:
    model: User
    binding: none
    master_keys: {lockbox: {key: "${AS_MASTER_KEY}"}}
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}
    attachments: {license: {key: encrypted_kms_key}, documents: {key: encrypted_kms_key}, avatar: {key: lockbox}}
storage: {local: dir:storage}
`)
		written := 0
		for _, row := range expected.Rows {
			id, number := row.ID.String(), map[string]int{}
			page := sh.rowseal(t, "show", "users", id).ok(t)
			for _, a := range row.Attachments {
				number[a.Name]++
				name := fmt.Sprintf("%s/%d", a.Name, number[a.Name])
				content := sh.rowseal(t, "show", "users", id, "--file", name, "-o", "-").ok(t)
				if sum := sha256.Sum256([]byte(content)); hex.EncodeToString(sum[:]) != a.Sum || !strings.Contains(page, a.Filename) {
					t.Errorf("row %s: the sum of %s is %x; it shows\n%s", id, a.Filename, sum, page)
				}
				written++
			}
		}
		if written != 14 {
			t.Errorf("%d attachments were written, not 14", written)
		}
	})
}

// The parts of an address of a server.
var (
	userInURL = regexp.MustCompile(`//[^@/]*@`)
	nameInURL = regexp.MustCompile(`@/[^?]*`)
)

// TestAServerThatCannotBeReachedIsToldShortly and without the password.
func TestAServerThatCannotBeReachedIsToldShortly(t *testing.T) {
	sh := newShell(t).hiding("hunter2", "hunter%32")
	for address, want := range map[string]string{
		"postgres://ada:hunter%32@127.0.0.1:1/app":         "error: database postgres://127.0.0.1:1/app: dial tcp 127.0.0.1:1: connect: connection refused\n",
		"mysql://ada:hunter%32@127.0.0.1:1/app":            "error: database mysql://127.0.0.1:1/app: dial tcp 127.0.0.1:1: connect: connection refused\n",
		"mariadb://ada:hunter2@/app?socket=/nowhere.sock":  "error: database mariadb:///nowhere.sock/app: dial unix /nowhere.sock: connect: no such file or directory\n",
		"postgres://ada:hunter2@127.0.0.1:1/app?sslmode=a": "error: database postgres://127.0.0.1:1/app: failed to configure TLS (sslmode is invalid)\n",
		"mysql://ada:hunter2@127.0.0.1:1/app?tls=maybe":    "error: database mysql://127.0.0.1:1/app: invalid value / unknown config name: maybe\n",
	} {
		sh.configure(t, address, sickFile)
		sh.with("INDEX_KEY="+strings.Repeat("01", 32)).rowseal(t, "status").fails(t, want)
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		if d.Name == "SQLite" { // which has no servers
			return
		}
		address := addressOf(t, d, d.New(t))
		for wrong, want := range map[string]string{
			userInURL.ReplaceAllString(address, "//ada:hunter2@"): map[string]string{"PostgreSQL": `role "ada" does not exist`, "MariaDB": "Access denied for user 'ada'@'localhost'"}[d.Name],
			nameInURL.ReplaceAllString(address, "@/nowhere"):      map[string]string{"PostgreSQL": `database "nowhere" does not exist`, "MariaDB": "Unknown database 'nowhere'"}[d.Name],
		} {
			sh.configure(t, wrong, sickFile)
			r := sh.with("INDEX_KEY="+strings.Repeat("01", 32)).rowseal(t, "status")
			r.fails(t, "error: database "+map[string]string{"PostgreSQL": "postgres", "MariaDB": "mysql"}[d.Name]+":///", want)
			if strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("it is told in several lines:\n%s", r.stderr)
			}
		}
	})
}

// TestWhatOnlyReadsCannotWrite: a condition that writes, as no condition should, is refused by the database.
func TestWhatOnlyReadsCannotWrite(t *testing.T) {
	writing := map[string][]string{
		"PostgreSQL": {"CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO written VALUES (1) RETURNING 1'"},
		"MariaDB":    {"CREATE FUNCTION writes() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO written VALUES (1); RETURN 1; END"},
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		if d.Name == "SQLite" { // whose functions do not write; cmd/rowseal/testdata/script/show.txtar compares the file
			return
		}
		sh := newShell(t)
		statements := append(makeThings(things[d.Name]), "CREATE TABLE written (n int)")
		sh.configure(t, script(t, d, sh, append(statements, writing[d.Name]...)...), `
  things:
    model: Thing
    primary_key: code
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}
    fields: {name_ciphertext: {key: encrypted_kms_key}}
`)
		r := sh.rowseal(t, "verify", "--stateless", "--where", "writes() = 1")
		if r.code != 1 || !regexp.MustCompile(`(?i)read.only transaction`).MatchString(r.stderr) {
			t.Errorf("exit code %d, %s", r.code, r.stderr)
		}
		sh.rowseal(t, "verify", "--where", "writes() = 1").ok(t) // which keeps its place, and so may write
	})
}

// configure writes rowseal.yaml with these tables.
func (s shell) configure(t *testing.T, address, tables string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(s.dir, "rowseal.yaml"), fmt.Appendf(nil, "database: %q\ntables:%s", address, tables), 0o600))
}
