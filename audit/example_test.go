package audit_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A line for each call, with who asked and why.
func ExampleLogger() {
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.MessageKey || a.Key == "duration" {
			return slog.Attr{} // other at each run
		}
		return a
	}}))
	key := kms.NewKey(kmstest.NewFake(), &kms.KeyOptions{Observers: []kms.Observer{audit.Logger(log, nil)}})

	ctx := audit.WithActor(context.Background(), "ada", "ticket 4711")
	if _, err := key.Encrypt(ctx, []byte("data key"), kms.Context{"model_name": "User", "model_id": "1"}); err != nil {
		panic(err)
	}
	// Output: level=INFO op=encrypt key_id=fake-key items=1 requests=1 contexts="[map[model_id:1 model_name:User]]" key_versions=[1] actor=ada purpose="ticket 4711"
}

// A ledger is as it was written, and a report of it.
func Example() {
	dir, err := os.MkdirTemp("", "ledger")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "ledger.jsonl")
	ledger, err := audit.OpenLedger(path, nil)
	if err != nil {
		panic(err)
	}
	key := kms.NewKey(kmstest.NewFake(), &kms.KeyOptions{Observers: []kms.Observer{ledger}})

	ctx := audit.WithActor(context.Background(), "grace", "ticket 4711")
	row := kms.Context{"model_name": "User", "model_id": "1"}
	wrapped, err := key.Encrypt(ctx, []byte("data key"), row)
	if err != nil {
		panic(err)
	}
	for range 2 {
		if _, err := key.Decrypt(ctx, wrapped, row); err != nil {
			panic(err)
		}
	}

	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	check := &audit.Verifier{Known: []audit.Head{ledger.Head()}}
	if err := check.Add(path, file); err != nil {
		panic(err)
	}
	fmt.Println(check.Result().Entries, "lines,", len(check.Result().Faults), "faults")

	if _, err := file.Seek(0, io.SeekStart); err != nil {
		panic(err)
	}
	report, log := &audit.Report{}, audit.NewReader(path, file)
	for {
		e, err := log.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			panic(err)
		}
		report.Add(e)
	}
	for _, a := range report.Summary().TopRecords {
		fmt.Println(a.Record, "was opened", a.Count, "times")
	}
	// Output:
	// 3 lines, 0 faults
	// User 1 was opened 2 times
}

// An open in the KMS's log that no application event explains.
func ExampleMatcher() {
	matcher, names := &audit.Matcher{}, map[string]string{"i-1": "the application", "i-2": "somebody else"}
	row := kms.Context{"model_name": "User", "model_id": "1"}
	at := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	matcher.Application(audit.Event{Time: at, Op: kms.OpDecrypt, Outcome: audit.OK, Context: row, Attempts: 1})
	for _, who := range []string{"i-1", "i-2"} {
		logged := audit.Event{Time: at.Add(time.Second), Source: audit.CloudTrail, Op: kms.OpDecrypt, Outcome: audit.OK, Context: row, Principal: who}
		if !matcher.Explains(logged) {
			fmt.Println(logged.Record(), "was opened by", names[logged.Principal])
		}
	}
	// Output: User 1 was opened by somebody else
}
