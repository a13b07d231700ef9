package cli

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// ward is a directory with a database, its configuration and a local key, and what differs from a healthy one.
type ward struct {
	sql  string            // after the healthy table has been made
	file map[string]string // parts of the table in the file
	more string            // after the tables of the file
	env  map[string]string
}

const healthyTable = `CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, encrypted_kms_key TEXT, email_ciphertext TEXT, email_bidx TEXT)`

// noRegion is an environment in which no key of AWS opens.
var noRegion = map[string]string{"AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true"}

// newWard returns the name of the configuration.
func newWard(t *testing.T, w ward) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("ROWSEAL_LOCAL_KEYS", filepath.Join(dir, "keys"))
	t.Setenv("INDEX_KEY", strings.Repeat("01", 32))
	for name, value := range w.env {
		t.Setenv(name, value)
	}
	runOK(t, "keys", "create", "users")
	db, err := sql.Open("sqlite", filepath.Join(dir, "users.sqlite3"))
	if err == nil {
		_, err = db.ExecContext(t.Context(), healthyTable+";"+w.sql)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{
		"model": "User", "keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: local/users}]}}", "fields": "{email_ciphertext: {key: encrypted_kms_key}}",
		"indexes": `{email_bidx: {of: email_ciphertext, master_key: "${INDEX_KEY}"}}`,
	}
	maps.Copy(parts, w.file)
	text := "database: sqlite:users.sqlite3\ntables:\n  users:\n"
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if parts[name] != "" {
			text += "    " + name + ": " + parts[name] + "\n"
		}
	}
	file := filepath.Join(dir, "rowseal.yaml")
	if err := os.WriteFile(file, []byte(text+w.more), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTheDoctorFindsAFileThatMayNotBeWritten(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write to every file")
	}
	file := newWard(t, ward{})
	if err := os.Chmod(filepath.Join(filepath.Dir(file), "users.sqlite3"), 0o400); err != nil {
		t.Fatal(err)
	}
	if code, found := examined(t, file); code != exitFailed || len(found) != 1 || !strings.Contains(found[0].Problem, "may not write to its file") {
		t.Errorf("exit code %d, %v", code, found)
	}
	if code, found := examined(t, file, "--open-only"); code != exitOK || len(found) > 0 {
		t.Errorf("of one that only opens: exit code %d, %v", code, found)
	}
}

func examined(t *testing.T, file string, args ...string) (code int, found []finding) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(context.Background(), append([]string{"doctor", "--json", "--config", file}, args...), strings.NewReader(""), &out, &errs)
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatalf("exit code %d, %s%s", code, &out, &errs)
	}
	return code, found
}

func TestTheDoctorFindsNothingWhereNothingIsWrong(t *testing.T) {
	file := newWard(t, ward{})
	if code, found := examined(t, file); code != exitOK || len(found) > 0 {
		t.Errorf("exit code %d, %v", code, found)
	}
	page := runOK(t, "doctor", "--config", file)
	if !strings.Contains(page, "users.sqlite3: 0 faults, 0 warnings, 0 notes\n\nusers\n  nothing was found\n") {
		t.Errorf("it prints\n%s", page)
	}
}

func TestAPrimaryKeyOfSeveralColumnsIsNoFault(t *testing.T) {
	table := strings.NewReplacer("id INTEGER PRIMARY KEY", "tenant INTEGER, id INTEGER", "email_bidx TEXT", "email_bidx TEXT, PRIMARY KEY (tenant, id)").Replace(healthyTable)
	code, found := examined(t, newWard(t, ward{sql: "DROP TABLE users; " + table}))
	if code != exitOK || len(found) > 0 {
		t.Errorf("exit code %d, %v", code, found)
	}
}

func TestTheDoctorFindsWhatIsWrong(t *testing.T) {
	const twoKeys = "{encrypted_kms_key: {versions: [{version: 1, key_id: local/users}], context: {id: \"{id}\"}}, " +
		"encrypted_kms_key_phone: {versions: [{version: 1, key_id: local/users}], context: {id: \"{id}\"}}}"
	const twoFields = "{email_ciphertext: {key: encrypted_kms_key}, phone_ciphertext: {key: encrypted_kms_key_phone}}"
	const phone = "ALTER TABLE users ADD encrypted_kms_key_phone TEXT; ALTER TABLE users ADD phone_ciphertext TEXT;"
	for _, tc := range []struct {
		name string
		ward
		args []string
		want finding // its Problem is a part of one that is found
	}{
		{name: "no table", ward: ward{sql: "DROP TABLE users; CREATE TABLE people (id INTEGER)"}, want: finding{isFault, "users", "", "there is no table users among the 1"}},
		{name: "no column", ward: ward{sql: "ALTER TABLE users DROP email_ciphertext"}, want: finding{isFault, "users", "email_ciphertext", "has no such column"}},
		{name: "no key column", ward: ward{sql: "ALTER TABLE users DROP encrypted_kms_key"}, want: finding{isFault, "users", "encrypted_kms_key", "has no such column"}},
		{name: "another kind", ward: ward{sql: "DROP TABLE users; " + strings.Replace(healthyTable, "email_ciphertext TEXT", "email_ciphertext INTEGER", 1)},
			want: finding{isFault, "users", "email_ciphertext", "which does not hold a sealed string"}},
		{name: "undeclared", ward: ward{sql: "ALTER TABLE users ADD encrypted_ssn TEXT"}, want: finding{isFault, "users", "encrypted_ssn", "name it under unsealed"}},
		{name: "undeclared, to who only opens", ward: ward{sql: "ALTER TABLE users ADD encrypted_ssn TEXT"}, args: []string{"--open-only"},
			want: finding{isNote, "users", "encrypted_ssn", "is not declared"}},
		{name: "no primary key", ward: ward{sql: "DROP TABLE users; " + strings.Replace(healthyTable, "id INTEGER PRIMARY KEY", "id INTEGER", 1)},
			want: finding{isFault, "users", "", "the table has no primary key, by which 'rowseal rotate'"}},
		{name: "no column to move from", ward: ward{file: map[string]string{"fields": "{email_ciphertext: {key: encrypted_kms_key, migrating: emial}}"}},
			want: finding{isWarning, "users", "emial", "the table has no such column, whose values are to move into email_ciphertext"}},
		{name: "primary key", ward: ward{file: map[string]string{"primary_key": "name"}}, want: finding{isFault, "users", "name", "which is id; name that as primary_key"}},
		{name: "no column of the context", ward: ward{file: map[string]string{"keys": `{encrypted_kms_key: {versions: [{version: 1, key_id: local/users}], context: {id: "{id}", n: "{nick}"}}}`}},
			want: finding{isFault, "users", "nick", "for the encryption context or keyring; add it, or name the one that is meant in the file"}},
		{name: "lost key", ward: ward{file: map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: local/lost}]}}"}},
			want: finding{isFault, "users", "encrypted_kms_key", "new rows cannot be sealed with version 1, local/lost: no file "}},
		{name: "id that does not open", ward: ward{file: map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: alias/users}]}}"}, env: noRegion},
			want: finding{isFault, "users", "", "rowseal.yaml:6: tables.users.keys.encrypted_kms_key.versions[1]: "}},
		{name: "no variable", ward: ward{file: map[string]string{"indexes": `{email_bidx: {of: email_ciphertext, master_key: "${NOWHERE}"}}`}},
			want: finding{isFault, "users", "", "rowseal.yaml:5: tables.users.indexes.email_bidx.master_key: the environment variable NOWHERE is not set"}},
		{name: "a bad key in a variable", ward: ward{env: map[string]string{"INDEX_KEY": "hunter2"}},
			want: finding{isFault, "users", "", "master_key: is neither a key of 64 hex digits"}},
		{name: "master key that does not open", ward: ward{file: map[string]string{
			"master_keys": "{blind_index: {wrapped: v1:AAAA, key_id: local/users}}", "indexes": "{email_bidx: {of: email_ciphertext}}"}},
			want: finding{isFault, "users", "", "rowseal.yaml:7: tables.users.master_keys.blind_index: "}},
		{name: "unknown version", ward: ward{sql: "INSERT INTO users (id, encrypted_kms_key) VALUES (1, 'v1:AAAA'), (2, 'v7:AAAA'), (3, 'v7:AAAA')"},
			want: finding{isFault, "users", "encrypted_kms_key", "2 rows of version 7, which the file does not have; add it, or they do not open"}},
		{name: "no version", ward: ward{sql: "INSERT INTO users (id, encrypted_kms_key) VALUES (1, 'AAAA')"},
			want: finding{isFault, "users", "encrypted_kms_key", "1 row of the form without a version"}},
		{name: "equal contexts", ward: ward{sql: phone, file: map[string]string{"keys": twoKeys, "fields": twoFields}},
			want: finding{isWarning, "users", "encrypted_kms_key, encrypted_kms_key_phone", "the contexts of version 1 are alike"}},
		{name: "no row in the context", ward: ward{file: map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: local/users}], context: {name: \"{name}\"}}}"}},
			want: finding{isWarning, "users", "encrypted_kms_key", "does not name id"}},
		{name: "test key", ward: ward{file: map[string]string{"keys": "{encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}"}},
			want: finding{isWarning, "users", "encrypted_kms_key", "protects nothing"}},
		{name: "forgotten table", ward: ward{sql: "CREATE TABLE accounts (id INTEGER, encrypted_kms_key TEXT, iban_ciphertext TEXT)"},
			want: finding{isWarning, "main.accounts", "encrypted_kms_key, iban_ciphertext", "rowseal.yaml does not have the table; add it"}},
		{name: "plaintext", ward: ward{sql: "ALTER TABLE users ADD email TEXT; INSERT INTO users (email) VALUES ('hunter2')"},
			want: finding{isWarning, "users", "email", "it has plaintext, beside email_ciphertext; if they are the same values, give email_ciphertext migrating: email"}},
		{name: "empty plaintext", ward: ward{sql: "ALTER TABLE users ADD email TEXT; INSERT INTO users (email) VALUES (''), (NULL)"},
			want: finding{isNote, "users", "email", "it has no values, beside email_ciphertext; drop it"}},
		{name: "migrating", ward: ward{sql: "ALTER TABLE users ADD mail TEXT; INSERT INTO users (mail) VALUES ('hunter2')",
			file: map[string]string{"fields": "{email_ciphertext: {key: encrypted_kms_key, migrating: mail}}"}},
			want: finding{isWarning, "users", "mail", "it has plaintext that is to move into email_ciphertext; 'rowseal migrate' seals it"}},
		{name: "migrated", ward: ward{sql: "ALTER TABLE users ADD mail TEXT; INSERT INTO users (mail) VALUES (NULL)",
			file: map[string]string{"fields": "{email_ciphertext: {key: encrypted_kms_key, migrating: mail}}"}},
			want: finding{isNote, "users", "mail", "take migrating: mail out of email_ciphertext, and drop the column"}},
		{name: "migrating another field", ward: ward{sql: "ALTER TABLE users ADD old_ciphertext TEXT; INSERT INTO users (old_ciphertext) VALUES ('AAAA')",
			file: map[string]string{"master_keys": `{lockbox: {key: "${INDEX_KEY}"}}`, "binding": "none",
				"fields": "{email_ciphertext: {key: encrypted_kms_key, migrating: old_ciphertext}, old_ciphertext: {key: lockbox}}"}},
			want: finding{isNote, "users", "old_ciphertext", "it has values that are to move into email_ciphertext"}},
		{name: "no directory", ward: ward{sql: "ALTER TABLE users ADD license_file TEXT", file: map[string]string{"files": "{license_file: {key: encrypted_kms_key, store: dir:nowhere}}"}},
			want: finding{isWarning, "users", "license_file", "there is no directory "}},
		{name: "no attachments", ward: ward{more: "storage: {local: dir:.}\n", file: map[string]string{"attachments": "{photo: {key: encrypted_kms_key}}"}},
			want: finding{isFault, "users", "", "no table active_storage_attachments"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, found := examined(t, newWard(t, tc.ward), tc.args...)
			if !slices.ContainsFunc(found, func(f finding) bool {
				return f.Level == tc.want.Level && f.Table == tc.want.Table && f.Place == tc.want.Place && strings.Contains(f.Problem, tc.want.Problem)
			}) {
				t.Errorf("it does not find %v, but %v", tc.want, found)
			}
			faults := slices.ContainsFunc(found, func(f finding) bool { return f.Level == isFault })
			if (code == exitFailed) != faults || (tc.want.Level == isFault) != faults {
				t.Errorf("exit code %d for %v", code, found)
			}
			for _, f := range found {
				for _, word := range []string{"hunter2", "Options", "Model.", "Sealer", ": localkms: ", ": sqlseal: "} {
					if strings.Contains(f.Problem, word) {
						t.Errorf("%q is in %q", word, f.Problem)
					}
				}
			}
		})
	}
}

// TestOneFaultDoesNotHideAnother: keys that do not open are told, and all else is looked at.
func TestOneFaultDoesNotHideAnother(t *testing.T) {
	code, found := examined(t, newWard(t, ward{
		sql: "ALTER TABLE users DROP email_bidx; INSERT INTO users (encrypted_kms_key) VALUES ('v7:AAAA')",
		file: map[string]string{
			"keys":    "{encrypted_kms_key: {versions: [{version: 2, key_id: local/users}, {version: 1, key_id: alias/lost}]}}",
			"indexes": `{email_bidx: {of: email_ciphertext, master_key: "${NOWHERE}"}}`,
		},
		env: noRegion,
	}))
	var faults []string
	for _, f := range found {
		if f.Level == isFault {
			faults = append(faults, f.Problem)
		}
	}
	want := []string{"versions[2]: ", "NOWHERE is not set", "has no such column for a blind index", "1 row of version 7"}
	if code != exitFailed || len(faults) != len(want) {
		t.Fatalf("exit code %d, %q", code, faults)
	}
	for i, w := range want {
		if !strings.Contains(faults[i], w) {
			t.Errorf("%q is not in %q", w, faults[i])
		}
	}
}

func TestTheDoctorLooksAtTheTablesThatItIsGiven(t *testing.T) {
	file := newWard(t, ward{
		sql: "CREATE TABLE accounts (id INTEGER, iban_ciphertext TEXT); CREATE TABLE people (id INTEGER PRIMARY KEY)",
		more: `  people:
    model: Person
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: local/users}]}}
    fields: {a: {key: encrypted_kms_key}}
`,
	})
	if code, found := examined(t, file, "users"); code != exitOK || len(found) > 0 {
		t.Errorf("exit code %d, %v", code, found)
	}
	if code, found := examined(t, file); code != exitFailed || !slices.ContainsFunc(found, func(f finding) bool { return f.Table == "main.accounts" }) {
		t.Errorf("exit code %d, %v", code, found)
	}
	var out bytes.Buffer
	if code, stderr := run(t, t.Context(), &out, "doctor", "--config", file, "user"); code != exitUsage || !strings.Contains(stderr, "did you mean users?") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

func TestWithoutRequestsNoWrappedMasterKeyIsOpened(t *testing.T) {
	file := newWard(t, ward{file: map[string]string{"master_keys": "{blind_index: {wrapped: v1:AAAA, key_id: local/users}}", "indexes": "{email_bidx: {of: email_ciphertext}}"}})
	if code, found := examined(t, file, "--no-requests"); code != exitOK || len(found) > 0 {
		t.Errorf("exit code %d, %v", code, found)
	}
}

// TestTheDoctorsRequests counts them.
func TestTheDoctorsRequests(t *testing.T) {
	for _, tc := range []struct {
		noRequests, openOnly bool
		want                 int
	}{{want: 4}, {openOnly: true, want: 1}, {noRequests: true, want: 0}} {
		fake := &kmstest.Fake{}
		look(t, &doctor{noRequests: tc.noRequests, openOnly: tc.openOnly}, fake)
		if got := fake.Requests(); got != tc.want {
			t.Errorf("%+v: %d requests", tc, got)
		}
	}
}

// liar says that it enforces the context, and does not.
type liar struct{ *kmstest.Fake }

func (l liar) Info() kms.Info {
	info := l.Fake.Info()
	info.ContextEnforced = true
	return info
}

func TestTheDoctorFindsAContextThatIsNotEnforced(t *testing.T) {
	found := look(t, &doctor{}, liar{&kmstest.Fake{IgnoreContext: true}})
	if len(found) != 1 || found[0].Level != isFault || found[0].Place != "encrypted_kms_key" || !strings.Contains(found[0].Problem, "opens under another encryption context") {
		t.Errorf("%v", found)
	}
	if found := look(t, &doctor{}, &kmstest.Fake{}); len(found) > 0 {
		t.Errorf("of one that does: %v", found)
	}
}

// look has a doctor look at a healthy table whose KMS key is the service.
func look(t *testing.T, d *doctor, service kms.Service) []finding {
	t.Helper()
	file, err := config.Read(newWard(t, ward{}), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	d.project = &project{file, newDoctor(), map[string]*kms.Key{"local/users": kms.NewKey(service, nil)}}
	if d.db, err = openDatabase(t.Context(), file.Database, true); err != nil {
		t.Fatal(err)
	}
	defer d.db.Close()
	d.tried = map[string]bool{}
	d.look(t.Context(), file.Tables[0])
	return d.found
}
