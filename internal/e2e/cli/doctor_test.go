package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// finding is one of doctor --json.
type finding struct{ Level, Table, Place, Problem string }

// sickUsers are the statements that make a table with something wrong, by database: types are those of a text, of an index and
// of bytes.
func sickUsers(d dbtest.Database) []string {
	types := map[string][]string{
		"PostgreSQL": {"varchar(30)", "varchar(44)", "bytea"},
		"MariaDB":    {"varchar(30)", "varchar(44)", "longblob"},
		"SQLite":     {"INTEGER", "TEXT COLLATE NOCASE", "BLOB"},
	}[d.Name]
	elsewhere := map[string][]string{
		"PostgreSQL": {"CREATE SCHEMA tenant", "CREATE TABLE tenant.users (id bigint PRIMARY KEY, encrypted_kms_key text)"},
	}[d.Name]
	return append(elsewhere,
		fmt.Sprintf(`CREATE TABLE users (id bigint PRIMARY KEY, email text, email_ciphertext %s, email_bidx %s, license %s, encrypted_kms_key text, encrypted_ssn text)`,
			types[0], types[1], types[2]),
		"INSERT INTO users (id, email, encrypted_kms_key) VALUES (1, 'hunter2', 'v1:AAAA'), (2, NULL, 'v9:AAAA'), (3, '', NULL), (4, NULL, 'AAAA')",
		"CREATE TABLE accounts (id bigint PRIMARY KEY, iban_ciphertext text, encrypted_kms_key text, report_file text)",
		"CREATE TABLE reports (id bigint PRIMARY KEY, report_file text)",
	)
}

const sickFile = `
  users:
    model: User
    binding: none
    master_keys: {blind_index: {key: "${INDEX_KEY}"}}
    keys: {encrypted_kms_key: {versions: [{version: 2, key_id: local/users}, {version: 1, key_id: local/lost}]}}
    fields: {email_ciphertext: {key: encrypted_kms_key}, license: {key: encrypted_kms_key, type: binary, encode: false}}
    indexes: {email_bidx: {of: email_ciphertext}}
`

func (s shell) doctor(t *testing.T, args ...string) (code int, found []finding) {
	t.Helper()
	r := s.rowseal(t, append([]string{"doctor", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.stdout), &found); err != nil {
		t.Fatalf("exit code %d, %s%s", r.code, r.stdout, r.stderr)
	}
	return r.code, found
}

func TestTheDoctorFindsWhatIsWrongInADatabase(t *testing.T) {
	width := map[string]string{"PostgreSQL": "it is character varying(30), and a sealed string of one byte takes 40 bytes", "MariaDB": "it is varchar(30), and a sealed string of one byte takes 40 bytes",
		"SQLite": "it is INTEGER, which does not hold a sealed string"}
	schema := map[string]string{"PostgreSQL": "public", "SQLite": "main"}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		sh := newShell(t)
		sh = sh.with("ROWSEAL_LOCAL_KEYS="+filepath.Join(sh.dir, "keys"), "INDEX_KEY="+strings.Repeat("01", 32)).hiding("hunter2", strings.Repeat("01", 32))
		address := script(t, d, sh, sickUsers(d)...)
		script(t, d, newShell(t), "CREATE TABLE others (encrypted_kms_key text)") // in another database
		sh.configure(t, address, sickFile)
		sh.rowseal(t, "keys", "create", "users").ok(t)
		want := []finding{
			{"fault", "users", "email_ciphertext", width[d.Name]},
			{"fault", "users", "encrypted_ssn", "it looks sealed and is not declared"},
			{"fault", "users", "encrypted_kms_key", "rows cannot be opened with version 1, local/lost: no file"},
			{"fault", "users", "encrypted_kms_key", "1 row of version 9, which the file does not have"},
			{"fault", "users", "encrypted_kms_key", "1 row of the form without a version"},
			{"warning", "users", "email", "it has plaintext, beside email_ciphertext"},
			{"note", "users", "", "bound to nothing: email_ciphertext, license"},
		}
		if d.Name == "PostgreSQL" {
			want = append(want, finding{"warning", "tenant.users", "encrypted_kms_key", "does not have the table"})
		} else { // PostgreSQL's columns compare bytes
			want = append(want, finding{"fault", "users", "email_bidx", "it is compared by a collation that takes some letters for others"})
		}
		inSchema := schema[d.Name]
		if inSchema == "" {
			inSchema = address[strings.LastIndex(address, "/root@/")+len("/root@/"):]
			inSchema, _, _ = strings.Cut(inSchema, "?")
		}
		want = append(want, finding{"warning", inSchema + ".accounts", "iban_ciphertext, encrypted_kms_key", "does not have the table"})
		code, found := sh.doctor(t)
		for _, w := range want {
			at := slices.IndexFunc(found, func(f finding) bool {
				return f.Level == w.Level && f.Table == w.Table && f.Place == w.Place && strings.Contains(f.Problem, w.Problem)
			})
			if at < 0 {
				t.Errorf("it does not find %v", w)
				continue
			}
			found = slices.Delete(found, at, at+1)
		}
		if code != 1 || len(found) > 0 {
			t.Errorf("exit code %d; it finds %v, too", code, found)
		}
		if _, found := sh.doctor(t, "--no-requests"); slices.ContainsFunc(found, func(f finding) bool { return strings.Contains(f.Problem, "local/lost") }) {
			t.Errorf("without requests it finds %v", found)
		}
		r := sh.rowseal(t, "doctor")
		contains(t, r.stdout, "\n\nusers\n  fault     ", "\n  fault     email_ciphertext: it is ", "\n\n"+inSchema+".accounts\n  warning   iban_ciphertext, encrypted_kms_key: ")
		contains(t, r.stderr, " faults found\n")
	})
}

// TestTheDoctorFindsNothingWrongInWhatRailsWrote but that MariaDB's usual collation takes a for A.
func TestTheDoctorFindsNothingWrongInWhatRailsWrote(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		r := newRailsTable(t, d, "insecure", newShell(t))
		r.configure("{version: 1, key_id: " + r.keyID + "}")
		_, found := r.doctor(t)
		for _, f := range found {
			if f.Level == "fault" && (d.Name != "MariaDB" || f.Place != "email_bidx") {
				t.Errorf("%v", f)
			}
		}
	})
}

// TestTheDoctorTellsWhichRightIsMissing: to a token of Vault with each right.
func TestTheDoctorTellsWhichRightIsMissing(t *testing.T) {
	const table = `
  users:
    model: User
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: vault/my-key}]}}
    fields: {email_ciphertext: {key: encrypted_kms_key}}
`
	const make = "CREATE TABLE users (id bigint PRIMARY KEY, email_ciphertext text, encrypted_kms_key text)"
	eachVault(t, func(t *testing.T, v vault) {
		for _, tc := range []struct {
			rights, args []string
			faults       []string
		}{
			{rights: []string{"seal", "open"}},
			{rights: []string{"open"}, args: []string{"--open-only"}},
			{rights: []string{"open"}, faults: []string{"new rows cannot be sealed with version 1, vault/my-key: "}},
			{rights: []string{"seal"}, faults: []string{"rows cannot be opened with version 1, vault/my-key: "}},
			{rights: []string{"seal"}, args: []string{"--no-requests"}},
		} {
			sh := v.with(t, tc.rights...)
			sh.configure(t, script(t, dbtest.SQLite, sh, make), table)
			_, found := sh.doctor(t, tc.args...)
			if len(found) != len(tc.faults) {
				t.Errorf("%v %v: it finds %v", tc.rights, tc.args, found)
				continue
			}
			for i, want := range tc.faults {
				if f := found[i]; f.Level != "fault" || f.Place != "encrypted_kms_key" || !strings.Contains(f.Problem, want) ||
					!strings.Contains(f.Problem, "access denied; give this program the right (rowseal policy --key-id vault/my-key --") {
					t.Errorf("%v %v: it finds %v", tc.rights, tc.args, f)
				}
			}
		}
	})
}

// TestTheDoctorTellsWhatADatabaseUserMayNot: one who may only read.
func TestTheDoctorTellsWhatADatabaseUserMayNot(t *testing.T) {
	reader := map[string][]string{
		"PostgreSQL": {"CREATE ROLE reader LOGIN", "GRANT SELECT ON users TO reader"},
		"MariaDB":    {"CREATE USER reader@localhost", "GRANT SELECT ON users TO reader@localhost"},
	}
	const table = `
  users:
    model: User
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: local/users}]}}
    fields: {email_ciphertext: {key: encrypted_kms_key}}
`
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		if d.Name == "SQLite" { // which has no users
			return
		}
		sh := newShell(t)
		sh = sh.with("ROWSEAL_LOCAL_KEYS=" + filepath.Join(sh.dir, "keys"))
		sh.rowseal(t, "keys", "create", "users").ok(t)
		address := script(t, d, sh, append([]string{"CREATE TABLE users (id bigint PRIMARY KEY, email_ciphertext text, encrypted_kms_key text)"}, reader[d.Name]...)...)
		sh.configure(t, address, table)
		if code, found := sh.doctor(t); code != 0 {
			t.Errorf("to who may do everything it finds %v", found)
		}
		sh.configure(t, userInURL.ReplaceAllString(address, "//reader@"), table)
		_, found := sh.doctor(t)
		found = slices.DeleteFunc(found, func(f finding) bool { return f.Level != "fault" })
		if len(found) != 2 {
			t.Errorf("it finds %v", found)
		}
		for _, f := range found {
			contains(t, f.Problem, "may neither INSERT it nor UPDATE it; GRANT what the program needs, or use --open-only, if it writes no rows")
		}
		if code, found := sh.doctor(t, "--open-only"); code != 0 {
			t.Errorf("it finds %v", found)
		}
	})
}
