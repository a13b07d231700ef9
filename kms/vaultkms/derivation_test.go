package vaultkms_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/vaultkms"
)

func TestAKeyIsAskedOnceAndByTheOperationItself(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			e := newEngine(t)
			s := e.service(t)
			for range 3 {
				if r := op.do(t, s, rows(2)); r[0].Err != nil || r[1].Err != nil {
					t.Fatal(r[0].Err, r[1].Err)
				}
			}
			var asked []string
			for _, r := range e.all() {
				if r.probe() {
					asked = append(asked, r.op())
				}
				if r.op() != op.name {
					t.Errorf("a request went to %s", r.Path)
				}
			}
			if !slices.Equal(asked, []string{op.name}) {
				t.Errorf("asked by %q", asked)
			}
		})
	}
}

func TestAKeyThatOneOperationFoundDerivedIsNotAskedByAnother(t *testing.T) {
	e := newEngine(t)
	s := e.service(t)
	for _, op := range operations {
		op.do(t, s, rows(1))
	}
	if n := len(e.all()); n != 4 {
		t.Errorf("%d requests, want the question and one an operation", n)
	}
}

// The caller's client may be pointed to another server or namespace, where the key of the same name is another.
func TestAKeyElsewhereIsAskedAnew(t *testing.T) {
	e := newEngine(t)
	e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
		if s.probe() && s.Header.Get("X-Vault-Namespace") == "underived" {
			a.status, a.Results = http.StatusOK, []result{{"ciphertext": "vault:v1:QUJD"}}
		}
		return false
	}
	c := e.client(t)
	s := service(t, &vaultkms.Options{Client: c})
	for _, op := range operations {
		for namespace, want := range map[string]error{"": nil, "underived": kms.ErrInvalidRequest, "other": nil} {
			c.SetNamespace(namespace)
			if r := op.do(t, s, rows(1))[0]; !errors.Is(r.Err, want) {
				t.Errorf("%s in the namespace %q: %v, want %v", op.name, namespace, r.Err, want)
			}
		}
	}
	c.SetNamespace("")
	moved := newEngine(t)
	for range 2 {
		for _, address := range []string{e.URL, moved.URL, moved.URL + "/prefix"} {
			c.SetAddress(address)
			if r := s.Encrypt(t.Context(), rows(1))[0]; r.Err != nil {
				t.Errorf("%s: %v", address, r.Err)
			}
		}
	}
	if asked := len(moved.all()) - len(moved.requests()); asked != 2 {
		t.Errorf("two other addresses were asked %d times", asked)
	}
}

func TestAKeyThatIsNotDerivedIsRefused(t *testing.T) {
	answers := map[string][]result{
		"encrypt": {{"ciphertext": "vault:v1:QUJD"}},
		"decrypt": {{"error": "cipher: message authentication failed"}, {"error": "failed to RSA decrypt the ciphertext"}, {"plaintext": ""}},
		"rewrap":  {{"error": "invalid ciphertext: could not decode base64"}, {"ciphertext": "vault:v1:QUJD"}},
	}
	for _, op := range operations {
		for _, given := range answers[op.name] {
			e := newEngine(t)
			e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
				if s.probe() {
					a.Results = []result{given}
				}
				return false
			}
			s := e.service(t)
			for range 2 { // a failure is not remembered
				r := op.do(t, s, rows(1))[0]
				if !errors.Is(r.Err, kms.ErrInvalidRequest) || !strings.Contains(r.Err.Error(), "derived=true") {
					t.Errorf("%s, answered %v: %v", op.name, given, r.Err)
				}
			}
			if all, real := len(e.all()), len(e.requests()); all != 2 || real != 0 {
				t.Errorf("%s: %d requests, %d of them real", op.name, all, real)
			}
		}
	}
}

func TestAnUnderivedKeyIsAcceptedWithoutAQuestion(t *testing.T) {
	e := newEngine(t)
	s := service(t, &vaultkms.Options{Client: e.client(t), AcceptUnderived: true})
	for _, op := range operations {
		if r := op.do(t, s, rows(1))[0]; r.Err != nil {
			t.Errorf("%s: %v", op.name, r.Err)
		}
	}
	if all := e.all(); len(all) != 3 || len(e.requests()) != 3 {
		t.Errorf("%d requests", len(all))
	}
}

// A version that is not there, or may not be used, answers before the question does.
func TestTheQuestionIsAskedOfEveryVersionThatOccurs(t *testing.T) {
	e := newEngine(t)
	e.alter = func(_ http.ResponseWriter, s sent, a *answer) bool {
		for i, it := range s.Items {
			switch ciphertext := it["ciphertext"].(string); {
			case strings.HasPrefix(ciphertext, "vault:v1:"):
				a.Results[i] = result{"reference": it["reference"], "error": "ciphertext or signature version is disallowed by policy (too old)"}
			case strings.HasPrefix(ciphertext, "vault:v9:"):
				a.Results[i] = result{"reference": it["reference"], "error": "invalid ciphertext: version is too new"}
			}
		}
		return false
	}
	items := sealed(rows(5))
	for i, version := range []string{"v9", "v1", "v1", "v7", "v9"} {
		items[i].Data = []byte(strings.Replace(string(items[i].Data), "v7", version, 1))
	}
	want := []error{kms.ErrKeyNotFound, kms.ErrKeyDisabled, kms.ErrKeyDisabled, nil, kms.ErrKeyNotFound}
	check := func(results []kms.Result, want []error) {
		t.Helper()
		for i, r := range results {
			if !errors.Is(r.Err, want[i]) {
				t.Errorf("item %d: %v, want %v", i, r.Err, want[i])
			}
		}
	}
	s := e.service(t)
	check(s.Decrypt(t.Context(), items[:3]), want[:3]) // nothing proven
	check(s.Decrypt(t.Context(), items), want)
	check(s.Decrypt(t.Context(), items), want)
	asked := 0
	for _, r := range e.all() {
		if r.probe() {
			asked++
			for _, it := range r.Items {
				if slices.ContainsFunc(items, func(real kms.Item) bool { return string(real.Data) == it["ciphertext"] }) {
					t.Error("a real ciphertext was sent without its context")
				}
			}
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want twice: the first proved nothing", asked)
	}
}

func TestCallsAtOnceAskOnce(t *testing.T) {
	e := newEngine(t)
	s := e.service(t)
	var wg sync.WaitGroup
	for range 8 {
		for _, op := range operations {
			wg.Go(func() {
				if r := op.do(t, s, rows(1))[0]; r.Err != nil {
					t.Error(r.Err)
				}
			})
		}
	}
	wg.Wait()
	if n := len(e.all()) - len(e.requests()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// held is an engine whose questions wait until they are let go.
func held(t *testing.T, status int) (e *engine, asked, let chan struct{}) {
	e = newEngine(t)
	asked, let = make(chan struct{}, 100), make(chan struct{})
	e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
		if !s.probe() {
			return false
		}
		asked <- struct{}{}
		<-let
		if status != http.StatusOK {
			w.WriteHeader(status)
		}
		return status != http.StatusOK
	}
	t.Cleanup(func() {
		select {
		case <-let:
		default:
			close(let)
		}
	})
	return e, asked, let
}

func TestWaitingForAnotherCallsQuestionHonoursCtx(t *testing.T) {
	e, asked, _ := held(t, http.StatusOK)
	s := e.service(t)
	go s.Encrypt(context.Background(), rows(1))
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := make(chan kms.Result)
	go func() { cancelled <- s.Encrypt(ctx, rows(1))[0] }()
	cancel()
	if r := <-cancelled; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("got %v", r.Err)
	}
}

// What one caller lacks is not the others' error.
func TestAQuestionThatEndsWithItsCallerIsAskedAgain(t *testing.T) {
	e, asked, let := held(t, http.StatusOK)
	s := e.service(t)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan kms.Result, 1), make(chan kms.Result, 1)
	go func() { first <- s.Encrypt(ctx, rows(1))[0] }()
	<-asked
	go func() { second <- s.Encrypt(t.Context(), rows(1))[0] }()
	time.Sleep(10 * time.Millisecond) // so that the second mostly waits for the first; both orders must work
	cancel()
	if r := <-first; !errors.Is(r.Err, context.Canceled) {
		t.Errorf("the first: %v", r.Err)
	}
	close(let)
	if r := <-second; r.Err != nil {
		t.Errorf("the second: %v", r.Err)
	}
}

func TestADeniedQuestionIsNotTheErrorOfAnotherOperation(t *testing.T) {
	e := newEngine(t)
	asked, let := make(chan struct{}, 1), make(chan struct{})
	e.alter = func(w http.ResponseWriter, s sent, _ *answer) bool {
		if s.op() != "decrypt" {
			return false
		}
		asked <- struct{}{}
		<-let
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	s := e.service(t)
	denied, sealing := make(chan kms.Result, 1), make(chan kms.Result, 1)
	go func() { denied <- s.Decrypt(t.Context(), sealed(rows(1)))[0] }()
	<-asked
	go func() { sealing <- s.Encrypt(t.Context(), rows(1))[0] }()
	time.Sleep(10 * time.Millisecond) // so that it mostly waits for the other's question; both orders must work
	close(let)
	if r := <-denied; !errors.Is(r.Err, kms.ErrAccessDenied) {
		t.Errorf("decrypt: %v", r.Err)
	}
	if r := <-sealing; r.Err != nil {
		t.Errorf("encrypt: %v", r.Err)
	}
}

// A server that is down is asked by the first of the calls that come at once, not by each in turn.
func TestCallsAtOnceShareTheErrorOfAServer(t *testing.T) {
	e, asked, let := held(t, http.StatusServiceUnavailable)
	s := e.service(t)
	var wg sync.WaitGroup
	var waiting atomic.Int32
	for range 8 {
		wg.Go(func() {
			waiting.Add(1)
			if r := s.Encrypt(t.Context(), rows(1))[0]; !errors.Is(r.Err, kms.ErrUnavailable) {
				t.Errorf("got %v", r.Err)
			}
		})
	}
	<-asked
	for waiting.Load() < 8 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond) // from being counted to waiting
	close(let)
	wg.Wait()
	if n := len(e.all()); n >= 8 {
		t.Errorf("8 calls asked %d times", n)
	}
}
