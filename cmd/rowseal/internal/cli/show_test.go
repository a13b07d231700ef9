package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/cmd/rowseal/internal/config"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/lockbox"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/vectors"
)

// vectorDir is a directory with a folder of the vectors and the configuration that opens it.
func vectorDir(t *testing.T, folder, configuration string, expected any) string {
	t.Helper()
	dir := t.TempDir()
	sub, err := fs.Sub(vectors.FS, folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, sub); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join("testdata/vectors", configuration))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rowseal.yaml"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"insecure.json", "expected.json"} {
		if text, err := fs.ReadFile(sub, name); err == nil {
			d := json.NewDecoder(bytes.NewReader(text))
			d.UseNumber()
			if err := d.Decode(expected); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func runOK(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Main(context.Background(), args, strings.NewReader(""), &out, &errs); code != exitOK {
		t.Fatalf("rowseal %v: exit code %d, %s", args, code, &errs)
	}
	return out.String()
}

// printedRow is a row of show --json.
type printedRow struct {
	ID          json.Number
	Columns     map[string]any
	Attachments []shownAttachment
}

func showJSON(t *testing.T, dir string, args ...string) []printedRow {
	t.Helper()
	text := runOK(t, append([]string{"show", "--config", filepath.Join(dir, "rowseal.yaml"), "users", "--json"}, args...)...)
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var rows []printedRow
	if err := d.Decode(&rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// gemRow is a row of vectors/rails, with the values that Ruby had.
type gemRow map[string]any

// columnOf are the columns of Ruby's attributes.
var columnOf = map[string]string{
	"id": "id", "name": "name", "email": "email_ciphertext", "email_bidx": "email_bidx", "date_of_birth": "date_of_birth_ciphertext",
	"balance": "balance_ciphertext", "notes": "notes_ciphertext", "ssn": "encrypted_ssn", "phone": "phone_ciphertext",
	"street": "street_ciphertext",
}

func railsDir(t *testing.T) (dir string, rows []gemRow) {
	t.Helper()
	var expected struct {
		MasterKey string `json:"lockbox_master_key"`
		Rows      []gemRow
	}
	dir = vectorDir(t, "rails", "rails.yaml", &expected)
	t.Setenv("LOCKBOX_MASTER_KEY", expected.MasterKey)
	if len(expected.Rows) != 26 {
		t.Fatalf("the vectors have %d rows, not 26", len(expected.Rows))
	}
	return dir, expected.Rows
}

func TestShowPrintsEveryValueThatRailsWrote(t *testing.T) {
	dir, rows := railsDir(t)
	for _, want := range rows {
		got := showJSON(t, dir, fmt.Sprint(want["id"]))[0].Columns
		for attribute, value := range want {
			if attribute == "license_sha256" {
				checkLicense(t, got["license"], value)
				continue
			}
			column, known := columnOf[attribute]
			if !known {
				t.Fatalf("the vectors have an attribute %s, which no column is known for", attribute)
			}
			if shown, there := got[column]; !there || shown != value {
				t.Errorf("row %v: %s is %v, not %v", want["id"], column, shown, value)
			}
		}
	}
}

func checkLicense(t *testing.T, shown, want any) {
	t.Helper()
	if shown == nil || want == nil {
		if shown != want {
			t.Errorf("license is %v, not %v", shown, want)
		}
		return
	}
	content, err := base64.StdEncoding.DecodeString(shown.(string))
	if sum := sha256.Sum256(content); err != nil || hex.EncodeToString(sum[:]) != want {
		t.Errorf("license has the sum %x, not %v (%v)", sum, want, err)
	}
}

func TestShowFindsEveryRowByItsBlindIndex(t *testing.T) {
	dir, rows := railsDir(t)
	for _, want := range rows {
		if want["email"] == nil {
			continue
		}
		found := showJSON(t, dir, "--key", "encrypted_kms_key_phone", "--by", "email_bidx="+strings.ToUpper(want["email"].(string)))
		if len(found) != 1 || found[0].ID != want["id"] {
			t.Errorf("%v: found %v", want["email"], found)
		}
		if _, opened := found[0].Columns["email_ciphertext"]; opened || found[0].Columns["phone_ciphertext"] != want["phone"] {
			t.Errorf("%v: %v", want["email"], found[0].Columns)
		}
	}
}

func TestShowWritesEveryAttachmentThatRailsStored(t *testing.T) {
	var expected struct {
		MasterKey string `json:"lockbox_master_key"`
		Rows      []struct {
			ID          json.Number
			Attachments []struct {
				Name, Filename string
				ContentType    string `json:"content_type"`
				Size           int64  `json:"byte_size"`
				Sum            string `json:"plaintext_sha256"`
			}
		}
	}
	dir := vectorDir(t, "activestorage", "activestorage.yaml", &expected)
	t.Setenv("AS_MASTER_KEY", expected.MasterKey)
	written := 0
	for _, row := range expected.Rows {
		shown := showJSON(t, dir, row.ID.String())[0].Attachments
		if len(shown) != len(row.Attachments) {
			t.Errorf("row %s: %d attachments are shown, not %d", row.ID, len(shown), len(row.Attachments))
		}
		number := map[string]int{}
		for _, a := range row.Attachments {
			number[a.Name]++
			out := filepath.Join(t.TempDir(), "file")
			runOK(t, "show", "--config", filepath.Join(dir, "rowseal.yaml"), "users", row.ID.String(), "--file", fmt.Sprintf("%s/%d", a.Name, number[a.Name]), "-o", out)
			content, err := os.ReadFile(out)
			if sum := sha256.Sum256(content); err != nil || hex.EncodeToString(sum[:]) != a.Sum {
				t.Errorf("row %s, %s: the sum is %x, not %s (%v)", row.ID, a.Filename, sum, a.Sum, err)
			}
			written++
		}
	}
	if written != 14 {
		t.Errorf("%d attachments were written, not 14", written)
	}
}

func TestShowTellsOfAttachmentsThatTheFileDoesNotKnow(t *testing.T) {
	for _, tc := range []struct{ name, old, new, want string }{
		{"not listed", "      documents: {key: encrypted_kms_key}\n", "", `note: the database has attachments that FILE does not list: "documents"`},
		{"another class", "    model: User\n", "    model: User\n    record_type: Usr\n", `note: the database has no attachments of record_type "Usr"; there are "User"`},
		{"another service", "{local: ", "{locale: ", `name it under storage, as in storage: {local: dir:storage}`},
		{"as it is", "", "", ""},
	} {
		var expected struct {
			MasterKey string `json:"lockbox_master_key"`
			Rows      []struct {
				ID          json.Number
				Attachments []struct{ Name string }
			}
		}
		dir := vectorDir(t, "activestorage", "activestorage.yaml", &expected)
		t.Setenv("AS_MASTER_KEY", expected.MasterKey)
		name := filepath.Join(dir, "rowseal.yaml")
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Replace(string(content), tc.old, tc.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		var told strings.Builder
		for _, row := range expected.Rows {
			_, stderr := run(t, t.Context(), io.Discard, "show", "--config", name, "users", row.ID.String())
			told.WriteString(stderr)
			if tc.name == "another service" {
				_, stderr := run(t, t.Context(), io.Discard, "show", "--config", name, "users", row.ID.String(), "--file", "license", "-o", "-")
				told.WriteString(stderr)
			}
		}
		text := strings.ReplaceAll(told.String(), name, "FILE")
		if !strings.Contains(text, tc.want) || tc.want == "" && strings.Contains(text, "note: ") || strings.Contains(text, "Options.") {
			t.Errorf("%s: %s", tc.name, text)
		}
	}
}

func TestTheDatabaseIsOpenedForReadingOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c#d%41.sqlite3") // a name that would mean something else in an address
	if _, err := openDatabase(t.Context(), config.Database{Dialect: sqlseal.SQLite, Path: path}, true); err == nil {
		t.Error("a file that is not there is opened")
	}
	made, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "made.sqlite3"))
	if err != nil {
		t.Fatal(err)
	}
	defer made.Close()
	if _, err := made.Exec(`CREATE TABLE t (id INTEGER); VACUUM INTO '` + path + `'`); err != nil {
		t.Fatal(err)
	}
	db, err := openDatabase(t.Context(), config.Database{Dialect: sqlseal.SQLite, Path: path}, true)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if columns, err := db.columns(t.Context(), "t"); err != nil || len(columns) != 1 {
		t.Errorf("%v, %v", columns, err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO t VALUES (1)`); err == nil {
		t.Error("it can be written to")
	}
}

func TestValuesArePrintedSoThatNothingIsMistaken(t *testing.T) {
	day := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, tc := range []struct {
		column     shownColumn
		text, json string
	}{
		{shownColumn{value: nil}, "NULL", "null"},
		{shownColumn{value: "NULL"}, `"NULL"`, `"NULL"`},
		{shownColumn{value: ""}, `""`, `""`},
		{shownColumn{value: "Ada <b>"}, "Ada <b>", `"Ada \u003cb\u003e"`},
		{shownColumn{value: "[sealed]"}, `"[sealed]"`, `"[sealed]"`},
		{shownColumn{value: `"a"`}, `"\"a\""`, `"\"a\""`},
		{shownColumn{value: " a"}, `" a"`, `" a"`},
		{shownColumn{value: "a\nid  2"}, `"a\nid  2"`, `"a\nid  2"`},
		{shownColumn{value: "\x1b[2J"}, `"\x1b[2J"`, `"\u001b[2J"`},
		{shownColumn{value: "a\xff"}, `"a\xff"`, `{"base64":"Yf8="}`},
		{shownColumn{value: []byte("abc")}, "[3 bytes]", `"YWJj"`},
		{shownColumn{value: int64(-7)}, "-7", "-7"},
		{shownColumn{value: math.NaN()}, "NaN", `"NaN"`},
		{shownColumn{value: math.Inf(-1)}, "-Inf", `"-Inf"`},
		{shownColumn{value: true}, "true", "true"},
		{shownColumn{value: day, typ: lockbox.Date}, "2026-01-02", `"2026-01-02"`},
		{shownColumn{value: day, typ: lockbox.Time}, "03:04:05.000006", `"03:04:05.000006"`},
		{shownColumn{value: day, typ: lockbox.Datetime}, "2026-01-02T03:04:05.000006Z", `"2026-01-02T03:04:05.000006Z"`},
		{shownColumn{value: netip.MustParsePrefix("10.0.0.0/8")}, "10.0.0.0/8", `"10.0.0.0/8"`},
		{shownColumn{value: netip.MustParsePrefix("::1/128")}, "::1", `"::1"`},
		{shownColumn{value: map[string]any{"a": []any{int64(1), math.NaN(), []byte("x")}}}, `{"a":[1,"NaN","eA=="]}`, `{"a":[1,"NaN","eA=="]}`},
		{shownColumn{value: rowseal.FileInfo{Name: "a\n", ContentType: "x/y", Size: 1}}, `[file "a\n", "x/y", 1 byte]`, `{"filename":"a\n","content_type":"x/y","byte_size":1}`},
		{shownColumn{value: "x", state: "[sealed]"}, "[sealed]", ""},
	} {
		tc.column.Name = "c"
		if got := tc.column.text(); got != tc.text {
			t.Errorf("%v is printed as %s, not %s", tc.column.value, got, tc.text)
		}
		want := `{"c":` + tc.json + `}`
		if tc.json == "" {
			want = "{}"
		}
		if got, err := json.Marshal(shownColumns{tc.column}); string(got) != want || err != nil {
			t.Errorf("%v in JSON is %s, not %s (%v)", tc.column.value, got, want, err)
		}
	}
}

// made makes a database with a row 1, whose values set makes, as a Go program would by the configuration, and a row 2 of
// NULLs. It returns the name of the configuration.
func made(t *testing.T, yaml string, set func(*rowseal.Record) error) string {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "rowseal.yaml")
	must(os.WriteFile(name, []byte("database: sqlite:app.sqlite3\n"+yaml), 0o600))
	must(os.Mkdir(filepath.Join(dir, "files"), 0o700))
	file, err := config.Read(name, os.LookupEnv)
	must(err)
	p := &project{File: file, cmd: newShow(), keys: map[string]*kms.Key{}}
	p.cmd.SetContext(t.Context())
	p.cmd.SetErr(io.Discard)
	users, err := file.Tables[0].Open(t.Context(), p.opener(), file.Tables[0].All())
	must(err)
	r, err := users.Record(map[string]any{"id": int64(1)})
	must(err)
	must(set(r))
	must(users.Seal(t.Context(), r))
	sealed, err := r.Sealed()
	must(err)

	db, err := sql.Open("sqlite", filepath.Join(dir, "app.sqlite3"))
	must(err)
	defer db.Close()
	columns, cells, values := "id INTEGER", "1", []any{}
	for _, column := range slices.Sorted(maps.Keys(sealed)) {
		columns, cells, values = columns+", "+column, cells+", ?", append(values, sealed[column])
	}
	_, err = db.Exec(`CREATE TABLE users (` + columns + `)`)
	must(err)
	_, err = db.Exec(`INSERT INTO users VALUES (`+cells+`)`, values...)
	must(err)
	_, err = db.Exec(`INSERT INTO users (id) VALUES (2)`)
	must(err)
	return name
}

func TestShowOpensFileColumns(t *testing.T) {
	yaml := made(t, `
tables:
  users:
    model: User
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}
    files: {contract_file: {key: encrypted_kms_key, store: dir:files}}
`, func(r *rowseal.Record) error {
		contract, err := r.File("contract_file")
		if err == nil {
			contract.Set(strings.NewReader("the contract"), rowseal.FileInfo{Name: "contract.txt", ContentType: "text/plain"})
		}
		return err
	})
	want := "id             1\ncontract_file  [file \"contract.txt\", \"text/plain\", 12 bytes]\n"
	if got := runOK(t, "show", "--config", yaml, "users", "1"); got != want {
		t.Errorf("it prints\n%s", got)
	}
	if got := runOK(t, "show", "--config", yaml, "users", "1", "--file", "contract_file", "-o", "-"); got != "the contract" {
		t.Errorf("the file is %q", got)
	}
	if got := runOK(t, "show", "--config", yaml, "users", "2"); !strings.Contains(got, "contract_file  NULL\n") {
		t.Errorf("a row without a file: %s", got)
	}
	if code, stderr := run(t, t.Context(), io.Discard, "show", "--config", yaml, "users", "2", "--file", "contract_file", "-o", "-"); code != exitFailed ||
		!strings.HasSuffix(stderr, "error: contract_file of the row is NULL\n") {
		t.Errorf("writing a file that is not there: exit code %d, %s", code, stderr)
	}
	out := filepath.Join(t.TempDir(), "out")
	runOK(t, "show", "--config", yaml, "users", "1", "--file", "contract_file", "-o", out)
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file written is %v (%v)", info, err)
	}
}

func TestShowPrintsValuesOfEveryType(t *testing.T) {
	day := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	types := map[string]any{
		"binary": []byte("x"), "boolean": true, "integer": int64(7), "float": 1.5, "decimal": "2.50", "date": day, "datetime": day, "time": day,
		"json": map[string]any{"a": "b"}, "inet": netip.MustParsePrefix("10.0.0.1/32"), "hash": map[string]any{"a": int64(1)}, "array": []any{"a", "1e3"},
	}
	yaml := "tables:\n  users:\n    model: User\n    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}\n    fields:\n"
	for _, name := range slices.Sorted(maps.Keys(types)) {
		yaml += fmt.Sprintf("      a_%s: {key: encrypted_kms_key, type: %[1]s}\n", name)
	}
	name := made(t, yaml, func(r *rowseal.Record) error {
		var errs []error
		for typ, value := range types {
			errs = append(errs, r.Set("a_"+typ, value))
		}
		return errors.Join(errs...)
	})
	want := `id          1
a_array     ["a","1e3"]
a_binary    [1 byte]
a_boolean   true
a_date      2026-01-02
a_datetime  2026-01-02T03:04:05Z
a_decimal   2.5
a_float     1.5
a_hash      {"a":1}
a_inet      10.0.0.1
a_integer   7
a_json      {"a":"b"}
a_time      03:04:05
`
	if got := runOK(t, "show", "--config", name, "users", "1"); got != want {
		t.Errorf("it prints\n%s", got)
	}
}

func TestShowWarnsOfFormsThatAreNotSafe(t *testing.T) {
	name := made(t, `
tables:
  users:
    model: User
    binding: none
    keys: {encrypted_kms_key: {versions: [{version: 1, key_id: insecure-test-key}]}}
    fields: {encrypted_ssn: {key: encrypted_kms_key, codec: attr_encrypted, algorithm: aes-256-cbc, allow: cbc}}
`, func(r *rowseal.Record) error { return r.Set("encrypted_ssn", "123-45") })
	var out, errs bytes.Buffer
	code := Main(t.Context(), []string{"show", "--config", name, "users", "1"}, strings.NewReader(""), &out, &errs)
	if code != exitOK || !strings.Contains(out.String(), "encrypted_ssn  123-45\n") || strings.Contains(out.String(), "encrypted_ssn_iv") {
		t.Errorf("exit code %d, %s", code, &out)
	}
	if want := "warning: users \"1\" encrypted_ssn: the form cbc is not safe; set the value anew\n"; !strings.HasSuffix(errs.String(), want) {
		t.Errorf("it warns %s", &errs)
	}
}

func TestShowOpensNoMoreRowsThanItsLimit(t *testing.T) {
	dir, rows := railsDir(t)
	db, err := sql.Open("sqlite", filepath.Join(dir, "insecure.sqlite3"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE users SET email_bidx = ?`, rows[0]["email_bidx"]); err != nil {
		t.Fatal(err)
	}
	by := "email_bidx=" + rows[0]["email"].(string)
	if found := showJSON(t, dir, "--by", by); len(found) != 10 {
		t.Errorf("%d rows are shown, not 10", len(found))
	}
	if found := showJSON(t, dir, "--by", by, "--limit", "26"); len(found) != 26 || found[25].ID != "26" {
		t.Errorf("%d rows are shown, not 26", len(found))
	}
	code, stderr := run(t, t.Context(), io.Discard, "show", "--config", filepath.Join(dir, "rowseal.yaml"), "users", "--by", by, "--limit", "2")
	if code != exitOK || !strings.Contains(stderr, "warning: more rows are found; --limit 2 leaves them out\n") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	code, stderr = run(t, t.Context(), io.Discard, "show", "--config", filepath.Join(dir, "rowseal.yaml"), "users", "--by", by, "--limit", "2", "--file", "license", "-o", filepath.Join(dir, "out"))
	if code != exitFailed || !strings.Contains(stderr, "--file takes one row, and 2 rows are found\n") {
		t.Errorf("a file of several rows: exit code %d, %s", code, stderr)
	}
}
