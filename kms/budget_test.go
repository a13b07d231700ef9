package kms_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

func TestTheRequestBeyondTheBudgetIsNotMade(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 3} {
		fake := &kmstest.Fake{}
		key := kms.NewKey(fake, &kms.KeyOptions{Parallel: 1})
		results := key.EncryptBatch(kms.WithBudget(t.Context(), n), rows(5))
		for i, r := range results {
			if within := i < n; within != (r.Err == nil) || !within && !errors.Is(r.Err, kms.ErrBudget) {
				t.Errorf("budget %d: item %d: %v", n, i, r.Err)
			}
		}
		if fake.Requests() != max(n, 0) {
			t.Errorf("budget %d: %d requests", n, fake.Requests())
		}
	}
}

func TestABudgetCountsRequestsOfAllKeysAndNotItems(t *testing.T) {
	ctx := kms.WithBudget(t.Context(), 2)
	for i, want := range []error{nil, nil, kms.ErrBudget} {
		key := kms.NewKey(&kmstest.Fake{BatchSize: 100}, nil)
		for _, r := range key.EncryptBatch(ctx, rows(100)) {
			if !errors.Is(r.Err, want) {
				t.Errorf("key %d: %v, want %v", i, r.Err, want)
			}
		}
	}
}

func TestABudgetWithinABudgetIsTakenFromBoth(t *testing.T) {
	for _, test := range []struct{ outer, inner, inside, outside int }{
		{outer: 5, inner: 2, inside: 2, outside: 3},
		{outer: 2, inner: 5, inside: 2, outside: 0},
		{outer: 0, inner: 5, inside: 0, outside: 0},
	} {
		outer := kms.WithBudget(t.Context(), test.outer)
		inner := kms.WithBudget(outer, test.inner)
		fake := &kmstest.Fake{}
		key := kms.NewKey(fake, nil)
		key.EncryptBatch(inner, rows(10))
		inside := fake.Requests()
		key.EncryptBatch(outer, rows(10))
		if outside := fake.Requests() - inside; inside != test.inside || outside != test.outside {
			t.Errorf("%+v: %d requests inside and %d outside", test, inside, outside)
		}
	}
}

func TestABudgetHoldsUnderConcurrency(t *testing.T) {
	fake := &kmstest.Fake{}
	key := kms.NewKey(fake, nil)
	outer := kms.WithBudget(t.Context(), 100)
	var succeeded atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		inner := kms.WithBudget(outer, 30)
		wg.Go(func() {
			for _, r := range key.EncryptBatch(inner, rows(40)) {
				if r.Err == nil {
					succeeded.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if fake.Requests() != 100 || succeeded.Load() != 100 {
		t.Errorf("%d requests and %d successes under a budget of 100", fake.Requests(), succeeded.Load())
	}
}

func TestRetriesCountAgainstTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &kmstest.Fake{}
		fake.Throttle(99)
		_, err := kms.NewKey(fake, nil).Encrypt(kms.WithBudget(t.Context(), 3), []byte("data key"), nil)
		if !errors.Is(err, kms.ErrBudget) || fake.Requests() != 3 {
			t.Errorf("%v after %d requests", err, fake.Requests())
		}
	})
}

// twice is a service that makes a second request for each call.
type twice struct{ *kmstest.Fake }

func (s twice) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	results := s.Fake.Encrypt(ctx, items)
	if err := kms.CountRequest(ctx); err != nil {
		for i := range results {
			results[i] = kms.Result{Ref: items[i].Ref, Err: err}
		}
		return results
	}
	return s.Fake.Encrypt(ctx, items)
}

func TestFurtherRequestsOfAServiceCount(t *testing.T) {
	fake := &kmstest.Fake{BatchSize: 10}
	var events []kms.Event
	observer := kms.ObserverFunc(func(_ context.Context, e kms.Event) { events = append(events, e) })
	key := kms.NewKey(twice{fake}, &kms.KeyOptions{Observers: []kms.Observer{observer}})

	ctx := kms.WithBudget(t.Context(), 3)
	for i, want := range []error{nil, kms.ErrBudget} {
		if _, err := key.Encrypt(ctx, []byte("data key"), nil); !errors.Is(err, want) {
			t.Errorf("call %d: %v, want %v", i, err, want)
		}
	}
	if fake.Requests() != 3 || events[0].Requests != 2 || events[1].Requests != 1 {
		t.Errorf("%d requests, of which %d and %d were counted", fake.Requests(), events[0].Requests, events[1].Requests)
	}
	if err := kms.CountRequest(t.Context()); err != nil {
		t.Errorf("without a Key: %v", err)
	}
}

// A further request does not wait itself, for that would be within the time limit of the first, and the next call does.
func TestFurtherRequestsKeepTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := kms.NewKey(twice{kmstest.NewFake()}, &kms.KeyOptions{Rate: 1, Timeout: time.Millisecond})
		start := time.Now()
		for i, want := range []time.Duration{0, 2 * time.Second, 4 * time.Second} {
			if _, err := key.Encrypt(t.Context(), []byte("data key"), nil); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("call %d was done after %v, want %v", i, took, want)
			}
		}
	})
}
