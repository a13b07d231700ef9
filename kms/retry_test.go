package kms_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// failing returns a Before that fails the first n requests.
func failing(n int, err error) func(context.Context, kmstest.Request) error {
	return func(_ context.Context, r kmstest.Request) error {
		if r.Number <= n {
			return err
		}
		return nil
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		err      error
		failures int
		requests int
		mended   bool
	}{
		{kms.ErrThrottled, 1, 2, true},
		{kms.ErrThrottled, 5, 6, true},
		{kms.ErrThrottled, 99, 6, false},
		{kms.ErrUnavailable, 1, 2, true},
		{kms.ErrUnavailable, 99, 2, false},
		{kms.ErrDecryptionFailed, 1, 1, false},
		{kms.ErrAccessDenied, 1, 1, false},
		{kms.ErrKeyNotFound, 1, 1, false},
		{kms.ErrKeyDisabled, 1, 1, false},
		{kms.ErrInvalidRequest, 1, 1, false},
		{errors.New("unknown"), 1, 1, false},
	} {
		t.Run(fmt.Sprintf("%v %d times", test.err, test.failures), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &kmstest.Fake{Before: failing(test.failures, test.err)}
				_, err := kms.NewKey(fake, nil).Encrypt(t.Context(), []byte("data key"), nil)
				if test.mended && err != nil || !test.mended && !errors.Is(err, test.err) {
					t.Errorf("got %v", err)
				}
				if fake.Requests() != test.requests {
					t.Errorf("%d requests, want %d", fake.Requests(), test.requests)
				}
			})
		})
	}
}

func TestOnlyFailedItemsAreSentAgain(t *testing.T) {
	for _, fault := range []error{kms.ErrThrottled, kms.ErrUnavailable} {
		synctest.Test(t, func(t *testing.T) {
			fake := &kmstest.Fake{BatchSize: 10}
			var sent []int
			fake.Fault = func(r kmstest.Request, it kms.Item) error {
				if r.Number == 2 {
					sent = append(sent, it.Ref)
				}
				switch {
				case it.Ref == 5:
					return kms.ErrAccessDenied
				case r.Number == 1 && it.Ref%3 == 0:
					return fault
				}
				return nil
			}
			for i, r := range kms.NewKey(fake, nil).EncryptBatch(t.Context(), rows(10)) {
				if i == 5 && !errors.Is(r.Err, kms.ErrAccessDenied) || i != 5 && r.Err != nil || r.Ref != i {
					t.Errorf("item %d: ref %d, %v", i, r.Ref, r.Err)
				}
			}
			if fmt.Sprint(sent) != "[0 3 6 9]" || fake.Requests() != 2 {
				t.Errorf("%v were sent again, in %d requests", sent, fake.Requests())
			}
		})
	}
}

func TestThrottlingIsWaitedOutWithJitter(t *testing.T) {
	waits := make(map[time.Duration]bool)
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			var moments []time.Time
			fake := &kmstest.Fake{Before: func(context.Context, kmstest.Request) error {
				moments = append(moments, time.Now())
				return kms.ErrThrottled
			}}
			kms.NewKey(fake, nil).Encrypt(t.Context(), []byte("data key"), nil)
			for i, window := range []time.Duration{200, 400, 800, 1600, 2000} {
				wait := moments[i+1].Sub(moments[i])
				if wait > window*time.Millisecond {
					t.Errorf("wait %d took %v, want at most %dms", i, wait, window)
				}
				waits[wait] = true
			}
		})
	}
	if len(waits) < 20 {
		t.Errorf("25 waits had only %d different lengths: there is no jitter", len(waits))
	}
}

func TestWaitingForAThrottledServiceEndsWithTheCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		fake := &kmstest.Fake{Before: func(context.Context, kmstest.Request) error {
			cancel()
			return kms.ErrThrottled
		}}
		start := time.Now()
		_, err := kms.NewKey(fake, nil).Encrypt(ctx, []byte("data key"), nil)
		if err == nil || fake.Requests() != 1 || time.Since(start) != 0 {
			t.Errorf("%v after %d requests and %v", err, fake.Requests(), time.Since(start))
		}
	})
}

// stuck is a service that never answers.
func stuck(ctx context.Context, _ kmstest.Request) error {
	<-ctx.Done()
	return fmt.Errorf("post: %w", ctx.Err())
}

func TestNothingWaitsForEver(t *testing.T) {
	for _, test := range []struct{ timeout, want time.Duration }{
		{0, 20 * time.Second}, // two requests of the default of 10 s
		{time.Second, 2 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := &kmstest.Fake{Before: stuck}
			start := time.Now()
			_, err := kms.NewKey(fake, &kms.KeyOptions{Timeout: test.timeout}).Encrypt(t.Context(), []byte("data key"), nil)
			if !errors.Is(err, kms.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v; the caller's ctx has not expired", err)
			}
			if took := time.Since(start); took != test.want || fake.Requests() != 2 {
				t.Errorf("took %v and %d requests, want %v and 2", took, fake.Requests(), test.want)
			}
		})
	}
}

func TestTheCallersCtxPassesThrough(t *testing.T) {
	cancelled := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(3*time.Second, cancel)
		return ctx, cancel
	}
	expired := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 3*time.Second)
	}
	for _, test := range []struct {
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{{cancelled, context.Canceled}, {expired, context.DeadlineExceeded}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := test.end(t.Context())
			defer cancel()
			fake := &kmstest.Fake{Before: stuck}
			start := time.Now()
			results := kms.NewKey(fake, &kms.KeyOptions{Parallel: 2}).EncryptBatch(ctx, rows(5))
			for i, r := range results {
				if !errors.Is(r.Err, test.want) || errors.Is(r.Err, kms.ErrUnavailable) {
					t.Errorf("item %d: %v, want %v", i, r.Err, test.want)
				}
			}
			if took := time.Since(start); took != 3*time.Second || fake.Requests() != 2 {
				t.Errorf("took %v and %d requests, want 3s and 2", took, fake.Requests())
			}
		})
	}
}

func TestACtxThatHasEndedMakesNoRequest(t *testing.T) {
	budget := kms.WithBudget(t.Context(), 1)
	ctx, cancel := context.WithCancel(budget)
	cancel()
	fake := &kmstest.Fake{}
	key := kms.NewKey(fake, nil)
	_, err := key.Encrypt(ctx, []byte("data key"), nil)
	if !errors.Is(err, context.Canceled) || fake.Requests() != 0 {
		t.Errorf("%v after %d requests", err, fake.Requests())
	}
	if _, err := key.Encrypt(budget, []byte("data key"), nil); err != nil {
		t.Errorf("it used the budget up: %v", err)
	}
}

func TestTheCallersCtxPassesThroughOnTheLastAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		fake := &kmstest.Fake{Before: func(ctx context.Context, r kmstest.Request) error {
			if r.Number == 1 {
				return kms.ErrUnavailable
			}
			return stuck(ctx, r)
		}}
		_, err := kms.NewKey(fake, nil).Encrypt(ctx, []byte("data key"), nil)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kms.ErrUnavailable) || fake.Requests() != 2 {
			t.Errorf("%v after %d requests", err, fake.Requests())
		}
	})
}

func TestRateSpacesRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := &kmstest.Fake{}
		key := kms.NewKey(fake, &kms.KeyOptions{Rate: 5})
		start := time.Now()
		key.EncryptBatch(t.Context(), rows(6))
		key.EncryptOnly().EncryptBatch(t.Context(), rows(5))
		if took := time.Since(start); took != 2*time.Second || fake.Requests() != 11 {
			t.Errorf("%d requests took %v; 11 at 5/s take 2s", fake.Requests(), took)
		}
	})
}

// What the ctx will not live to see is not waited for.
func TestWaitingForTheRateEndsWithTheCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		fake := &kmstest.Fake{}
		start := time.Now()
		results := kms.NewKey(fake, &kms.KeyOptions{Rate: 0.5}).EncryptBatch(ctx, rows(3))
		expired := 0
		for _, r := range results {
			if errors.Is(r.Err, context.DeadlineExceeded) {
				expired++
			}
		}
		if took := time.Since(start); took != 0 || expired != 2 || fake.Requests() != 1 {
			t.Errorf("after %v: %d items expired, %d requests", took, expired, fake.Requests())
		}
	})
}

func TestAServiceSaysHowLongToWait(t *testing.T) {
	for _, test := range []struct {
		err      error
		asked    time.Duration
		ctx      time.Duration
		requests int
		least    time.Duration
		most     time.Duration
	}{
		{kms.ErrThrottled, 3 * time.Second, time.Hour, 2, 3 * time.Second, 3200 * time.Millisecond},
		{kms.ErrUnavailable, 3 * time.Second, time.Hour, 2, 3 * time.Second, 3 * time.Second},
		{kms.ErrThrottled, 11 * time.Second, time.Hour, 1, 0, 0},
		{kms.ErrUnavailable, 11 * time.Second, time.Hour, 1, 0, 0},
		{kms.ErrThrottled, 3 * time.Second, 2 * time.Second, 1, 0, 0},
		{kms.ErrAccessDenied, time.Second, time.Hour, 1, 0, 0},
	} {
		t.Run(fmt.Sprintf("%v, %v of %v", test.err, test.asked, test.ctx), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.ctx)
				defer cancel()
				said := fmt.Errorf("said: %w", &kms.RetryAfter{Err: test.err, Wait: test.asked})
				fake := &kmstest.Fake{Before: failing(1, said)}
				start := time.Now()
				_, err := kms.NewKey(fake, nil).Encrypt(ctx, []byte("data key"), nil)
				if waited := time.Since(start); waited < test.least || waited > test.most {
					t.Errorf("waited %v, want %v to %v", waited, test.least, test.most)
				}
				if fake.Requests() != test.requests || test.requests == 1 && !errors.Is(err, test.err) || test.requests == 2 && err != nil {
					t.Errorf("%d requests, want %d: %v", fake.Requests(), test.requests, err)
				}
			})
		})
	}
}
