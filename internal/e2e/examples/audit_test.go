package examples

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
)

// TestEveryOpenOfTheServiceIsInBothLogs runs the example service against the real Vault, and then the command line over Vault's own
// audit file and the service's ledger: every open in one is in the other, by record, and one past the service is found.
func TestEveryOpenOfTheServiceIsInBothLogs(t *testing.T) {
	a := newAudited(t)
	var ids []string
	for _, name := range []string{"Ada Lovelace", "Charles Babbage", "Mary Somerville"} {
		ids = append(ids, a.ask(t, "POST", "/customers", fmt.Sprintf(`{"name": %q, "email": "%s@example.org"}`, name, name[:3]), 201))
	}
	want := map[string]int{"Customer rowseal-check": 1} // with which the service tried its rights when it began
	for _, step := range []struct{ method, path, body, opened string }{
		{"GET", "/customers/" + ids[0], "", ids[0]},
		{"GET", "/customers/" + ids[0], "", ids[0]},
		{"GET", "/customers/" + ids[1], "", ids[1]},
		{"GET", "/customers?email=mar@example.org", "", ids[2]},
		{"PATCH", "/customers/" + ids[2], `{"phone": "+44 20 2"}`, ids[2]},
	} {
		a.ask(t, step.method, step.path, step.body, 200)
		want["Customer "+step.opened]++
	}
	a.service.stop()

	report := a.report(t)
	if report.Unexplained.Count != 0 || report.Unlogged.Count != 0 {
		t.Errorf("unexplained %+v, unlogged %+v", report.Unexplained, report.Unlogged)
	}
	for _, records := range []map[string]int{opened(t, report), opened(t, a.reportOf(t, a.ledger))} {
		if fmt.Sprint(records) != fmt.Sprint(want) {
			t.Errorf("opened %v, want %v", records, want)
		}
	}

	// Somebody with the root token and a copy of the database opens Charles' row himself.
	var wrapped string
	must(t, a.db.QueryRow(`SELECT encrypted_kms_key FROM customers WHERE id = $1`, ids[1]).Scan(&wrapped))
	a.rowseal(t, []string{"VAULT_TOKEN=" + a.vault.Root.Token()}, "decrypt", "--key-id", "vault/customers", "--base64",
		"--context", "model_name=Customer", "--context", "model_id="+ids[1], wrapped)
	report = a.report(t)
	if report.Unexplained.Count != 1 || report.Unlogged.Count != 0 {
		t.Fatalf("unexplained %+v, unlogged %+v", report.Unexplained, report.Unlogged)
	}
	if l := report.Unexplained.First[0]; l.Record != "Customer "+ids[1] || l.Principal != "root" || l.Op != "decrypt" {
		t.Errorf("%+v", l)
	}
	for _, format := range []string{"text", "html"} {
		page := a.rowseal(t, nil, a.args("report", "--format", format)...)
		if !strings.Contains(page, ids[1]) {
			t.Errorf("%s: Charles is not in it", format)
		}
	}

	// One record's events, and the alert.
	one := a.rowseal(t, nil, "audit", "report", "--format", "csv", "--audit-device", "file", "--context", "model_name=Customer",
		"--context", "model_id="+ids[1], a.log.Path)
	if n := strings.Count(one, ",decrypt,"); n != 2 {
		t.Errorf("Charles was opened %d times:\n%s", n, one)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	must(t, os.WriteFile(rules, []byte("rules:\n  - {name: past the application, unexplained: true}\n"), 0o600))
	out, code := a.run(t, nil, a.args("check", "--rules", rules)...)
	if code != 3 || strings.Count(out, "past the application") != 1 || !strings.Contains(out, ids[1]) {
		t.Errorf("check: %d\n%s", code, out)
	}

	a.wantNoSecrets(t, ids, wrapped)
}

// wantNoSecrets looks through everything that was written down of the events.
func (a *audited) wantNoSecrets(t *testing.T, ids []string, wrapped string) {
	t.Helper()
	var dataKey string
	must(t, a.db.QueryRow(`SELECT encrypted_kms_key FROM customers WHERE id = $1`, ids[1]).Scan(&dataKey))
	opened := strings.TrimSpace(a.rowseal(t, []string{"VAULT_TOKEN=" + a.vault.Root.Token()}, "decrypt", "--key-id", "vault/customers", "--base64",
		"--context", "model_name=Customer", "--context", "model_id="+ids[1], dataKey))
	secrets := append([]string{"Lovelace", "Babbage", "Somerville", "example.org", "+44 20", a.token, wrapped, opened}, a.secrets...)
	ledger, err := os.ReadFile(a.ledger)
	must(t, err)
	written := map[string]string{"ledger": string(ledger), "log": a.service.log.String()}
	for _, format := range []string{"text", "html", "json"} {
		written[format] = a.rowseal(t, nil, a.args("report", "--format", format, "--show-all")...)
	}
	written["csv"] = a.rowseal(t, nil, "audit", "report", "--format", "csv", a.ledger, a.log.Path)
	for what, text := range written {
		if len(text) < 100 {
			t.Errorf("%s: only %q", what, text)
		}
		wantNone(t, what, text, secrets)
	}
	if !regexp.MustCompile(`"actor":"grace","purpose":"ticket 7"`).MatchString(written["ledger"]) {
		t.Error("the ledger does not say who and why")
	}
}

func opened(t *testing.T, d audit.Document) map[string]int {
	t.Helper()
	records := map[string]int{}
	for _, a := range d.Accesses {
		if a.Op == "decrypt" && a.Outcome != audit.Failed {
			records[a.Record] += a.Count
		}
	}
	return records
}

// audited is the example service with the real Vault, whose log an auditor reads.
type audited struct {
	*customers
	vault   *vaulttest.Server
	log     *vaulttest.AuditLog
	ledger  string
	token   string
	secrets []string
	command string
	auditor []string // environment
}

func newAudited(t *testing.T) *audited {
	t.Helper()
	a := &audited{vault: vaulttest.Start(t), ledger: filepath.Join(t.TempDir(), "ledger.jsonl")}
	a.log = a.vault.Audit(t)
	a.vault.Key(t, "customers", true)
	a.token = a.vault.Token(t, `path "transit/encrypt/customers" { capabilities = ["update"] }
path "transit/decrypt/customers" { capabilities = ["update"] }`)
	indexKey := strings.Repeat("5a", 32)
	a.secrets = []string{indexKey}
	url := dbtest.PostgreSQL.New(t)
	db, err := sql.Open("pgx", url)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	a.customers = &customers{t: t, file: build(t, "pgx"), db: db, env: []string{"DATABASE_URL=" + url, "KMS_KEY_ID=vault/customers",
		"VAULT_ADDR=" + a.vault.Address, "VAULT_TOKEN=" + a.token, "INDEX_KEY=" + indexKey, "LEDGER=" + a.ledger}}
	a.customers.start()
	a.command = filepath.Join(t.TempDir(), "rowseal")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", a.command, ".")
	cmd.Dir = "../../../cmd/rowseal"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	a.auditor = []string{"VAULT_ADDR=" + a.vault.Address,
		"VAULT_TOKEN=" + a.vault.Token(t, `path "sys/audit-hash/file" { capabilities = ["update"] }`)}
	return a
}

func (a *audited) ask(t *testing.T, method, path, body string, want int) (id string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.address+path, strings.NewReader(body))
	must(t, err)
	r.Header.Set("X-Forwarded-User", "grace")
	r.Header.Set("X-Purpose", "ticket 7")
	got, err := http.DefaultClient.Do(r)
	must(t, err)
	defer got.Body.Close()
	var c customer
	must(t, json.NewDecoder(got.Body).Decode(&c))
	if got.StatusCode != want {
		t.Fatalf("%s %s: %d\n%s", method, path, got.StatusCode, a.service.log)
	}
	return c.ID
}

// args is a command that compares Vault's log with the ledger.
func (a *audited) args(name string, more ...string) []string {
	return slices.Concat([]string{"audit", name, "--ledger", a.ledger, "--audit-device", "file"}, more, []string{a.log.Path})
}

func (a *audited) report(t *testing.T) audit.Document {
	t.Helper()
	return a.document(t, a.args("report", "--format", "json"))
}

func (a *audited) reportOf(t *testing.T, log string) audit.Document {
	t.Helper()
	return a.document(t, []string{"audit", "report", "--format", "json", log})
}

func (a *audited) document(t *testing.T, args []string) (d audit.Document) {
	t.Helper()
	must(t, json.Unmarshal([]byte(a.rowseal(t, nil, args...)), &d))
	return d
}

// rowseal runs the command line as the auditor, or with another environment, and wants it to do what it is told.
func (a *audited) rowseal(t *testing.T, env []string, args ...string) string {
	t.Helper()
	out, code := a.run(t, env, args...)
	if code != 0 {
		t.Fatalf("rowseal %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func (a *audited) run(t *testing.T, env []string, args ...string) (out string, code int) {
	t.Helper()
	cmd := command(t, a.command, append(slices.Clone(a.auditor), env...), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() != 0 {
		return stdout.String() + stderr.String(), cmd.ProcessState.ExitCode()
	}
	return stdout.String(), 0
}
