package kms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// recorder is an Observer that keeps what it is told.
type recorder struct{ events []kms.Event }

func (r *recorder) Observe(_ context.Context, e kms.Event) { r.events = append(r.events, e) }

// observed returns a Key of fake and the events of its calls.
func observed(fake *kmstest.Fake) (*kms.Key, *recorder) {
	r := new(recorder)
	return kms.NewKey(fake, &kms.KeyOptions{Observers: []kms.Observer{r}}), r
}

func TestObserversAreToldOfEveryCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &kmstest.Fake{ID: "vault/users", BatchSize: 2, Latency: time.Second}
		sealed := seal(t, fake, 5)
		sealed[3].Data = []byte("no ciphertext")
		key, told := observed(fake)
		key.DecryptBatch(t.Context(), sealed)
		if len(told.events) != 1 {
			t.Fatalf("%d events", len(told.events))
		}
		e := told.events[0]
		if e.Op != kms.OpDecrypt || e.KeyID != "vault/users" || e.Requests != 3 || e.Failed != 1 || e.Duration != time.Second {
			t.Errorf("got %+v", e)
		}
		if len(e.Contexts) != 5 || e.Contexts[4]["model_id"] != "4" {
			t.Errorf("contexts %v", e.Contexts)
		}
		if !errors.Is(e.Err, kms.ErrDecryptionFailed) {
			t.Errorf("error %v", e.Err)
		}
		for i, err := range e.Errs {
			if (i == 3) != errors.Is(err, kms.ErrDecryptionFailed) || len(e.Errs) != 5 {
				t.Errorf("the error of item %d of %d is %v", i, len(e.Errs), err)
			}
		}
	})
}

func TestObserversAreToldOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &kmstest.Fake{}
		fake.Throttle(2)
		key, told := observed(fake)
		key.Encrypt(t.Context(), []byte("data key"), user(1))
		if e := told.events[0]; e.Requests != 3 || e.Failed != 0 || e.Err != nil {
			t.Errorf("got %+v", e)
		}
	})
}

func TestObserversAreToldOfRefusedCalls(t *testing.T) {
	for _, test := range []struct {
		what string
		call func(context.Context, *kms.Key)
		op   kms.Op
		want error
	}{
		{"encrypt-only", func(ctx context.Context, k *kms.Key) { k.EncryptOnly().Decrypt(ctx, []byte("x"), user(1)) },
			kms.OpDecrypt, kms.ErrAccessDenied},
		{"closed", func(ctx context.Context, k *kms.Key) { k.Close(); k.Encrypt(ctx, []byte("x"), user(1)) },
			kms.OpEncrypt, kms.ErrInvalidRequest},
		{"invalid context", func(ctx context.Context, k *kms.Key) { k.Encrypt(ctx, []byte("x"), kms.Context{"a": "\xff"}) },
			kms.OpEncrypt, kms.ErrInvalidRequest},
		{"no budget", func(ctx context.Context, k *kms.Key) { k.Encrypt(kms.WithBudget(ctx, 0), []byte("x"), user(1)) },
			kms.OpEncrypt, kms.ErrBudget},
	} {
		fake := &kmstest.Fake{}
		key, told := observed(fake)
		test.call(t.Context(), key)
		if len(told.events) != 1 {
			t.Errorf("%s: %d events", test.what, len(told.events))
			continue
		}
		e := told.events[0]
		if e.Op != test.op || e.Requests != 0 || e.Failed != 1 || len(e.Contexts) != 1 || !errors.Is(e.Err, test.want) {
			t.Errorf("%s: %+v", test.what, e)
		}
	}
}

func TestACallWithoutItemsIsNoEvent(t *testing.T) {
	key, told := observed(&kmstest.Fake{})
	key.EncryptBatch(t.Context(), nil)
	key.RewrapBatch(t.Context(), nil)
	if len(told.events) != 0 {
		t.Errorf("%d events", len(told.events))
	}
}

func TestObserversAreCalledInTheirOrder(t *testing.T) {
	var order []string
	named := func(name string) kms.Observer {
		return kms.ObserverFunc(func(context.Context, kms.Event) { order = append(order, name) })
	}
	key := kms.NewKey(&kmstest.Fake{}, &kms.KeyOptions{Observers: []kms.Observer{named("a"), named("b"), named("c")}})
	key.Encrypt(t.Context(), []byte("data key"), nil)
	if got := strings.Join(order, ""); got != "abc" {
		t.Errorf("called as %s", got)
	}
}

// logged returns the lines, as JSON, that Logger writes of the calls.
func logged(t *testing.T, fake *kmstest.Fake, opts *kms.LogOptions, calls func(*kms.Key)) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	logger := kms.Logger(slog.New(slog.NewJSONHandler(&out, nil)), opts)
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
		opts  *kms.LogOptions
		shown string
	}{
		{"by default", nil, "model_name model_id key_name"},
		{"with a key", &kms.LogOptions{HashKey: key}, "model_name model_id key_name"},
		{"shown names", &kms.LogOptions{Show: []string{"tenant"}}, "tenant"},
		{"none shown", &kms.LogOptions{Show: []string{}}, ""},
		{"all shown", &kms.LogOptions{ShowAll: true}, "model_name model_id key_name email tenant"},
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
		line := logged(t, &kmstest.Fake{}, &kms.LogOptions{HashKey: key}, func(k *kms.Key) {
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
		len(contexts[2].(map[string]any)) != 0 {
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

func TestLoggerTakesAnEventThatSomebodyElseMade(t *testing.T) {
	var out bytes.Buffer
	logger := kms.Logger(slog.New(slog.NewTextHandler(&out, nil)), nil)
	logger.Observe(t.Context(), kms.Event{Op: kms.OpDecrypt, Contexts: []kms.Context{user(1)}, Err: kms.ErrThrottled})
	if !strings.Contains(out.String(), "error=throttled") {
		t.Errorf("got %q", out.String())
	}
}

func TestLoggerNeedsNoLogger(t *testing.T) {
	before := slog.Default()
	defer slog.SetDefault(before)
	var out bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	key := kms.NewKey(&kmstest.Fake{}, &kms.KeyOptions{Observers: []kms.Observer{kms.Logger(nil, nil)}})
	key.Encrypt(t.Context(), []byte("data key"), user(7))
	if !strings.Contains(out.String(), "model_id:7") {
		t.Errorf("got %q", out.String())
	}
}
