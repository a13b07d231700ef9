package kms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func row(i int) kms.Item {
	return kms.Item{Data: fmt.Appendf(nil, "data key of row %05d.........", i), Context: user(i)}
}

func user(i int) kms.Context { return kms.Context{"model_name": "User", "model_id": strconv.Itoa(i)} }

func rows(n int) []kms.Item {
	items := make([]kms.Item, n)
	for i := range items {
		items[i] = row(i)
	}
	return items
}

// seal returns n rows with ciphertexts as Data, and forgets the requests that it took.
func seal(t testing.TB, fake *kmstest.Fake, n int) []kms.Item {
	t.Helper()
	items := rows(n)
	for i, r := range kms.NewKey(fake, nil).EncryptBatch(t.Context(), items) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		items[i].Data = r.Data
	}
	fake.Reset()
	return items
}

func rewraps(sealed []kms.Item, to func(i int) kms.Context) []kms.RewrapItem {
	items := make([]kms.RewrapItem, len(sealed))
	for i, it := range sealed {
		items[i] = kms.RewrapItem{Item: it, To: to(i)}
	}
	return items
}

func TestRoundTrip(t *testing.T) {
	key := kms.NewKey(&kmstest.Fake{}, nil)
	ciphertext, err := key.Encrypt(t.Context(), []byte("data key"), user(1))
	if err != nil {
		t.Fatal(err)
	}
	if plaintext, err := key.Decrypt(t.Context(), ciphertext, user(1)); err != nil || string(plaintext) != "data key" {
		t.Errorf("got %q, %v", plaintext, err)
	}
	if plaintext, err := key.Decrypt(t.Context(), ciphertext, user(2)); !errors.Is(err, kms.ErrDecryptionFailed) || plaintext != nil {
		t.Errorf("under another context: %q, %v", plaintext, err)
	}
}

// Invariant 9: n items cost ⌈n/batch⌉ requests, and each gets its own answer.
func TestRequests(t *testing.T) {
	for _, test := range []struct{ items, batch, lowered, want int }{
		{0, 240, 0, 0},
		{1, 240, 0, 1},
		{240, 240, 0, 1},
		{241, 240, 0, 2},
		{1000, 240, 0, 5},
		{1000, 240, 100, 10},
		{1000, 240, 1000, 5},
		{1000, 240, -1, 5},
		{7, 1, 0, 7},
		{7, 0, 0, 7},
		{7, -1, 0, 7},
	} {
		t.Run(fmt.Sprintf("%d items, %d a request, lowered to %d", test.items, test.batch, test.lowered), func(t *testing.T) {
			fake := &kmstest.Fake{BatchSize: test.batch, Support: kms.RewrapAnyContext}
			key := kms.NewKey(fake, &kms.KeyOptions{BatchSize: test.lowered})
			items := rows(test.items)
			sealed := slices.Clone(items)
			for i, r := range key.EncryptBatch(t.Context(), items) {
				if r.Err != nil || r.Ref != i {
					t.Fatalf("item %d: ref %d, %v", i, r.Ref, r.Err)
				}
				sealed[i].Data = r.Data
			}
			for i, r := range key.DecryptBatch(t.Context(), sealed) {
				if r.Err != nil || r.Ref != i || !bytes.Equal(r.Data, items[i].Data) {
					t.Fatalf("item %d: ref %d, %q, %v", i, r.Ref, r.Data, r.Err)
				}
			}
			for i, r := range key.RewrapBatch(t.Context(), rewraps(sealed, user)) {
				if r.Err != nil || r.Ref != i {
					t.Fatalf("item %d: ref %d, %v", i, r.Ref, r.Err)
				}
			}
			for _, op := range []kms.Op{kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap} {
				if fake.Requests(op) != test.want || fake.Items(op) != test.items {
					t.Errorf("%s: %d requests with %d items, want %d with %d",
						op, fake.Requests(op), fake.Items(op), test.want, test.items)
				}
			}
		})
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	for _, test := range []struct{ items, batch, parallel, want int }{
		{100, 1, 0, 16},
		{100, 10, 0, 4},
		{100, 1, 3, 3},
		{100, 10, 7, 7},
		{2, 1, 16, 2},
		{5, 1, 1, 1},
	} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &kmstest.Fake{BatchSize: test.batch, Latency: time.Second}
				key := kms.NewKey(fake, &kms.KeyOptions{Parallel: test.parallel})
				start := time.Now()
				key.EncryptBatch(t.Context(), rows(test.items))
				if fake.MaxInFlight() != test.want {
					t.Errorf("%d requests at once, want %d", fake.MaxInFlight(), test.want)
				}
				requests := (test.items + test.batch - 1) / test.batch
				rounds := (requests + test.want - 1) / test.want
				if took := time.Since(start); took != time.Duration(rounds)*time.Second {
					t.Errorf("took %v for %d requests of 1s, want %ds", took, requests, rounds)
				}
			})
		})
	}
}

func TestAnItemsErrorIsItsOwn(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	key := kms.NewKey(fake, nil)
	sealed := seal(t, fake, 5)
	sealed[1].Data = sealed[2].Data
	sealed[3].Context = kms.Context{"model_id": "\xff"}
	results := key.DecryptBatch(t.Context(), sealed)
	for i, want := range []error{nil, kms.ErrDecryptionFailed, nil, kms.ErrInvalidRequest, nil} {
		r := results[i]
		if !errors.Is(r.Err, want) || r.Ref != i || (r.Data == nil) != (want != nil) {
			t.Errorf("item %d: ref %d, %d bytes, %v; want %v", i, r.Ref, len(r.Data), r.Err, want)
		}
	}
	if fake.Items() != 4 {
		t.Errorf("%d items were sent, want the 4 that can succeed", fake.Items())
	}
}

func TestErrorsSayOperationAndKey(t *testing.T) {
	fake := &kmstest.Fake{ID: "vault/users"}
	fake.Deny(kms.OpDecrypt)
	sealed := seal(t, fake, 1)[0]
	_, err := kms.NewKey(fake, nil).Decrypt(t.Context(), sealed.Data, sealed.Context)
	var e *kms.Error
	if !errors.As(err, &e) || e.Op != kms.OpDecrypt || e.KeyID != "vault/users" || !errors.Is(err, kms.ErrAccessDenied) {
		t.Fatalf("got %#v", err)
	}
	if want := "kms: decrypt with vault/users: access denied"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

// What might belong to another row is never handed out: a data key filed with the wrong row would be lost.
func TestAnAnswerThatCannotBeRightIsAnErrorOfEveryItem(t *testing.T) {
	type after = func(context.Context, kmstest.Request, []kms.Result) []kms.Result
	swap := func(_ context.Context, _ kmstest.Request, results []kms.Result) []kms.Result {
		results[1], results[2] = results[2], results[1]
		return results
	}
	twice := func(_ context.Context, _ kmstest.Request, results []kms.Result) []kms.Result {
		results[1] = results[0]
		return results
	}
	none := func(context.Context, kmstest.Request, []kms.Result) []kms.Result { return nil }
	empty := func(_ context.Context, r kmstest.Request, results []kms.Result) []kms.Result {
		results[1].Data = []byte{}
		return results
	}
	for what, answer := range map[string]after{
		"reversed": kmstest.Reverse, "short": kmstest.Short, "long": kmstest.Long, "swapped": swap, "one twice": twice, "none": none,
		"an empty ciphertext": empty,
	} {
		t.Run(what, func(t *testing.T) {
			fake := &kmstest.Fake{BatchSize: 4, Support: kms.RewrapAnyContext}
			sealed := seal(t, fake, 4)
			fake.After = answer
			key := kms.NewKey(fake, nil)
			calls := map[kms.Op][]kms.Result{
				kms.OpEncrypt: key.EncryptBatch(t.Context(), rows(4)),
				kms.OpDecrypt: key.DecryptBatch(t.Context(), sealed),
				kms.OpRewrap:  key.RewrapBatch(t.Context(), rewraps(sealed, user)),
			}
			if what == "an empty ciphertext" { // an empty plaintext is none of our business
				delete(calls, kms.OpDecrypt)
			}
			for op, results := range calls {
				for i, r := range results {
					if !errors.Is(r.Err, kms.ErrUnavailable) || r.Data != nil || r.Ref != i {
						t.Errorf("%s item %d: ref %d, %d bytes, %v", op, i, r.Ref, len(r.Data), r.Err)
					}
				}
				if n := fake.Requests(op); n != 1 {
					t.Errorf("%s: %d requests; asking again cannot help", op, n)
				}
			}
		})
	}
}

func TestTheCallersItemsStayAsTheyAre(t *testing.T) {
	items := rows(3)
	items[1].Ref = 77
	kms.NewKey(&kmstest.Fake{BatchSize: 2}, nil).EncryptBatch(t.Context(), items)
	for i, it := range items {
		if want := row(i); !bytes.Equal(it.Data, want.Data) || it.Context["model_id"] != want.Context["model_id"] {
			t.Errorf("item %d has changed", i)
		}
	}
	if items[0].Ref != 0 || items[1].Ref != 77 {
		t.Errorf("refs are now %d and %d", items[0].Ref, items[1].Ref)
	}
}

// Rewrap goes to the service where that can do it, and through this process otherwise.
func TestRewrapUsesWhatTheServiceCan(t *testing.T) {
	same := user
	other := func(i int) kms.Context { return user(i + 1000) }
	mixed := func(i int) kms.Context { return user(i + 1000*(i%2)) }
	for _, test := range []struct {
		support       kms.RewrapSupport
		to            func(int) kms.Context
		there, opened int
	}{
		{kms.RewrapNone, same, 0, 6},
		{kms.RewrapNone, mixed, 0, 6},
		{kms.RewrapSameContext, same, 6, 0},
		{kms.RewrapSameContext, other, 0, 6},
		{kms.RewrapSameContext, mixed, 3, 3},
		{kms.RewrapAnyContext, mixed, 6, 0},
	} {
		fake := &kmstest.Fake{BatchSize: 10, Support: test.support}
		sealed := seal(t, fake, 6)
		key := kms.NewKey(fake, nil)
		results := key.RewrapBatch(t.Context(), rewraps(sealed, test.to))
		if fake.Items(kms.OpRewrap) != test.there || fake.Items(kms.OpDecrypt) != test.opened ||
			fake.Items(kms.OpEncrypt) != test.opened {
			t.Errorf("%+v: %d items were rewrapped there, %d opened, %d sealed", test.support,
				fake.Items(kms.OpRewrap), fake.Items(kms.OpDecrypt), fake.Items(kms.OpEncrypt))
		}
		for i, r := range results {
			if r.Err != nil || r.Ref != i {
				t.Fatalf("item %d: ref %d, %v", i, r.Ref, r.Err)
			}
			if plaintext, err := key.Decrypt(t.Context(), r.Data, test.to(i)); string(plaintext) != string(row(i).Data) {
				t.Errorf("item %d opens to %q, %v", i, plaintext, err)
			}
		}
	}
}

// Each item goes the way that its own key allows, and neither end needs more than its part of the work.
func TestRewrapFromOtherKeys(t *testing.T) {
	to := &kmstest.Fake{BatchSize: 10, Support: kms.RewrapAnyContext}
	near := &kmstest.Fake{BatchSize: 10, Support: kms.RewrapAnyContext} // of the same service
	far := &kmstest.Fake{BatchSize: 10}
	key, nearKey, farKey := kms.NewKey(to, nil), kms.NewKey(near, nil), kms.NewKey(far, nil)
	var items []kms.RewrapItem
	for _, from := range []struct {
		fake *kmstest.Fake
		key  *kms.Key
	}{{near, nearKey}, {far, farKey}, {to, nil}, {to, key}, {near, nearKey.EncryptOnly()}, {far, farKey.EncryptOnly()}, {to, key.EncryptOnly()}} {
		item := rewraps(seal(t, from.fake, 1), user)[0]
		item.From, item.To = from.key, user(len(items))
		items = append(items, item)
	}
	for _, f := range []*kmstest.Fake{to, near, far} {
		f.Reset()
	}
	for i, r := range key.RewrapBatch(t.Context(), items) {
		if i >= 4 {
			if !errors.Is(r.Err, kms.ErrAccessDenied) || r.Data != nil {
				t.Errorf("item %d, from a key for encryption only: %d bytes, %v", i, len(r.Data), r.Err)
			}
			continue
		}
		if r.Err != nil || r.Ref != i {
			t.Fatalf("item %d: ref %d, %v", i, r.Ref, r.Err)
		}
		if plaintext, err := key.Decrypt(t.Context(), r.Data, user(i)); string(plaintext) != string(row(0).Data) {
			t.Errorf("item %d opens to %q, %v", i, plaintext, err)
		}
	}
	if to.Items(kms.OpRewrap) != 3 || near.Requests() != 0 || far.Items(kms.OpDecrypt) != 1 || to.Items(kms.OpEncrypt) != 1 {
		t.Errorf("%d items rewrapped by the service, %d requests to the near key, %d items opened by the far one and %d sealed",
			to.Items(kms.OpRewrap), near.Requests(), far.Items(kms.OpDecrypt), to.Items(kms.OpEncrypt))
	}

	closed := kms.NewKey(near, nil)
	closed.Close()
	items[0].From = closed
	if r := key.RewrapBatch(t.Context(), items[:1])[0]; !errors.Is(r.Err, kms.ErrInvalidRequest) {
		t.Errorf("from a closed key: %v", r.Err)
	}
	far.Reset()
	items[1].From = farKey
	key.Close()
	if r := key.RewrapBatch(t.Context(), items[1:2])[0]; !errors.Is(r.Err, kms.ErrInvalidRequest) || far.Requests() != 0 {
		t.Errorf("to a closed key: %v, after %d requests to the old one", r.Err, far.Requests())
	}
}

// To move from one key to another takes the right to encrypt with the second, and no right to open with it.
func TestRewrapFromAnotherKeyNeedsNoRightToOpenWithTheNewOne(t *testing.T) {
	from, to := &kmstest.Fake{}, &kmstest.Fake{}
	items := rewraps(seal(t, from, 1), user)
	items[0].From = kms.NewKey(from, nil)
	if r := kms.NewKey(to, nil).EncryptOnly().RewrapBatch(t.Context(), items)[0]; r.Err != nil {
		t.Error(r.Err)
	}
}

// checking is a service with a way of its own.
type checking struct {
	*kmstest.Fake
	asked *kms.Item
}

func (c checking) CheckDecrypt(_ context.Context, it kms.Item) error {
	*c.asked = it
	return kms.ErrKeyDisabled
}

func TestCheckDecryptTellsTheRightFromTheCiphertext(t *testing.T) {
	fake := kmstest.NewFake()
	var events []kms.Event
	observer := kms.ObserverFunc(func(_ context.Context, e kms.Event) { events = append(events, e) })
	key := kms.NewKey(fake, &kms.KeyOptions{Observers: []kms.Observer{observer}})
	if err := key.CheckDecrypt(t.Context(), user(1)); err != nil {
		t.Error(err)
	}
	if len(events) != 1 || events[0].Op != kms.OpCheck || events[0].Requests != 1 || events[0].Items[0].Context["model_id"] != user(1)["model_id"] {
		t.Errorf("observed %+v", events)
	}
	for _, refusal := range []error{kms.ErrAccessDenied, kms.ErrInvalidRequest, kms.ErrKeyNotFound} {
		fake.Fault = func(kmstest.Request, kms.Item) error { return refusal }
		if err := key.CheckDecrypt(t.Context(), user(1)); !errors.Is(err, refusal) {
			t.Errorf("%v, want %v", err, refusal)
		}
	}
	fake.Reset()
	if err := key.EncryptOnly().CheckDecrypt(t.Context(), user(1)); !errors.Is(err, kms.ErrAccessDenied) || fake.Requests() > 0 {
		t.Errorf("encrypt only: %v after %d requests", err, fake.Requests())
	}

	var asked kms.Item
	err := kms.NewKey(checking{kmstest.NewFake(), &asked}, nil).CheckDecrypt(t.Context(), user(1))
	if !errors.Is(err, kms.ErrKeyDisabled) || asked.Context["model_id"] != user(1)["model_id"] || asked.Data != nil {
		t.Errorf("a service with a way of its own: %v for %v", err, asked)
	}
}

func TestRewrapToAnInvalidContextIsRefusedBeforeAnyRequest(t *testing.T) {
	for _, support := range []kms.RewrapSupport{kms.RewrapNone, kms.RewrapSameContext, kms.RewrapAnyContext} {
		fake := &kmstest.Fake{Support: support}
		sealed := seal(t, fake, 1)
		items := rewraps(sealed, func(int) kms.Context { return kms.Context{"model_id": "\xff"} })
		r := kms.NewKey(fake, nil).RewrapBatch(t.Context(), items)[0]
		if !errors.Is(r.Err, kms.ErrInvalidRequest) || fake.Requests() != 0 {
			t.Errorf("support %d: %v after %d requests", support, r.Err, fake.Requests())
		}
	}
}

// When sealing anew fails, the result must not be the plaintext that was opened for it.
func TestAFailedRewrapHandsOutNothing(t *testing.T) {
	fake := &kmstest.Fake{}
	sealed := seal(t, fake, 2)
	fake.Deny(kms.OpEncrypt)
	for i, r := range kms.NewKey(fake, nil).RewrapBatch(t.Context(), rewraps(sealed, user)) {
		if !errors.Is(r.Err, kms.ErrAccessDenied) || r.Data != nil {
			t.Errorf("item %d: %d bytes, %v", i, len(r.Data), r.Err)
		}
	}
}

func TestRewrapWipesWhatItOpened(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 4}
	sealed := seal(t, fake, 4)
	var opened [][]byte
	fake.After = func(_ context.Context, r kmstest.Request, results []kms.Result) []kms.Result {
		if r.Op == kms.OpDecrypt {
			for _, result := range results {
				opened = append(opened, result.Data)
			}
		}
		return results
	}
	kms.NewKey(fake, nil).RewrapBatch(t.Context(), rewraps(sealed, user))
	if len(opened) != 4 {
		t.Fatalf("%d items were opened", len(opened))
	}
	for i, plaintext := range opened {
		if !bytes.Equal(plaintext, make([]byte, len(plaintext))) {
			t.Errorf("item %d: the plaintext is still in memory", i)
		}
	}
}

func TestEncryptOnlyMakesNoRequestThatOpens(t *testing.T) {
	for _, support := range []kms.RewrapSupport{kms.RewrapNone, kms.RewrapAnyContext} {
		fake := &kmstest.Fake{BatchSize: 10, Support: support}
		sealed := seal(t, fake, 2)
		key := kms.NewKey(fake, nil)
		sealer := key.EncryptOnly()
		if sealer == key || sealer != key.EncryptOnly() || sealer.ID() != key.ID() {
			t.Errorf("EncryptOnly of %v is %v, and must be one other Key of the same id", key, sealer)
		}
		for what, results := range map[string][]kms.Result{
			"decrypt": sealer.DecryptBatch(t.Context(), sealed),
			"rewrap":  sealer.RewrapBatch(t.Context(), rewraps(sealed, user)),
		} {
			for i, r := range results {
				if !errors.Is(r.Err, kms.ErrAccessDenied) || r.Data != nil {
					t.Errorf("%s item %d: %d bytes, %v", what, i, len(r.Data), r.Err)
				}
			}
		}
		if n := fake.Requests(); n != 0 {
			t.Errorf("%d requests were made", n)
		}
		ciphertext, err := sealer.Encrypt(t.Context(), []byte("data key"), user(1))
		if err != nil {
			t.Fatal(err)
		}
		if plaintext, err := key.Decrypt(t.Context(), ciphertext, user(1)); string(plaintext) != "data key" {
			t.Errorf("the key opens it to %q, %v", plaintext, err)
		}
	}
}

type closeCounter struct {
	kmstest.Fake
	closes int
	err    error
}

func (c *closeCounter) Close() error { c.closes++; return c.err }

func TestAClosedKeyRefusesAndClosesItsServiceOnce(t *testing.T) {
	service := &closeCounter{err: errors.New("connection lost")}
	key := kms.NewKey(service, nil)
	sealer := key.EncryptOnly()
	for range 2 {
		if err := key.Close(); err != service.err {
			t.Errorf("Close() = %v, want %v", err, service.err)
		}
	}
	sealer.Close()
	if service.closes != 1 {
		t.Errorf("the service was closed %d times", service.closes)
	}
	for what, k := range map[string]*kms.Key{"key": key, "encrypt-only key": sealer} {
		_, sealing := k.Encrypt(t.Context(), []byte("data key"), user(1))
		_, opening := k.Decrypt(t.Context(), []byte("data key"), user(1))
		rewrapping := k.RewrapBatch(t.Context(), []kms.RewrapItem{{Item: kms.Item{Data: []byte("data key")}}})[0].Err
		for op, err := range map[string]error{"encrypt": sealing, "decrypt": opening, "rewrap": rewrapping} {
			if !errors.Is(err, kms.ErrInvalidRequest) {
				t.Errorf("%s with a closed %s: %v", op, what, err)
			}
		}
	}
	if service.Requests() != 0 {
		t.Errorf("%d requests after closing", service.Requests())
	}
}

func TestAServiceNeedNotBeACloser(t *testing.T) {
	if err := kms.NewKey(struct{ kms.Service }{&kmstest.Fake{}}, nil).Close(); err != nil {
		t.Error(err)
	}
}
