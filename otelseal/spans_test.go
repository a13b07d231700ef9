package otelseal_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/rowseal/rowseal/audit"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/otelseal"
)

func TestACallIsASpanOfItsTrace(t *testing.T) {
	w := newWorld(t, otelseal.Options{})
	ctx, parent := w.tracers.Tracer("program").Start(t.Context(), "GET /users")
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w.Observe(ctx, kms.Event{Op: kms.OpDecrypt, KeyID: "vault/users", Requests: 3, Start: start, Duration: 40 * time.Millisecond,
		Items: []kms.EventItem{{Context: user(1), KeyVersion: "2", Attempts: 1}, {Context: user(2), KeyVersion: "1", Attempts: 2}, {Attempts: 1}}})

	s := w.span()
	if s.Name != "decrypt vault" || s.SpanKind != trace.SpanKindClient || s.Status.Code != codes.Unset {
		t.Errorf("%q of kind %v with status %v", s.Name, s.SpanKind, s.Status)
	}
	if !s.StartTime.Equal(start) || !s.EndTime.Equal(start.Add(40*time.Millisecond)) {
		t.Errorf("from %v to %v, not those of the call", s.StartTime, s.EndTime)
	}
	if s.Parent.SpanID() != parent.SpanContext().SpanID() || s.SpanContext.TraceID() != parent.SpanContext().TraceID() {
		t.Error("it is not below the ctx's span")
	}
	if s.InstrumentationScope.Name != "github.com/rowseal/rowseal/otelseal" {
		t.Errorf("scope %q", s.InstrumentationScope.Name)
	}
	want := map[string]string{
		"rowseal.kms.provider":        "vault",
		"rowseal.kms.operation":       "decrypt",
		"rowseal.kms.key.id":          "vault/users",
		"rowseal.kms.key.versions":    "[1 2]",
		"rowseal.kms.item.count":      "3",
		"rowseal.kms.request.count":   "3",
		"rowseal.kms.record.contexts": `[{"model_id":"1","model_name":"User"} {"model_id":"2","model_name":"User"} null]`,
	}
	if got := attrs(s); !maps.Equal(got, want) {
		t.Errorf("attributes %v\nwant %v", got, want)
	}
}

func TestAFailureShowsItsClassAndNotItsText(t *testing.T) {
	fake := &kmstest.Fake{ID: "vault/users", BatchSize: 10}
	items := sealed(t, fake, 3)
	const secret = "ada@example.org"
	fake.Fault = func(_ kmstest.Request, it kms.Item) error {
		if it.Context["model_id"] == "1" {
			return fmt.Errorf("%s may not: %w", secret, kms.ErrAccessDenied)
		}
		return nil
	}
	w := newWorld(t, otelseal.Options{})
	if r := w.key(fake).DecryptBatch(t.Context(), items); !strings.Contains(r[1].Err.Error(), secret) {
		t.Fatalf("the test's error is %v", r[1].Err)
	}

	s := w.span()
	if s.Status.Code != codes.Error || s.Status.Description != "access_denied" || len(s.Events) != 0 {
		t.Errorf("status %v, events %v", s.Status, s.Events)
	}
	got := attrs(s)
	for name, want := range map[string]string{
		"error.type":                         "access_denied",
		"rowseal.kms.item.count":             "3",
		"rowseal.kms.item.failed_count":      "1",
		"rowseal.kms.record.failed_contexts": `[{"model_id":"1","model_name":"User"}]`,
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if all := fmt.Sprintf("%+v %+v", s, w.metrics()); strings.Contains(all, secret) {
		t.Errorf("the error's text is in:\n%s", all)
	}
}

func TestErrorTypesAreTheClassesOfAuditAndTheConventionsOther(t *testing.T) {
	for want, err := range map[string]error{
		"decryption_failed": kms.ErrDecryptionFailed, "access_denied": kms.ErrAccessDenied, "key_not_found": kms.ErrKeyNotFound,
		"key_disabled": kms.ErrKeyDisabled, "throttled": kms.ErrThrottled, "wrong_answer": kms.ErrWrongAnswer,
		"unavailable": kms.ErrUnavailable, "invalid_request": kms.ErrInvalidRequest, "budget": kms.ErrBudget,
		"_OTHER": errors.New("one of nobody's"),
	} {
		w := newWorld(t, otelseal.Options{})
		err = errors.Join(&kms.Error{Op: kms.OpDecrypt, KeyID: "vault/users", Err: err})
		w.Observe(t.Context(), kms.Event{Op: kms.OpDecrypt, KeyID: "vault/users", Items: []kms.EventItem{{Err: err}}, Failed: 1, Err: err})
		if got := attrs(w.span())["error.type"]; got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
		if series := "rowseal.kms.items error.type=" + want + ",rowseal.kms.operation=decrypt,rowseal.kms.provider=vault"; w.series()[series] != 1 {
			t.Errorf("no series %q in %v", series, w.series())
		}
	}
}

func TestACallThatFailedInSeveralWaysHasTheFirstOfTheClasses(t *testing.T) {
	w := newWorld(t, otelseal.Options{})
	items := []kms.EventItem{{Err: kms.ErrThrottled}, {Err: kms.ErrDecryptionFailed}, {Err: kms.ErrThrottled}}
	w.Observe(t.Context(), kms.Event{Op: kms.OpDecrypt, KeyID: "vault/users", Items: items, Failed: 3,
		Err: errors.Join(items[0].Err, items[1].Err, items[2].Err)})
	const decrypt = ",rowseal.kms.operation=decrypt,rowseal.kms.provider=vault"
	got := w.series()
	if got["rowseal.kms.call.duration error.type=decryption_failed"+decrypt] != 1 || w.span().Status.Description != "decryption_failed" {
		t.Errorf("the call: %v, and\n%s", w.span().Status, lines(got))
	}
	if got["rowseal.kms.items error.type=throttled"+decrypt] != 2 || got["rowseal.kms.items error.type=decryption_failed"+decrypt] != 1 {
		t.Errorf("the items:\n%s", lines(got))
	}
}

func TestSpansHashTheValuesThatRedactionDoesNotShow(t *testing.T) {
	c := kms.Context{"model_name": "User", "model_id": "7", "key_name": "phone", "email": "ada@example.org"}
	key := []byte("a key for hashes of this one test")
	hashed := (&audit.Redaction{HashKey: key}).Redactor()(c)["email"]
	for _, test := range []struct {
		name      string
		redaction *audit.Redaction
		want      string
	}{
		{"with a key", &audit.Redaction{HashKey: key}, `{"email":"` + hashed + `","key_name":"phone","model_id":"7","model_name":"User"}`},
		{"showing one", &audit.Redaction{HashKey: key, Show: []string{"email", "model_name", "model_id", "key_name"}},
			`{"email":"ada@example.org","key_name":"phone","model_id":"7","model_name":"User"}`},
		{"showing all", &audit.Redaction{ShowAll: true}, `{"email":"ada@example.org","key_name":"phone","model_id":"7","model_name":"User"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, otelseal.Options{Redaction: test.redaction})
			w.Observe(t.Context(), kms.Event{Items: []kms.EventItem{{Context: c}}})
			if got := slice(w.span(), "rowseal.kms.record.contexts"); !slices.Equal(got, []string{test.want}) {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
	t.Run("by itself", func(t *testing.T) {
		w := newWorld(t, otelseal.Options{})
		w.Observe(t.Context(), kms.Event{Items: []kms.EventItem{{Context: c, Err: kms.ErrThrottled}}, Failed: 1, Err: kms.ErrThrottled})
		s := w.span()
		for _, name := range []attribute.Key{"rowseal.kms.record.contexts", "rowseal.kms.record.failed_contexts"} {
			got := strings.Join(slice(s, name), "")
			if !strings.Contains(got, `"email":"hmac:`) || !strings.Contains(got, `"model_id":"7"`) {
				t.Errorf("%s: %s", name, got)
			}
		}
	})
}

func TestASpanNamesTheFirstRecordsAndTheFirstThatFailed(t *testing.T) {
	e := kms.Event{Items: make([]kms.EventItem, 100), Failed: 40, Err: kms.ErrThrottled}
	for i := range e.Items {
		e.Items[i].Context = user(i)
		if i >= 60 {
			e.Items[i].Err = kms.ErrThrottled
		}
	}
	for _, test := range []struct{ records, want int }{{0, 32}, {1, 1}, {50, 50}, {1000, 100}, {-1, 0}} {
		w := newWorld(t, otelseal.Options{Records: test.records})
		w.Observe(t.Context(), e)
		s := w.span()
		all, failed := slice(s, "rowseal.kms.record.contexts"), slice(s, "rowseal.kms.record.failed_contexts")
		if len(all) != test.want || len(failed) != min(test.want, 40) {
			t.Errorf("Records %d: %d records, %d failed; want %d and %d", test.records, len(all), len(failed), test.want, min(test.want, 40))
		}
		if test.want > 0 && (!strings.Contains(all[0], `"0"`) || !strings.Contains(failed[0], `"60"`)) {
			t.Errorf("Records %d: %s and %s come first", test.records, all[0], failed[0])
		}
		if test.records < 0 && strings.Contains(fmt.Sprint(attrs(s)), "User") {
			t.Errorf("no record was asked for: %v", attrs(s))
		}
	}
}

func TestSpansNameTheActorOnlyIfTold(t *testing.T) {
	ctx := audit.WithActor(t.Context(), "ada", "ticket 4711")
	for _, test := range []struct {
		actor bool
		want  string
	}{{false, ""}, {true, "ada: ticket 4711"}} {
		w := newWorld(t, otelseal.Options{Actor: test.actor})
		w.Observe(ctx, kms.Event{})
		got := attrs(w.span())
		if who := strings.Trim(got["rowseal.kms.actor"]+": "+got["rowseal.kms.purpose"], ": "); who != test.want {
			t.Errorf("Actor %v: %q, want %q", test.actor, who, test.want)
		}
	}
}

// Text that is not UTF-8 would cost the batch of spans that it is in: protobuf refuses it.
func TestSpansAreValidUTF8(t *testing.T) {
	const bad = "caf\xe9"
	w := newWorld(t, otelseal.Options{Actor: true, Redaction: &audit.Redaction{ShowAll: true}})
	w.Observe(audit.WithActor(t.Context(), bad, bad), kms.Event{Op: kms.OpDecrypt, KeyID: bad,
		Items: []kms.EventItem{{Context: kms.Context{bad: bad}, KeyVersion: bad, Err: kms.ErrInvalidRequest}}, Failed: 1, Err: kms.ErrInvalidRequest})
	found := 0
	for name, value := range attrs(w.span()) {
		if !utf8.ValidString(value) {
			t.Errorf("%s is %q", name, value)
		}
		if strings.Contains(value, "caf\uFFFD") || strings.Contains(value, `caf\ufffd`) {
			found++
		}
	}
	if found != 6 { // key id and version, both lists of contexts, actor and purpose
		t.Errorf("%d attributes have the text, want 6: %v", found, attrs(w.span()))
	}
}
