package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/internal/e2e/azuretest"
	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/azurekms"
)

// Through kms.Key, which retries: each fault ends in the right error or in success, with exactly so many requests.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(w world)
		want     error // nil: the key gets over it
		text     string
		requests int
	}{
		"connection refused":        {func(w world) { w.Close() }, kms.ErrUnavailable, "connect", 0},
		"reset in an answer, once":  {func(w world) { w.Fail(1, azuretest.Reset) }, nil, "", 2},
		"reset in every answer":     {func(w world) { w.Fail(9, azuretest.Reset) }, kms.ErrUnavailable, "cut short", 2},
		"silence":                   {func(w world) { w.Fail(9, w.Silent) }, kms.ErrUnavailable, "no answer within", 2},
		"throttled once":            {func(w world) { w.Fail(1, azuretest.Throttled(0)) }, nil, "", 2},
		"throttled for a second":    {func(w world) { w.Fail(1, azuretest.Throttled(1)) }, nil, "", 2},
		"throttled for a minute":    {func(w world) { w.Fail(9, azuretest.Throttled(60)) }, kms.ErrThrottled, "1m0s", 1},
		"throttled for ever":        {func(w world) { w.Fail(99, azuretest.Throttled(0)) }, kms.ErrThrottled, "Throttled", 6},
		"unavailable once":          {func(w world) { w.Fail(1, azuretest.Unavailable(0)) }, nil, "", 2},
		"unavailable":               {func(w world) { w.Fail(9, azuretest.Unavailable(0)) }, kms.ErrUnavailable, "ServiceUnavailable", 2},
		"unavailable for a second":  {func(w world) { w.Fail(1, azuretest.Unavailable(1)) }, nil, "", 2},
		"unavailable for a minute":  {func(w world) { w.Fail(9, azuretest.Unavailable(60)) }, kms.ErrUnavailable, "1m0s", 1},
		"half a JSON":               {func(w world) { w.Fail(9, azuretest.Body(200, `{"kid":"https://`)) }, kms.ErrUnavailable, "cannot be read", 2},
		"a page of a proxy":         {func(w world) { w.Fail(9, azuretest.Body(200, `<html>`)) }, kms.ErrUnavailable, "cannot be read", 2},
		"an empty object":           {func(w world) { w.Fail(9, azuretest.Body(200, `{}`)) }, kms.ErrWrongAnswer, "not one of Azure's", 1},
		"a foreign key answers":     {func(w world) { w.key.AnswerAs("https://evil.vault.azure.net/keys/users/" + strings.Repeat("0", 32)) }, kms.ErrWrongAnswer, "another key", 1},
		"a foreign version answers": {func(w world) { w.key.AnswerAs(w.id + "/" + strings.Repeat("0", 32)) }, kms.ErrWrongAnswer, "another key or version", 1},
		"the token is revoked":      {func(w world) { w.both.Revoke() }, kms.ErrAccessDenied, "az login", 2}, // the SDK asks once more, with a new token
		"the key is disabled":       {func(w world) { w.key.SetEnabled(false) }, kms.ErrKeyDisabled, "disabled", 1},
	} {
		for _, k := range kinds {
			t.Run(name+"/"+k.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, k)
				s := w.service(t, w.id, w.both)
				key := kms.NewKey(s, &kms.KeyOptions{Timeout: timeoutFor(name)})
				ciphertext := sealed(t, s)
				before := w.Requests()
				c.prepare(w)
				plaintext, err := key.Decrypt(t.Context(), ciphertext, row)
				if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
					t.Errorf("%v", err)
				}
				if c.want == nil && string(plaintext) != "a data key" || c.want != nil && plaintext != nil {
					t.Errorf("plaintext %q", plaintext)
				}
				if n := w.Requests() - before; n != c.requests {
					t.Errorf("%d requests, want %d", n, c.requests)
				}
			})
		}
	}
}

// timeoutFor is short where the fault is that nothing comes, and else long enough for a slow machine.
func timeoutFor(fault string) time.Duration {
	if fault == "silence" {
		return time.Second
	}
	return time.Minute
}

func TestFaultsWhileSealing(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		key := kms.NewKey(w.service(t, w.id, w.both), nil)
		w.key.AnswerAs("https://evil.vault.azure.net/keys/users/" + strings.Repeat("0", 32))
		if b, err := key.Encrypt(t.Context(), []byte("x"), row); !errors.Is(err, kms.ErrWrongAnswer) || b != nil || w.Requests() != 1 {
			t.Errorf("%v after %d requests", err, w.Requests())
		}
		w.key.AnswerAs("")
		if _, err := key.Encrypt(t.Context(), []byte("x"), row); err != nil {
			t.Error(err)
		}
	})
}

// n rows cost n requests, and a client one challenge however many requests it begins with.
func TestCounts(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		key := kms.NewKey(w.service(t, w.id, w.both), nil)
		items := make([]kms.Item, 50)
		for i := range items {
			items[i] = kms.Item{Data: fmt.Append(nil, "key ", i), Context: kms.Context{"id": fmt.Sprint(i)}}
		}
		results := key.EncryptBatch(t.Context(), items)
		if n := w.Requests(w.seal); n != 50 || w.Requests() != 50 {
			t.Errorf("sealing 50: %d requests, %d in all", n, w.Requests())
		}
		for i, r := range results {
			items[i].Data = r.Data
		}
		for i, r := range key.DecryptBatch(t.Context(), items) {
			if r.Err != nil || string(r.Data) != fmt.Sprint("key ", i) {
				t.Errorf("item %d: %v", i, r.Err)
			}
		}
		if n := w.Requests(w.open); n != 50 || w.Requests() != 100 {
			t.Errorf("opening 50: %d requests, %d in all", n, w.Requests())
		}
		if w.Challenges() > 16 {
			t.Errorf("%d challenges", w.Challenges())
		}
		_, err := key.Decrypt(kms.WithBudget(t.Context(), 0), items[0].Data, items[0].Context)
		if !errors.Is(err, kms.ErrBudget) || w.Requests() != 100 {
			t.Errorf("without a budget: %v", err)
		}
	})
}

// A client of the caller's own, with retries of its own, which a call does not use.
func TestTheCallersClient(t *testing.T) {
	eachKind(t, func(t *testing.T, w world) {
		co := w.ClientOptions()
		co.Retry = policy.RetryOptions{MaxRetries: 5, RetryDelay: time.Millisecond}
		client, err := azkeys.NewClient(w.host, w.both, co)
		if err != nil {
			t.Fatal(err)
		}
		s, err := azurekms.New(w.id, &azurekms.Options{AcceptPublicKeyWrapping: true, Client: client})
		if err != nil {
			t.Fatal(err)
		}
		ciphertext := sealed(t, s)
		before := w.Requests()
		w.Fail(9, azuretest.Unavailable(0))
		if err := open(t, s, ciphertext, row); !errors.Is(err, kms.ErrUnavailable) || w.Requests() != before+1 {
			t.Errorf("%v after %d requests", err, w.Requests()-before)
		}
	})
}

func TestNoGoroutineStays(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			e2etest.NoGoroutineStays(t)
			w := newWorld(t, k)
			key := kms.NewKey(w.service(t, w.id, w.both), nil)
			ciphertext, err := key.Encrypt(t.Context(), []byte("x"), row)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			for _, fault := range []struct {
				ctx      context.Context
				f        http.HandlerFunc
				requests int
			}{
				{t.Context(), azuretest.Reset, 2},
				{t.Context(), azuretest.Throttled(60), 1},
				{t.Context(), azuretest.Body(200, "<"), 2},
				{ctx, func(rw http.ResponseWriter, r *http.Request) { cancel(); w.Silent(rw, r) }, 1},
			} {
				w.Fail(fault.requests, fault.f)
				if _, err := key.Decrypt(fault.ctx, ciphertext, row); err == nil {
					t.Error("the fault did no harm")
				}
			}
			if _, err := key.Decrypt(t.Context(), ciphertext, row); err != nil {
				t.Error(err)
			}
			if err := key.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
