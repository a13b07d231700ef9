package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
)

// TestCheckFollows lets a log and a ledger grow under a check: what the application did is told by the ledger a little later, and
// is no alert; what it did not do is one, and a rotation loses nothing.
func TestCheckFollows(t *testing.T) {
	dir := t.TempDir()
	trail, ledgerPath, rules := filepath.Join(dir, "trail"), filepath.Join(dir, "ledger"), filepath.Join(dir, "rules.yaml")
	alerts := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alert struct {
			Rule  string
			Event struct{ Record string }
		}
		if err := json.NewDecoder(r.Body).Decode(&alert); err != nil {
			t.Error(err)
		}
		alerts <- alert.Rule + ": " + alert.Event.Record
	}))
	defer hook.Close()
	t.Setenv("ALERT_WEBHOOK", hook.URL)
	writeFile(t, rules, `
rules:
  - {name: honeytoken, records: {model_name: User, model_id: 9}}
  - {name: unexplained, unexplained: true}
notify: {webhook: "${ALERT_WEBHOOK}"}
`)
	appendFile(t, trail, cloudTrailDecrypt(1)+"\n") // what was before

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	var out, errs bytes.Buffer
	go func() {
		ended <- Main(ctx, []string{"audit", "check", "--rules", rules, "--follow", "--since", "1h", "--ledger", ledgerPath, "--delay", "2s", trail},
			strings.NewReader(""), &out, &errs)
	}()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-alerts:
			if got != want {
				t.Errorf("alert %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("no alert: %q is missing\n%s%s", want, &out, &errs)
		}
	}
	expect("unexplained: User 1")

	ledger, err := audit.OpenLedger(ledgerPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	appendFile(t, trail, cloudTrailDecrypt(2)+"\n"+cloudTrailDecrypt(9)+"\n")
	ledger.Observe(t.Context(), kms.Event{Op: kms.OpDecrypt, KeyID: "alias/users", Start: time.Now(), Requests: 1,
		Items: []kms.EventItem{{Context: kms.Context{"model_name": "User", "model_id": "2"}, Attempts: 1}}})
	expect("honeytoken: User 9")
	expect("unexplained: User 9")
	if err := os.Rename(trail, trail+".1"); err != nil {
		t.Fatal(err)
	}
	appendFile(t, trail, cloudTrailDecrypt(3)+"\n")
	expect("unexplained: User 3")

	cancel()
	if code := <-ended; code != exitOK || strings.Contains(errs.String(), "error") || strings.Count(out.String(), "\n") != 4 {
		t.Errorf("exit code %d\n%s%s", code, &out, &errs)
	}
}

// A filter shows less, and must not let what it leaves out explain what it shows.
func TestAFilterExplainsNothing(t *testing.T) {
	dir := t.TempDir()
	trail, path, rules := filepath.Join(dir, "trail"), filepath.Join(dir, "ledger"), filepath.Join(dir, "rules.yaml")
	ledger, err := audit.OpenLedger(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ledger.Close()
	ledger.Observe(t.Context(), kms.Event{Op: kms.OpDecrypt, Start: time.Now(), Items: []kms.EventItem{{Context: kms.Context{"model_name": "User", "model_id": "2"}, Attempts: 1}}})
	appendFile(t, trail, cloudTrailDecrypt(2)+"\n"+strings.Replace(cloudTrailDecrypt(2), "arn:x", "arn:thief", 1)+"\n")
	writeFile(t, rules, "rules: [{name: unexplained, unexplained: true}]\n")
	for _, filter := range []string{"arn:thief", "*"} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), []string{"audit", "check", "--rules", rules, "--ledger", path, "--principal", filter, trail}, strings.NewReader(""), &out, &errs)
		if code != exitPartly || strings.Count(out.String(), "arn:thief") != 1 {
			t.Errorf("%s: exit code %d, %s%s", filter, code, &out, &errs)
		}
	}
	var out bytes.Buffer
	Main(t.Context(), []string{"audit", "report", "--format", "json", "--ledger", path, "--principal", "arn:thief", trail}, strings.NewReader(""), &out, &out)
	if !strings.Contains(out.String(), "\"unexplained\": {\n    \"count\": 1,") {
		t.Errorf("report: %s", &out)
	}
}

func cloudTrailDecrypt(id int) string {
	return fmt.Sprintf(`{"eventTime":%q,"eventSource":"kms.amazonaws.com","eventName":"Decrypt","userIdentity":{"arn":"arn:x"},`+
		`"requestParameters":{"encryptionContext":{"model_name":"User","model_id":"%d"}}}`, time.Now().UTC().Format(time.RFC3339), id)
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func appendFile(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
