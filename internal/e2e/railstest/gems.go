package railstest

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// gemsProgram is the Rails-style program, in Ruby. It prints every value of every row.
//
//go:embed testdata/users.rb
var gemsProgram string

// ruby runs a Ruby program.
func ruby(t *testing.T, env []string, program string, args ...string) (stdout []byte, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ruby", append([]string{"-"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(program)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err = cmd.Output()
	if err != nil {
		t.Logf("ruby: %s", stderr.Bytes())
	}
	return stdout, err
}

// skipWithoutGems skips t where Ruby or one of the gems is missing.
func skipWithoutGems(t *testing.T, env []string) {
	t.Helper()
	if _, err := exec.LookPath("ruby"); err != nil {
		t.Skip("there is no ruby on the PATH; CONTRIBUTING.md says which gems this test takes")
	}
	requires, _, _ := strings.Cut(gemsProgram, "\n\n")
	if _, err := ruby(t, env, requires); err != nil {
		t.Skip("Ruby lacks a gem; CONTRIBUTING.md says which gems this test takes")
	}
}

// wantGems tests that the gems open every value of every row, and find rows by e-mail.
func (d Database) wantGems(t *testing.T, file string, want map[int64]Values) {
	t.Helper()
	skipWithoutGems(t, d.GemEnv)
	stdout, err := ruby(t, append(d.GemEnv, "LOCKBOX_MASTER_KEY="+hex.EncodeToString(d.masterKeyBytes(t))), gemsProgram, file)
	must(t, err)
	decoder := json.NewDecoder(bytes.NewReader(stdout))
	decoder.UseNumber()
	var rows []map[string]any
	must(t, decoder.Decode(&rows))
	got := map[int64]Values{}
	for _, row := range rows {
		id, err := row["id"].(json.Number).Int64()
		must(t, err)
		if row["found"] != true {
			t.Errorf("the gems do not find row %d by its e-mail", id)
		}
		got[id] = Values{}
		for name, column := range plaintexts {
			got[id][column] = row[name]
		}
	}
	wantSame(t, got, want)
}
