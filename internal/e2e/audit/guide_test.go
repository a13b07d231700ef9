package audit_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	_ "github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/otelseal"
)

// What docs/auditing.md shows, with what stands around it in a program.

func writeDown(ctx context.Context) error {
	ledger, err := audit.OpenLedger("/var/log/app/ledger.jsonl", nil)
	if err != nil {
		return err
	}
	key, err := kms.Open(ctx, "vault/users", &kms.KeyOptions{Observers: []kms.Observer{audit.Logger(nil, nil), ledger}})
	if err != nil {
		return err
	}
	ctx = audit.WithActor(ctx, "grace", "ticket 4711") // as a middleware does for every request
	_, err = key.Encrypt(ctx, []byte("data key"), user("1"))
	return err
}

func measured() (kms.Observer, error) {
	observer, err := otelseal.New(nil) // the providers of package otel
	return observer, err
}

func TestTheAuditingPageShowsThisCode(t *testing.T) {
	page, err := os.ReadFile("../../../docs/auditing.md")
	must(t, err)
	code, err := os.ReadFile("guide_test.go")
	must(t, err)
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Errorf("the page has %d blocks of Go", len(blocks))
	}
	for _, block := range blocks {
		for line := range strings.Lines(block[1]) {
			if !strings.Contains(string(code), strings.TrimSpace(line)) {
				t.Errorf("the page shows a line that is not here: %s", line)
			}
		}
	}
	_ = writeDown // on a machine that has such a directory
	observer, err := measured()
	must(t, err)
	key, err := kms.Open(t.Context(), "local/users", &kms.KeyOptions{Observers: []kms.Observer{observer}})
	must(t, err)
	key.Close()
}
