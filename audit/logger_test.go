package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func user(id int) kms.Context {
	return kms.Context{"model_name": "User", "model_id": strconv.Itoa(id)}
}

// rows returns data keys of n users.
func rows(n int) []kms.Item {
	items := make([]kms.Item, n)
	for i := range items {
		items[i] = kms.Item{Data: []byte("data key"), Context: user(i)}
	}
	return items
}

// seal returns what fake makes of rows(n).
func seal(t *testing.T, fake *kmstest.Fake, n int) []kms.Item {
	t.Helper()
	items := rows(n)
	for i, r := range kms.NewKey(fake, nil).EncryptBatch(t.Context(), items) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		items[i].Data = r.Data
	}
	return items
}

// logged returns the lines, as JSON, that Logger writes of the calls.
func logged(t *testing.T, fake *kmstest.Fake, opts *audit.Redaction, calls func(*kms.Key)) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	logger := audit.Logger(slog.New(slog.NewJSONHandler(&out, nil)), opts)
	calls(kms.NewKey(fake, &kms.KeyOptions{Observers: []kms.Observer{logger}}))
	var lines []map[string]any
	for line := range bytes.Lines(out.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return lines
}

func TestLoggerShowsTheRowAndHashesTheRest(t *testing.T) {
	c := kms.Context{"model_name": "User", "model_id": "7", "key_name": "phone", "email": "ada@example.org", "tenant": "acme"}
	call := func(k *kms.Key) { k.Encrypt(t.Context(), []byte("data key"), c) }
	key := bytes.Repeat([]byte{1}, 32)
	for _, test := range []struct {
		what  string
		opts  *audit.Redaction
		shown string
	}{
		{"by default", nil, "model_name model_id key_name"},
		{"with a key", &audit.Redaction{HashKey: key}, "model_name model_id key_name"},
		{"shown names", &audit.Redaction{Show: []string{"tenant"}}, "tenant"},
		{"none shown", &audit.Redaction{Show: []string{}}, ""},
		{"all shown", &audit.Redaction{ShowAll: true}, "model_name model_id key_name email tenant"},
	} {
		line := logged(t, &kmstest.Fake{ID: "vault/users"}, test.opts, call)[0]
		if line["level"] != "INFO" || line["op"] != "encrypt" || line["key_id"] != "vault/users" || line["items"] != 1.0 ||
			line["requests"] != 1.0 || line["duration"] == nil || line["error"] != nil {
			t.Errorf("%s: %v", test.what, line)
		}
		printed := line["contexts"].([]any)[0].(map[string]any)
		if len(printed) != len(c) {
			t.Errorf("%s: %v", test.what, printed)
		}
		for name, value := range c {
			got := printed[name].(string)
			if shown := strings.Contains(test.shown, name); shown != (got == value) || !shown && !isHash(got) {
				t.Errorf("%s: %s is printed as %q", test.what, name, got)
			}
		}
	}
}

func isHash(s string) bool { return strings.HasPrefix(s, "hmac:") && len(s) == len("hmac:")+16 }

func TestLoggerHashesAreStableUnderOneKey(t *testing.T) {
	hash := func(key []byte, name, value string) string {
		line := logged(t, &kmstest.Fake{}, &audit.Redaction{HashKey: key}, func(k *kms.Key) {
			k.Encrypt(t.Context(), []byte("data key"), kms.Context{name: value})
		})[0]
		return line["contexts"].([]any)[0].(map[string]any)[name].(string)
	}
	a, b := bytes.Repeat([]byte("a"), 32), bytes.Repeat([]byte("b"), 32)
	if first := hash(a, "email", "x"); first != hash(a, "email", "x") {
		t.Error("the same key, name and value hash differently")
	}
	for what, other := range map[string]string{
		"another key": hash(b, "email", "x"), "another value": hash(a, "email", "y"), "another name": hash(a, "mail", "x"),
		"a moved byte": hash(a, "emai", "lx"), "a random key": hash(nil, "email", "x"), "an empty key": hash([]byte{}, "email", "x"),
	} {
		if hash(a, "email", "x") == other {
			t.Errorf("%s hashes to the same", what)
		}
	}
	for _, none := range [][]byte{nil, {}} {
		if first := hash(none, "email", "x"); first == hash(none, "email", "x") {
			t.Error("two Loggers have the same random key")
		}
	}
}

func TestLoggerNamesEveryRowOfABatch(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	line := logged(t, fake, nil, func(k *kms.Key) {
		items := rows(3)
		items[1].Context = kms.Context{"email": "ada@example.org"}
		items[2].Context = nil
		k.EncryptBatch(t.Context(), items)
	})[0]
	contexts := line["contexts"].([]any)
	if line["items"] != 3.0 || line["requests"] != 1.0 || len(contexts) != 3 {
		t.Fatalf("got %v", line)
	}
	if contexts[0].(map[string]any)["model_id"] != "0" || !isHash(contexts[1].(map[string]any)["email"].(string)) ||
		contexts[2] != nil {
		t.Errorf("got %v", contexts)
	}
}

func TestLoggerWarnsOfFailures(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	sealed := seal(t, fake, 3)
	sealed[1].Data = nil
	lines := logged(t, fake, nil, func(k *kms.Key) {
		k.DecryptBatch(t.Context(), sealed)
		k.EncryptOnly().Decrypt(t.Context(), sealed[0].Data, sealed[0].Context)
	})
	if refused := fmt.Sprint(lines[0]["failed_contexts"]); refused != fmt.Sprint([]any{map[string]any{"model_name": "User", "model_id": "1"}}) {
		t.Errorf("failed_contexts is %s, and item 1 failed", refused)
	}
	if l := lines[0]; l["level"] != "WARN" || l["failed"] != 1.0 || l["requests"] != 1.0 ||
		!strings.Contains(l["error"].(string), "decryption failed") {
		t.Errorf("got %v", l)
	}
	if l := lines[1]; l["level"] != "WARN" || l["failed"] != 1.0 || l["requests"] != 0.0 ||
		!strings.Contains(l["error"].(string), "access denied") {
		t.Errorf("got %v", l)
	}
}

func TestLoggerSaysItInAMessageForPeople(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	sealed := seal(t, fake, 5)
	sealed[4].Data = nil
	forged := kms.Context{"model_name": "User\nINFO decrypt", "model_id": ""}
	lines := logged(t, fake, nil, func(k *kms.Key) {
		k.DecryptBatch(t.Context(), sealed)
		k.Encrypt(t.Context(), []byte("data key"), nil)
		k.Encrypt(t.Context(), []byte("data key"), kms.Context{"model_name": "User", "model_id": "7", "key_name": "phone"})
		k.Encrypt(t.Context(), []byte("data key"), forged)
	})
	for i, want := range []string{
		`^decrypt 5 data keys \(\S+\): User 0, User 1, User 2 and 2 more; 1 failed$`,
		`^encrypt 1 data key \(\S+\): \(no context\)$`,
		`^encrypt 1 data key \(\S+\): User 7 phone$`,
		`^encrypt 1 data key \(\S+\): "User\\nINFO decrypt" ""$`,
	} {
		if got := lines[i]["msg"].(string); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("got %q, want %s", got, want)
		}
	}
}

func TestLoggerSaysWhoAndWhy(t *testing.T) {
	lines := logged(t, &kmstest.Fake{}, nil, func(k *kms.Key) {
		k.Encrypt(audit.WithActor(t.Context(), "ada", "ticket 4711"), []byte("data key"), user(1))
		k.Encrypt(t.Context(), []byte("data key"), user(1))
	})
	if l := lines[0]; l["actor"] != "ada" || l["purpose"] != "ticket 4711" || fmt.Sprint(l["key_versions"]) != "[1]" {
		t.Errorf("got %v", l)
	}
	if _, there := lines[1]["actor"]; there {
		t.Errorf("an actor that nobody named: %v", lines[1])
	}
}

func TestNoTwoRecordsHaveOneName(t *testing.T) {
	names := map[string]kms.Context{}
	r := &audit.Report{Redaction: &audit.Redaction{ShowAll: true}}
	for _, c := range []kms.Context{
		{}, {"model_name": "User"}, {"model_id": "1"}, {"key_name": "1"}, {"model_name": "User", "model_id": "1"}, {"model_name": "User", "model_id": ""},
		{"model_name": "User", "model_id": "1", "key_name": "phone"}, {"model_name": "User", "model_id": "1 phone"}, {"model_name": "User 1", "model_id": "phone"},
		{"model_name": "User", "model_id": "1", "a": "b"}, {"model_name": "User", "model_id": "1", "key_name": "a=b"}, {"model_name": "User", "model_id": "1 a=b"},
		{"model_name": "User", "key_name": "phone"}, {"model_name": "User", "model_id": "phone"}, {"a": "b c=d"}, {"a": "b", "c": "d"}, {"(no": "context)"},
	} {
		name := r.Line(audit.Event{Context: c}).Record
		if other, twice := names[name]; twice {
			t.Errorf("%v and %v are both %s", other, c, name)
		}
		names[name] = c
	}
}

func TestErrorClassNamesEverySentinel(t *testing.T) {
	for class, err := range map[string]error{
		"": nil, "other": errors.New("x"), "decryption_failed": kms.ErrDecryptionFailed, "access_denied": kms.ErrAccessDenied,
		"key_not_found": kms.ErrKeyNotFound, "key_disabled": kms.ErrKeyDisabled, "throttled": kms.ErrThrottled, "wrong_answer": kms.ErrWrongAnswer,
		"unavailable": kms.ErrUnavailable, "invalid_request": kms.ErrInvalidRequest, "budget": kms.ErrBudget,
		"canceled": context.Canceled, "deadline_exceeded": context.DeadlineExceeded,
	} {
		if err != nil {
			err = &kms.Error{Op: kms.OpDecrypt, KeyID: "vault/users", Err: err}
		}
		if got := audit.ErrorClass(err); got != class {
			t.Errorf("%v is %q, want %q", err, got, class)
		}
	}
}

func TestLoggerNeedsNoLogger(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var out bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	key := kms.NewKey(&kmstest.Fake{}, &kms.KeyOptions{Observers: []kms.Observer{audit.Logger(nil, nil)}})
	key.Encrypt(t.Context(), []byte("data key"), user(7))
	if !strings.Contains(out.String(), "model_id:7") {
		t.Errorf("got %q", out.String())
	}
}
