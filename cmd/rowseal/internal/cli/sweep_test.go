package cli

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
)

// plainWard has three rows with an e-mail that is to be sealed.
var plainWard = ward{
	sql:  `ALTER TABLE users ADD email TEXT; INSERT INTO users (id, email) VALUES (1, 'ada@example.org'), (2, 'grace@example.org'), (3, 'mary@example.org')`,
	file: map[string]string{"fields": "{email_ciphertext: {key: encrypted_kms_key, migrating: email}}", "indexes": "", "unsealed": "[email_bidx]"},
}

// spoil runs a statement in the ward's database.
func spoil(t *testing.T, file, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(file), "users.sqlite3"))
	if err == nil {
		_, err = db.ExecContext(t.Context(), statement)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestWrongFlagsOfSweepsAreRefused(t *testing.T) {
	file := newWard(t, plainWard)
	for args, want := range map[string]string{
		"rotate users":                           "a table is named with --table",
		"rotate --key encrypted_kms_kye":         `--key: there is no "encrypted_kms_kye" in users; did you mean encrypted_kms_key?`,
		"rotate --key encrypted_kms_key --key x": `--key: there is no "x" in users`,
		"verify --table users --key lockbox":     `--key: there is no "lockbox" in users; there are encrypted_kms_key`,
		"migrate --field emial_ciphertext":       `--field: there is no "emial_ciphertext" in users; did you mean email_ciphertext?`,
		"migrate --key encrypted_kms_key":        "unknown flag: --key",
		"index --index email_bidx":               `--index: there is no "email_bidx" in users`,
		"rotate --rate NaN":                      "--rate must be a number",
		"rotate --rate Inf":                      "--rate must be a number",
		"rotate --rate -1":                       "--rate must be a number",
		"rotate --max-failures -2":               "--max-failures must be 1 or more, or -1",
		"verify --grace 5":                       `--grace "5": must be a time with its unit, as in --grace 30m`,
	} {
		t.Run(args, func(t *testing.T) {
			var out bytes.Buffer
			code, stderr := run(t, t.Context(), &out, append(strings.Fields(args), "--config", file)...)
			if code != exitUsage || !strings.Contains(stderr, want) || out.Len() > 0 {
				t.Errorf("exit code %d, %s%s", code, stderr, &out)
			}
		})
	}
}

func TestATableThatIsNamedTwiceIsSweptOnce(t *testing.T) {
	file := newWard(t, plainWard)
	if page := runOK(t, "verify", "--config", file, "--table", "users", "--table", "users"); strings.Count(page, "users: verify") != 1 {
		t.Errorf("it prints\n%s", page)
	}
}

func TestASweepChecksTheColumnsFirst(t *testing.T) {
	broken := plainWard
	broken.sql += "; ALTER TABLE users RENAME email_ciphertext TO mail_ciphertext"
	file := newWard(t, broken)
	for _, args := range [][]string{{"rotate"}, {"rotate", "--dry-run"}, {"verify"}, {"migrate"}} {
		var out bytes.Buffer
		code, stderr := run(t, t.Context(), &out, append(args, "--config", file)...)
		if want := `error: table users has no column "email_ciphertext", which ` + file + " names; did you mean mail_ciphertext?\n"; code != exitFailed || stderr != want {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

// TestADryRunAfterTheKMSHasRotated: which version of its own is the newest the KMS shows only when it is asked.
func TestADryRunAfterTheKMSHasRotated(t *testing.T) {
	file := newWard(t, plainWard)
	runOK(t, "migrate", "--config", file)
	runOK(t, "keys", "rotate", "users")
	if page := runOK(t, "rotate", "--dry-run", "--config", file); !strings.Contains(page, "3 rows with at most 3 data keys to do") ||
		!strings.Contains(page, "local/users: at most 1 request\n") {
		t.Errorf("it prints\n%s", page)
	}
	if page := runOK(t, "rotate", "--dry-run", "--all", "--config", file); !strings.Contains(page, "3 rows with 3 data keys to do, about") {
		t.Errorf("with --all it prints\n%s", page)
	}
}

// TestAPausedVerifyTellsOfAllItsRows: those of earlier runs are counted, and those whose reason is not shown are, too.
func TestAPausedVerifyTellsOfAllItsRows(t *testing.T) {
	file := newWard(t, plainWard)
	runOK(t, "migrate", "--config", file)
	spoil(t, file, `UPDATE users SET email_ciphertext = 'AAAA' WHERE id > 1`)
	var out bytes.Buffer
	if code, _ := run(t, t.Context(), &out, "verify", "--limit", "2", "--config", file); code != exitPartly || !strings.Contains(out.String(), "stopped by --limit; the same command goes on after row 2\n") {
		t.Errorf("exit code %d, %s", code, &out)
	}
	out.Reset()
	code, stderr := run(t, t.Context(), &out, "verify", "--config", file)
	for _, want := range []string{", with what earlier runs did: 3 rows, 0 changed, 1 unchanged", "2 rows are in quarantine:\n    3: ", "and 1 more; 'rowseal status' lists them\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, &out)
		}
	}
	if code != exitPartly || strings.Contains(out.String(), "ada") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	out.Reset()
	if code, _ := run(t, t.Context(), &out, "verify", "--max-failures", "1", "--config", file); code != exitFailed ||
		!strings.Contains(out.String(), "rows that failed, of a page that is not done:\n    2: ") {
		t.Errorf("exit code %d, %s", code, &out)
	}
}

func TestWhatARekeyRefusesIsToldInTheWordsOfTheFile(t *testing.T) {
	file := newWard(t, ward{sql: `ALTER TABLE users ADD phone_ciphertext TEXT; INSERT INTO users (id) VALUES (1)`})
	var out bytes.Buffer
	code, stderr := run(t, t.Context(), &out, "rotate", "--rekey", "--config", file)
	if code != exitFailed || !strings.Contains(stderr, "phone_ciphertext, which the file does not declare") || strings.Contains(stderr, "Options") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// TestStatusCountsRowsOnce: a row may be in quarantine for several steps.
func TestStatusCountsRowsOnce(t *testing.T) {
	file := newWard(t, plainWard)
	runOK(t, "migrate", "--config", file)
	runOK(t, "rotate", "--rekey", "--config", file)
	if page := runOK(t, "status", "--config", file); !strings.Contains(page, "encrypted_kms_key: 3 old keys in the journal of a rekey; 'rowseal verify' lets them go\n") {
		t.Errorf("it prints\n%s", page)
	}
	spoil(t, file, `UPDATE users SET encrypted_kms_key = 'v9:AAAA' WHERE id = 2`)
	for _, step := range []string{"rotate", "verify"} {
		var out bytes.Buffer
		if code, stderr := run(t, t.Context(), &out, step, "--config", file); code != exitPartly || strings.Contains(out.String(), "run it again") {
			t.Fatalf("exit code %d, %s%s", code, &out, stderr)
		}
	}
	if page := runOK(t, "status", "--config", file); !strings.Contains(page, "  1 row is in quarantine; ") || strings.Count(page, "    2: ") != 2 {
		t.Errorf("it prints\n%s", page)
	}
}
