package gcp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/rowseal/rowseal/internal/e2e/e2etest"
	"github.com/rowseal/rowseal/internal/e2e/gcptest"
	"github.com/rowseal/rowseal/kms"
)

// attempt is one call of a Key during a fault: how it ends and how many requests the server gets.
type attempt struct {
	want     error // nil: it works
	says     string
	requests int
}

func (w *world) attempt(t *testing.T, key *kms.Key, call func(context.Context, *kms.Key) error, a attempt) {
	t.Helper()
	before := w.Requests()
	err := call(t.Context(), key)
	switch {
	case a.want == nil && err != nil:
		t.Errorf("it fails: %v", err)
	case a.want != nil:
		expect(t, err, a.want)
		if err != nil && !strings.Contains(err.Error(), a.says) {
			t.Errorf("%v; want it to say %q", err, a.says)
		}
	}
	if n := w.Requests() - before; n != a.requests {
		t.Errorf("%d requests, want %d", n, a.requests)
	}
}

func sealing(ctx context.Context, key *kms.Key) error {
	_, err := key.Encrypt(ctx, dataKey, row("1"))
	return err
}

func opening(ciphertext []byte) func(context.Context, *kms.Key) error {
	return func(ctx context.Context, key *kms.Key) error {
		got, err := key.Decrypt(ctx, ciphertext, row("1"))
		if err == nil && !bytes.Equal(got, dataKey) {
			return errors.New("another plaintext")
		}
		return err
	}
}

// first does something to the first n messages.
func first(n int64, do func(proto.Message)) func(proto.Message) {
	var seen atomic.Int64
	return func(m proto.Message) {
		if seen.Add(1) <= n {
			do(m)
		}
	}
}

const ever = 1 << 30

// Every bit that goes wrong between here and Google shows, in each direction: the first time it is tried once more, and if
// that is no better it is ErrUnavailable.
func TestBytesDamagedOnTheWay(t *testing.T) {
	flip := func(b []byte) { b[len(b)/2] ^= 0x10 }
	damages := map[string]struct {
		op   kms.Op
		hook func(*gcptest.Hooks, func(proto.Message))
		do   func(proto.Message)
	}{
		"plaintext to the server": {kms.OpEncrypt, received,
			func(m proto.Message) { flip(m.(*kmspb.EncryptRequest).Plaintext) }},
		"context to the server, to seal": {kms.OpEncrypt, received,
			func(m proto.Message) { flip(m.(*kmspb.EncryptRequest).AdditionalAuthenticatedData) }},
		"plaintext's checksum lost": {kms.OpEncrypt, received,
			func(m proto.Message) { m.(*kmspb.EncryptRequest).PlaintextCrc32C = nil }},
		"context's checksum lost": {kms.OpEncrypt, received,
			func(m proto.Message) { m.(*kmspb.EncryptRequest).AdditionalAuthenticatedDataCrc32C = nil }},
		"checksum altered": {kms.OpEncrypt, received,
			func(m proto.Message) { m.(*kmspb.EncryptRequest).PlaintextCrc32C.Value ^= 4 }},
		"ciphertext to the client": {kms.OpEncrypt, answer,
			func(m proto.Message) { flip(m.(*kmspb.EncryptResponse).Ciphertext) }},
		"checksum to the client": {kms.OpEncrypt, answer,
			func(m proto.Message) { m.(*kmspb.EncryptResponse).CiphertextCrc32C.Value ^= 4 }},
		"ciphertext to the server": {kms.OpDecrypt, received,
			func(m proto.Message) { flip(m.(*kmspb.DecryptRequest).Ciphertext) }},
		"context to the server, to open": {kms.OpDecrypt, received,
			func(m proto.Message) { flip(m.(*kmspb.DecryptRequest).AdditionalAuthenticatedData) }},
		"plaintext to the client": {kms.OpDecrypt, answer,
			func(m proto.Message) { flip(m.(*kmspb.DecryptResponse).Plaintext) }},
		"plaintext's checksum not there": {kms.OpDecrypt, answer,
			func(m proto.Message) { m.(*kmspb.DecryptResponse).PlaintextCrc32C = nil }},
		"nothing but a checksum comes back": {kms.OpDecrypt, answer,
			func(m proto.Message) { m.(*kmspb.DecryptResponse).Plaintext = nil }},
	}
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			key := w.opened(t)
			ciphertext, err := key.Encrypt(t.Context(), dataKey, row("1"))
			if err != nil {
				t.Fatal(err)
			}
			call := sealing
			if d.op == kms.OpDecrypt {
				call = opening(ciphertext)
			}
			damage := func(n int64) {
				var h gcptest.Hooks
				d.hook(&h, first(n, d.do))
				w.SetHooks(h)
			}
			damage(1)
			w.attempt(t, key, call, attempt{requests: 2})
			damage(ever)
			w.attempt(t, key, call, attempt{want: kms.ErrUnavailable, says: "damaged on the way", requests: 2})
		})
	}
}

func received(h *gcptest.Hooks, do func(proto.Message)) { h.Received = do }
func answer(h *gcptest.Hooks, do func(proto.Message))   { h.Answer = do }

// A data key that another key has wrapped would be lost with that key.
func TestAnAnswerByAnotherKeyIsNotUsed(t *testing.T) {
	for _, name := range []string{otherID + "/cryptoKeyVersions/1", keyID, keyID + "-2/cryptoKeyVersions/1", ""} {
		w := newWorld(t)
		w.SetHooks(gcptest.Hooks{Answer: func(m proto.Message) { m.(*kmspb.EncryptResponse).Name = name }})
		w.attempt(t, w.opened(t), sealing, attempt{want: kms.ErrWrongAnswer, says: "no version of this key", requests: 1})
	}
}

func TestThrottlingIsWaitedOutAsGoogleAsks(t *testing.T) {
	w := newWorld(t)
	key := w.opened(t)
	w.Throttle(2, time.Millisecond)
	w.attempt(t, key, sealing, attempt{requests: 3})

	w.Throttle(1, time.Hour)
	err := sealing(t.Context(), key)
	expect(t, err, kms.ErrThrottled)
	if after := (*kms.RetryAfter)(nil); !errors.As(err, &after) || after.Wait != time.Hour {
		t.Errorf("%v; want a wait of an hour", err)
	}
	w.Throttle(1, time.Hour)
	w.attempt(t, key, sealing, attempt{want: kms.ErrThrottled, says: "Quota exceeded", requests: 1})
}

func TestWhatIsUnavailableIsTriedOnceMore(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.Internal, codes.Aborted, codes.Unknown,
		codes.DataLoss, codes.DeadlineExceeded, codes.Canceled} {
		w := newWorld(t)
		key := w.opened(t)
		fail := func(until int) {
			start := w.Requests()
			w.SetHooks(gcptest.Hooks{Before: func(_ context.Context, number int) error {
				if number-start <= until {
					return status.Error(code, "The service is ill.")
				}
				return nil
			}})
		}
		fail(1)
		w.attempt(t, key, sealing, attempt{requests: 2})
		fail(ever)
		w.attempt(t, key, sealing, attempt{want: kms.ErrUnavailable, says: "ill", requests: 2})
	}
}

func TestWhatCannotSucceedIsNotTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		want   error
	}{
		"denied":   {func(w *world) { w.Revoke(w.token, keyID, gcptest.Encrypter) }, kms.ErrAccessDenied},
		"expired":  {func(w *world) { w.Expire(w.token) }, kms.ErrAccessDenied},
		"disabled": {func(w *world) { w.key.SetState(0, gcptest.Disabled) }, kms.ErrKeyDisabled},
		"too large for an HSM": {func(w *world) {
			w.key.UseHSM()
			w.SetHooks(gcptest.Hooks{Received: func(m proto.Message) {
				r := m.(*kmspb.EncryptRequest)
				r.Plaintext, r.PlaintextCrc32C = make([]byte, 8<<10), nil
			}})
		}, kms.ErrInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			key := w.opened(t)
			c.change(w)
			w.attempt(t, key, sealing, attempt{want: c.want, requests: 1})
		})
	}
	t.Run("no ciphertext", func(t *testing.T) {
		w := newWorld(t)
		w.attempt(t, w.opened(t), opening([]byte("no ciphertext")), attempt{want: kms.ErrDecryptionFailed, requests: 1})
	})
}

func TestConnectionsResetInTheMiddle(t *testing.T) {
	w := newWorld(t)
	key := w.opened(t)
	if err := sealing(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	cut := func(times int64) {
		var cuts atomic.Int64
		w.SetHooks(gcptest.Hooks{Before: func(ctx context.Context, _ int) error {
			if cuts.Add(1) <= times {
				w.CutConnections()
				<-ctx.Done()
			}
			return nil
		}})
	}
	cut(1)
	w.attempt(t, key, sealing, attempt{requests: 2})
	cut(ever)
	w.attempt(t, key, sealing, attempt{want: kms.ErrUnavailable, requests: 2})
	cut(0)
	within(t, "the server is well again", func(ctx context.Context) error { return sealing(ctx, key) })
}

// within tries until it works: gRPC dials again after a pause of its own.
func within(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	var err error
	for range 500 {
		if err = do(t.Context()); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s, and still: %v", what, err)
}

// The package's own time limit ends a request, 4 seconds, unless the caller's is shorter.
func TestASlowServerIsGivenUp(t *testing.T) {
	w := newWorld(t)
	s := w.service(t, keyID, w.token)
	w.SetHooks(gcptest.Hooks{Before: func(ctx context.Context, _ int) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := one(s.Encrypt(ctx, item(dataKey))).Err
	if !errors.Is(err, kms.ErrUnavailable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("the package's limit: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := sealing(ctx, kms.NewKey(s, nil)); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kms.ErrUnavailable) {
		t.Errorf("the caller's: %v", err)
	}
	if n := w.Requests(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// A server that takes the connection and says nothing.
func TestASilentServerIsGivenUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w := newWorld(t)
	before := e2etest.Goroutines()
	s := serviceWith(t, keyID, append(w.Client(w.token), option.WithEndpoint(l.Addr().String())))
	key := kms.NewKey(s, nil)
	w.attempt(t, key, sealing, attempt{want: kms.ErrUnavailable, says: "connection error", requests: 0})
	key.Close()
	e2etest.Settle(t, before)
}

func TestATokenThatExpiresMidway(t *testing.T) {
	w := newWorld(t)
	l := lease{make(chan string, 1)}
	l.tokens <- w.token
	key := kms.NewKey(serviceWith(t, keyID, w.ClientOf(l)), nil)
	ciphertext, err := key.Encrypt(t.Context(), dataKey, row("1"))
	if err != nil {
		t.Fatal(err)
	}
	w.Expire(w.token)
	w.attempt(t, key, opening(ciphertext), attempt{want: kms.ErrAccessDenied, says: "application-default login", requests: 1})
	<-l.tokens
	l.tokens <- w.account(keyID, gcptest.Decrypter)
	w.attempt(t, key, opening(ciphertext), attempt{requests: 1})
}

func TestAServerThatGoesAwayLeavesErrorsAndNoGoroutine(t *testing.T) {
	w := newWorld(t)
	key := w.opened(t)
	if err := sealing(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	w.Stop()
	before := e2etest.Goroutines()
	var items []kms.Item
	for range 50 {
		items = append(items, item(dataKey)...)
	}
	for i, r := range key.EncryptBatch(t.Context(), items) {
		if !errors.Is(r.Err, kms.ErrUnavailable) {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	key.Close()
	e2etest.Settle(t, before)
}

func TestEachItemIsOneRequest(t *testing.T) {
	w := newWorld(t)
	key := w.opened(t)
	var items []kms.Item
	for range 100 {
		items = append(items, item(dataKey)...)
	}
	sealed := key.EncryptBatch(t.Context(), items)
	for i, r := range sealed {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		items[i].Data = r.Data
	}
	for i, r := range key.DecryptBatch(t.Context(), items) {
		if r.Err != nil || !bytes.Equal(r.Data, dataKey) {
			t.Errorf("item %d: %v", i, r.Err)
		}
	}
	if n := w.Requests(); n != 200 {
		t.Errorf("%d requests for 200 items", n)
	}
}
