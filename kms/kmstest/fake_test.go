package kmstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal/kms"
)

func seal(t *testing.T, f *Fake, n int) []kms.Item {
	t.Helper()
	items := make([]kms.Item, n)
	for i := range items {
		items[i] = kms.Item{Data: plaintext(32), Ref: i}
	}
	for i, r := range f.Encrypt(t.Context(), items) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		items[i].Data = r.Data
	}
	return items
}

func TestFakeCountsRequestsAndItems(t *testing.T) {
	f := &Fake{BatchSize: 10, Support: kms.RewrapAnyContext}
	sealed := seal(t, f, 4)
	f.Decrypt(t.Context(), sealed)
	f.Decrypt(t.Context(), sealed[:1])
	f.Rewrap(t.Context(), []kms.RewrapItem{{Item: sealed[0]}})
	f.Disable()
	f.Encrypt(t.Context(), sealed[:2])
	for _, test := range []struct {
		ops             []kms.Op
		requests, items int
	}{
		{nil, 5, 12},
		{[]kms.Op{kms.OpEncrypt}, 2, 6},
		{[]kms.Op{kms.OpDecrypt}, 2, 5},
		{[]kms.Op{kms.OpRewrap}, 1, 1},
		{[]kms.Op{kms.OpDecrypt, kms.OpRewrap}, 3, 6},
	} {
		if f.Requests(test.ops...) != test.requests || f.Items(test.ops...) != test.items {
			t.Errorf("%v: %d requests with %d items, want %d with %d",
				test.ops, f.Requests(test.ops...), f.Items(test.ops...), test.requests, test.items)
		}
	}
	f.Reset()
	if f.Requests() != 0 || f.Items() != 0 || f.MaxInFlight() != 0 {
		t.Errorf("after Reset: %d requests, %d items, %d at once", f.Requests(), f.Items(), f.MaxInFlight())
	}
}

func TestFakeHasSeparateRights(t *testing.T) {
	ops := []kms.Op{kms.OpEncrypt, kms.OpDecrypt, kms.OpRewrap}
	f := &Fake{Support: kms.RewrapAnyContext}
	it := seal(t, f, 1)[0]
	try := map[kms.Op]func() kms.Result{
		kms.OpEncrypt: func() kms.Result { return one(f.Encrypt(t.Context(), []kms.Item{it})) },
		kms.OpDecrypt: func() kms.Result { return one(f.Decrypt(t.Context(), []kms.Item{it})) },
		kms.OpRewrap:  func() kms.Result { return one(f.Rewrap(t.Context(), []kms.RewrapItem{{Item: it}})) },
	}
	for _, denied := range ops {
		f.Deny(denied)
		for _, op := range ops {
			want := error(nil)
			if op == denied {
				want = kms.ErrAccessDenied
			}
			if r := try[op](); !errors.Is(r.Err, want) {
				t.Errorf("without the right to %s, %s gives %v", denied, op, r.Err)
			}
		}
		f.Allow(denied)
	}
}

func TestFakeRewrapsOnlyWhatItSays(t *testing.T) {
	for _, test := range []struct {
		support     kms.RewrapSupport
		same, other error
	}{
		{kms.RewrapNone, kms.ErrInvalidRequest, kms.ErrInvalidRequest},
		{kms.RewrapSameContext, nil, kms.ErrInvalidRequest},
		{kms.RewrapAnyContext, nil, nil},
	} {
		f := &Fake{Support: test.support}
		it := seal(t, f, 1)[0]
		same := one(f.Rewrap(t.Context(), []kms.RewrapItem{{Item: it}}))
		other := one(f.Rewrap(t.Context(), []kms.RewrapItem{{Item: it, To: user("1")}}))
		if !errors.Is(same.Err, test.same) || !errors.Is(other.Err, test.other) {
			t.Errorf("support %d: same context: %v; another: %v", test.support, same.Err, other.Err)
		}
	}
}

func TestFakeRefusesMoreThanABatch(t *testing.T) {
	for _, f := range []*Fake{{}, {BatchSize: 3}} {
		for _, r := range f.Encrypt(t.Context(), make([]kms.Item, 4)) {
			if !errors.Is(r.Err, kms.ErrInvalidRequest) {
				t.Errorf("batch size %d: 4 items give %v", f.BatchSize, r.Err)
			}
		}
	}
}

func TestFakeThrottlesTheNextRequests(t *testing.T) {
	f := NewFake()
	f.Throttle(2)
	for i, want := range []error{kms.ErrThrottled, kms.ErrThrottled, nil} {
		if r := one(f.Encrypt(t.Context(), make([]kms.Item, 1))); !errors.Is(r.Err, want) {
			t.Errorf("request %d: %v, want %v", i+1, r.Err, want)
		}
	}
}

func TestFakeCallsItsHooks(t *testing.T) {
	wrong := errors.New("wrong")
	var seen []string
	f := &Fake{
		BatchSize: 2,
		Before: func(_ context.Context, r Request) error {
			seen = append(seen, fmt.Sprintf("before %s %d of %d", r.Op, r.Number, r.Items))
			if r.Number == 2 {
				return wrong
			}
			return nil
		},
		Fault: func(r Request, it kms.Item) error {
			seen = append(seen, fmt.Sprintf("item %d", it.Ref))
			if it.Ref == 7 {
				return wrong
			}
			return nil
		},
		After: func(_ context.Context, r Request, results []kms.Result) []kms.Result {
			seen = append(seen, fmt.Sprintf("after %d", r.Number))
			return results
		},
	}
	first := f.Encrypt(t.Context(), []kms.Item{{Ref: 6}, {Ref: 7}})
	second := f.Encrypt(t.Context(), []kms.Item{{Ref: 8}})
	if first[0].Err != nil || first[1].Err != wrong || second[0].Err != wrong {
		t.Errorf("got %v and %v", first, second)
	}
	if got, want := fmt.Sprint(seen), "[before encrypt 1 of 2 item 6 item 7 after 1 before encrypt 2 of 1 after 2]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFakeTakesItsTimeAndHonoursCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &Fake{Latency: time.Minute}
		start := time.Now()
		if r := one(f.Encrypt(t.Context(), make([]kms.Item, 1))); r.Err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", r.Err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		r := one(f.Encrypt(ctx, make([]kms.Item, 1)))
		if !errors.Is(r.Err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", r.Err, time.Since(start))
		}
	})
}

func TestAClosedFakeRefuses(t *testing.T) {
	f := NewFake()
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	if r := one(f.Encrypt(t.Context(), make([]kms.Item, 1))); !errors.Is(r.Err, kms.ErrInvalidRequest) {
		t.Errorf("got %v", r.Err)
	}
}

func TestTheFakeWorksInFIPSOnlyMode(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestTheFakeKeepsThePromises$/^singles$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestTheFakeKeepsThePromises/singles")) {
		t.Errorf("%v:\n%s", err, out)
	}
}
