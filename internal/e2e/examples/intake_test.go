package examples

import (
	"database/sql"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/vaulttest"
)

func TestTheIntakeServiceSealsAndTheBackOfficeOpens(t *testing.T) {
	o := newOffice(t)
	ada := o.apply(t, "POST", "/applications", "Ada Lovelace", 201)
	charles := o.apply(t, "POST", "/applications", "Charles Babbage", 201)
	o.apply(t, "PUT", ada, "Ada King", 204)
	o.apply(t, "PUT", "/applications/nobody", "Nobody", 404)
	o.wantSealed(t)

	o.service.kill()
	o.service = start(t, o.intake, o.intakeEnv)
	mary := o.apply(t, "POST", "/applications", "Mary Somerville", 201)
	status, answer := o.service.send(t, "POST", "/applications", `{"name": "Ada Lovelace", "email": 1815}`)
	if status != http.StatusBadRequest || strings.Contains(answer, "Ada") {
		t.Errorf("%d, %s", status, answer)
	}

	out, log := o.backoffice(t, "check")
	if out+log != "" {
		t.Errorf("the back office finds: %s%s", out, log)
	}
	if out, log = o.backoffice(t, "list"); strings.Count(out, "\n") != 3 || strings.Contains(out, "@") || log != "" {
		t.Errorf("the list:\n%s%s", out, log)
	}
	if status, answer := o.service.send(t, "GET", "/healthz", ""); status != http.StatusOK {
		t.Errorf("healthz: %d, %s", status, answer)
	}

	o.wantOpened(t, 0)
	out, log = o.backoffice(t, "show", idOf(ada), idOf(charles))
	o.wantOpened(t, 1, idOf(ada), idOf(charles))
	if out != wantApplication("Ada King")+wantApplication("Charles Babbage") {
		t.Errorf("the back office shows:\n%s", out)
	}
	if log != "opened "+idOf(ada)+"\nopened "+idOf(charles)+"\n" {
		t.Errorf("the back office notes:\n%s", log)
	}

	out, log, err := o.run(t, "show", "nobody", idOf(ada))
	if err == nil || out != wantApplication("Ada King") || !strings.HasSuffix(log, "backoffice: 1 of 2 applications are not there\n") {
		t.Errorf("the back office shows nobody: %s%s, %v", out, log, err)
	}
	o.wantOpened(t, 2, idOf(ada))

	// Charles' data key in Mary's row opens nothing there, and stops nobody else.
	o.exec(t, `UPDATE applications SET encrypted_kms_key = (SELECT encrypted_kms_key FROM applications WHERE id = $1) WHERE id = $2`, idOf(charles), idOf(mary))
	out, log, err = o.run(t, "show", idOf(charles), idOf(mary))
	if err == nil || out != wantApplication("Charles Babbage") || !strings.Contains(log, idOf(mary)) || strings.Contains(log, "opened "+idOf(mary)) {
		t.Errorf("%v:\n%s%s", err, out, log)
	}

	o.service.stop()
	wantNone(t, "the log", o.service.log.String(), applicants)
}

func TestEachProgramOfTheIntakeNeedsItsOwnRight(t *testing.T) {
	o := newOffice(t)
	ada := o.apply(t, "POST", "/applications", "Ada Lovelace", 201)
	o.service.stop()

	o.officeEnv[1], o.intakeEnv[1] = o.intakeEnv[1], o.officeEnv[1] // each has the other's token
	out, log, err := o.run(t, "show", idOf(ada))
	if err == nil || out != "" || !strings.Contains(log, "access denied") {
		t.Errorf("with the token of the intake service, the back office shows %q, %q, %v", out, log, err)
	}
	if _, log, err = o.run(t, "check"); err == nil || !strings.Contains(log, "rowseal policy --key-id vault/applications --open") {
		t.Errorf("check: %q, %v", log, err)
	}
	started, err := command(t, o.intake, o.intakeEnv).CombinedOutput()
	if err == nil || !strings.Contains(string(started), "rowseal policy --key-id vault/applications --seal") {
		t.Errorf("with the token of the back office, the intake service starts: %v, %s", err, started)
	}
}

var applicants = []string{"Ada", "Charles", "Mary", "Lovelace", "Babbage", "example.org", "statement of"}

// office is the two programs, each with its own user of the database and its own token of Vault.
type office struct {
	audit                *vaulttest.AuditLog
	service              *service
	db                   *sql.DB
	intake, office       string
	intakeEnv, officeEnv []string
}

func newOffice(t *testing.T) *office {
	t.Helper()
	vault := vaulttest.Start(t)
	vault.Key(t, "applications", true)
	right := func(operation string) string {
		return "VAULT_TOKEN=" + vault.Token(t, fmt.Sprintf(`path "transit/%s/applications" { capabilities = ["update"] }`, operation))
	}
	url := dbtest.PostgreSQL.New(t)
	db, err := sql.Open("pgx", url)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	o := &office{audit: vault.Audit(t), db: db, intake: build(t, "intake/cmd/intake"), office: build(t, "intake/cmd/backoffice")}
	schema, err := os.ReadFile("../../../examples/intake/schema.sql")
	must(t, err)
	o.exec(t, string(schema))
	t.Cleanup(func() { // roles are the server's, and not this database's
		_, err := db.Exec(`DROP OWNED BY intake, backoffice; DROP ROLE intake, backoffice`)
		must(t, err)
	})
	as := func(user string) string { return "DATABASE_URL=" + strings.Replace(url, "postgres@", user+"@", 1) }
	o.intakeEnv = []string{as("intake"), right("encrypt"), "VAULT_ADDR=" + vault.Address, "KMS_KEY_ID=vault/applications"}
	o.officeEnv = []string{as("backoffice"), right("decrypt"), "VAULT_ADDR=" + vault.Address, "KMS_KEY_ID=vault/applications"}
	o.service = start(t, o.intake, o.intakeEnv)
	return o
}

// apply sends an application and returns its path.
func (o *office) apply(t *testing.T, method, path, name string, status int) string {
	t.Helper()
	body := fmt.Sprintf(`{"name": %q, "email": %q, "statement": "the statement of %s"}`, name, strings.Fields(name)[0]+"@example.org", name)
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+o.service.address+path, strings.NewReader(body))
	must(t, err)
	got, err := http.DefaultClient.Do(r)
	must(t, err)
	defer got.Body.Close()
	answer, err := io.ReadAll(got.Body)
	must(t, err)
	if got.StatusCode != status {
		t.Fatalf("%s %s: %d, %s\n%s", method, path, got.StatusCode, answer, o.service.log)
	}
	return got.Header.Get("Location")
}

func wantApplication(name string) string {
	return fmt.Sprintf("%s <%s@example.org>\nthe statement of %s\n\n", name, strings.Fields(name)[0], name)
}

func idOf(path string) string { return strings.TrimPrefix(path, "/applications/") }

// backoffice runs the command, which is to succeed.
func (o *office) backoffice(t *testing.T, args ...string) (out, log string) {
	t.Helper()
	out, log, err := o.run(t, args...)
	if err != nil {
		t.Fatalf("backoffice %s: %v\n%s", strings.Join(args, " "), err, log)
	}
	return out, log
}

func (o *office) run(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	cmd := command(t, o.office, o.officeEnv, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if _, ended := err.(*exec.ExitError); err != nil && !ended {
		t.Fatal(err)
	}
	return string(b), stderr.String(), err
}

// wantOpened compares what Vault's audit log says: how many requests opened rows, and which.
func (o *office) wantOpened(t *testing.T, requests int, ids ...string) {
	t.Helper()
	got, text := 0, ""
	for _, entry := range o.audit.Responses(t, "transit/decrypt/applications") {
		for _, result := range entry.Response.Items() {
			if result["plaintext"] != nil {
				got++
				text += fmt.Sprint(entry.Request.Items())
				break
			}
		}
	}
	if got != requests {
		t.Errorf("%d requests opened rows, want %d", got, requests)
	}
	for _, id := range ids {
		context := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"model_id":%q,"model_name":"Application"}`, id))
		if !strings.Contains(text, o.audit.Hash(t, context[:60]+"\n"+context[60:]+"\n")) {
			t.Errorf("the audit log does not say that %s was opened:\n%s", id, text)
		}
	}
}

func (o *office) wantSealed(t *testing.T) {
	t.Helper()
	var all string
	must(t, o.db.QueryRowContext(t.Context(), `SELECT string_agg(a::text, '; ') FROM applications a`).Scan(&all))
	if strings.Count(all, "v1:") != 2 {
		t.Errorf("this is not the database:\n%s", all)
	}
	wantNone(t, "the database", all, applicants)
	var lengths int // of statements that are not equally long
	must(t, o.db.QueryRowContext(t.Context(), `SELECT count(DISTINCT length(statement_ciphertext)) FROM applications`).Scan(&lengths))
	if lengths != 1 {
		t.Errorf("the statements have %d lengths", lengths)
	}
}

func (o *office) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := o.db.ExecContext(t.Context(), statement, args...)
	must(t, err)
}
