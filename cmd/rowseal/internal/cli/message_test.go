package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeVault answers every request in the same way, with one result for each of its items.
func fakeVault(t *testing.T, status int, item string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Items []json.RawMessage `json:"batch_input"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
		if status != http.StatusOK {
			fmt.Fprintf(w, `{"errors": [%q]}`, item)
			return
		}
		fmt.Fprintf(w, `{"data": {"batch_results": [%s]}}`, strings.TrimSuffix(strings.Repeat(item+",", len(asked.Items)), ","))
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "hvs.token")
}

func TestWhereTheAddressComesFromIsToldOnlyIfNobodyAnswers(t *testing.T) {
	const told = "'rowseal keys --help' tells where the service's address comes from"
	encrypt := func() string {
		t.Helper()
		code, stderr := run(t, t.Context(), io.Discard, "encrypt", "--key-id", "vault/users", "--context", "model_id=1", "hello")
		if code != exitFailed || !strings.Contains(stderr, "unavailable") {
			t.Errorf("exit code %d, %s", code, stderr)
		}
		return stderr
	}
	fakeVault(t, http.StatusServiceUnavailable, "Vault is sealed")
	if stderr := encrypt(); !strings.Contains(stderr, "Vault is sealed") || strings.Contains(stderr, told) {
		t.Errorf("a sealed Vault: %s", stderr)
	}
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for what, address := range map[string]string{
		"no server":                  "http://127.0.0.1:1",
		"a host that there is not":   "http://vault.invalid:8200",
		"a server that has no HTTPS": strings.Replace(plain.URL, "http:", "https:", 1),
		"a socket that there is not": "unix:///nowhere/vault.sock",
	} {
		t.Setenv("VAULT_ADDR", address)
		if stderr := encrypt(); !strings.Contains(stderr, told) {
			t.Errorf("%s: %s", what, stderr)
		}
	}
}

func TestErrorsSpeakOfNothingThatTheCommandLineHasNot(t *testing.T) {
	fakeVault(t, http.StatusOK, `{"ciphertext": "vault:v1:AAAA", "reference": "0"}`)
	var out bytes.Buffer
	code, stderr := run(t, t.Context(), &out, "keys", "check", "vault/users")
	if code != exitFailed || stderr != "error: vault/users is found neither to seal nor to open\n" {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	if page := out.String(); !strings.Contains(page, "no: transit/encrypt/users: this key is not derived") || strings.Contains(page, "Options") {
		t.Errorf("a key that is not derived: %s", page)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ROWSEAL_LOCAL_KEYS", file)
	for _, args := range [][]string{
		{"encrypt", "--key-id", "vault/users", "--context", "model_id=1", "hello"},
		{"encrypt", "--key-id", "vault/my key", "hello"},
		{"keys", "create", "demo"},
	} {
		if code, stderr := run(t, t.Context(), io.Discard, args...); code == exitOK || strings.Contains(stderr, "Options") || strings.Contains(stderr, "Store") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

func TestAMissingContextIsAskedFor(t *testing.T) {
	fakeVault(t, http.StatusOK, "{}")
	for _, args := range [][]string{{"encrypt", "--key-id", "vault/users", "hello"}, {"decrypt", "--key-id", "vault/users", "v1:dmF1bHQ6djE6QUFBQQ=="}} {
		code, stderr := run(t, t.Context(), io.Discard, args...)
		if code != exitFailed || !strings.HasSuffix(stderr, "(give --context NAME=VALUE)\n") {
			t.Errorf("%v: exit code %d, %s", args, code, stderr)
		}
	}
}

func TestAnInterruptedCheckFindsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, stderr := run(t, ctx, io.Discard, "keys", "check", "insecure-test-key")
	if code != exitFailed || !strings.Contains(stderr, "error: interrupted: encrypt with insecure-test-key: ") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
