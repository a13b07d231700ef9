package audit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// TestNothingWrittenIsASecret greps all that sinks and reports write of seals, opens and rewraps, done and failed, for data keys,
// ciphertexts and context values that are not to be shown, in every encoding that one might meet.
func TestNothingWrittenIsASecret(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "ledger")
	observers := []kms.Observer{audit.Logger(slog.New(slog.NewJSONHandler(&log, nil)), nil), audit.Logger(slog.New(slog.NewTextHandler(&log, nil)), nil), openLedger(t, path)}
	fake := &kmstest.Fake{BatchSize: 10, Support: kms.RewrapAnyContext}
	key := kms.NewKey(fake, &kms.KeyOptions{Observers: observers})

	plaintext := []byte("0123456789abcdef the data key!!!")
	row := kms.Context{"model_name": "User", "model_id": "1", "email": "ada@example.org"}
	moved := kms.Context{"model_name": "User", "model_id": "1", "email": "countess@example.org"}
	sealed, err := key.Encrypt(t.Context(), plaintext, row)
	if err != nil {
		t.Fatal(err)
	}
	key.Decrypt(t.Context(), sealed, row)
	key.Decrypt(t.Context(), sealed, moved)
	key.RewrapBatch(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: sealed, Context: row}, To: moved}})
	key.EncryptOnly().Decrypt(t.Context(), sealed, row)
	fake.Fault = func(kmstest.Request, kms.Item) error { return fmt.Errorf("a service's text: %w", kms.ErrUnavailable) }
	key.Encrypt(t.Context(), plaintext, row)

	ledger, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := &audit.Document{Title: "report", Compared: true}
	r := &audit.Report{}
	var table bytes.Buffer
	lines := audit.NewCSV(&table)
	reader := audit.NewReader(path, bytes.NewReader(ledger))
	for {
		e, err := reader.Next()
		if err != nil {
			break
		}
		r.Add(e)
		d.Unexplained.Add(r.Line(e))
		if err := lines.Write(r.Line(e)); err != nil {
			t.Fatal(err)
		}
	}
	d.Summary = r.Summary()
	written := map[string]string{"log": log.String(), "ledger": string(ledger)}
	var text, page, object bytes.Buffer
	for _, err := range []error{lines.Flush(), d.WriteText(&text), d.WriteHTML(&page), d.WriteJSON(&object)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	written["csv"], written["text"], written["page"], written["json"] = table.String(), text.String(), page.String(), object.String()

	var secrets []string
	for _, b := range [][]byte{plaintext, sealed[4:24], []byte("ada@example.org"), []byte("countess@example.org")} {
		secrets = append(secrets, string(b), hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
			fmt.Sprint(b), fmt.Sprintf("%q", b))
	}
	for what, got := range written {
		if strings.Count(got, "User 1")+strings.Count(got, "model_id") < 3 {
			t.Errorf("%s has too little: %s", what, got)
		}
		for _, s := range secrets {
			if strings.Contains(got, s) {
				t.Errorf("%s has %q:\n%s", what, s, got)
			}
		}
	}
}

// BenchmarkLedger compares a ledger with bare writes of as many bytes to a file.
func BenchmarkLedger(b *testing.B) {
	for _, records := range []int{1, 240} {
		event := kms.Event{Op: kms.OpDecrypt, KeyID: "vault/users", Start: noon, Requests: 1}
		for i := range records {
			event.Items = append(event.Items, kms.EventItem{Context: user(i), KeyVersion: "1", Attempts: 1})
		}
		path := filepath.Join(b.TempDir(), "ledger")
		b.Run(fmt.Sprintf("ledger/%d", records), func(b *testing.B) {
			l, err := audit.OpenLedger(path, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			b.ReportAllocs()
			for b.Loop() {
				l.Observe(b.Context(), event)
			}
		})
		b.Run(fmt.Sprintf("bare/%d", records), func(b *testing.B) {
			whole, err := os.ReadFile(path)
			if err != nil {
				b.Fatal(err)
			}
			line, _, _ := bytes.Cut(whole, []byte("\n"))
			f, err := os.Create(filepath.Join(b.TempDir(), "bare"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Write(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
