package activestorage

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/activestorage"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

// gemsProgram is a Rails app of one file. It prints what every attachment opens to.
//
//go:embed testdata/attachments.rb
var gemsProgram string

func ruby(t *testing.T, program string, args ...string) (stdout []byte, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ruby", append([]string{"-"}, args...)...)
	cmd.Env = append(os.Environ(), "KMS_KEY_ID=insecure-test-key", "LOCKBOX_MASTER_KEY="+expected.LockboxMasterKey)
	cmd.Stdin = strings.NewReader(program)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if stdout, err = cmd.Output(); err != nil {
		t.Logf("ruby: %s", stderr.Bytes())
	}
	return stdout, err
}

func TestTheGemsOpenEveryAttachmentThatIsWritten(t *testing.T) {
	if _, err := exec.LookPath("ruby"); err != nil {
		t.Skip("there is no ruby on the PATH; CONTRIBUTING.md says which gems this test takes")
	}
	requires, _, _ := strings.Cut(gemsProgram, "\n\n")
	if _, err := ruby(t, requires); err != nil {
		t.Skip("Ruby lacks a gem; CONTRIBUTING.md says which gems this test takes")
	}
	a := newApp(t, dbtest.SQLite, activestorage.Options{})
	a.wantGems(t, "what Rails wrote")
	a.attach(t, 3, "documents", textFile("é more.txt", "more"), a.rowBox(t, 3))
	must(t, a.inTx(t, func(_ *sql.Tx, change *activestorage.Change) error {
		if _, err := change.Replace(t.Context(), user(1), "license", textFile("l.txt", ""), a.rowBox(t, 1)); err != nil {
			return err
		}
		_, err := change.Replace(t.Context(), user(1), "avatar", textFile("new.txt", "new"), avatarBox)
		return err
	}))
	a.wantGems(t, "what was written")
	must(t, a.rekeyAll(t, a.user(t, 3), nil))
	a.wantGems(t, "what was resealed")
}

// wantGems tests that the gems open the same as the second reader.
func (a *app) wantGems(t *testing.T, what string) {
	t.Helper()
	stdout, err := ruby(t, gemsProgram, a.folder)
	must(t, err)
	var got map[string]string
	must(t, json.Unmarshal(stdout, &got))
	want := map[string]string{}
	for name, content := range a.readAll(t) {
		sum := sha256.Sum256([]byte(content))
		want[name] = hex.EncodeToString(sum[:])
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: the gems open %v, want %v", what, got, want)
	}
}
