package kms

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimiterSpacesRequestsEvenlyAndSavesNothingUp(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	l := newLimiter(10)
	start := time.Unix(1_700_000_000, 0)
	for i, test := range []struct{ at, want time.Duration }{
		{ms(0), ms(0)},
		{ms(0), ms(100)},
		{ms(0), ms(200)},
		{ms(250), ms(50)},
		{ms(1000), ms(0)}, // idle time gives no burst
		{ms(1000), ms(100)},
		{ms(1100), ms(100)},
		{ms(900), ms(400)}, // a clock that went back
	} {
		if got := l.reserve(start.Add(test.at), time.Time{}, false); got != test.want {
			t.Errorf("reservation %d at %v waits %v, want %v", i, test.at, got, test.want)
		}
	}
}

// Calls that are given up must not keep later ones waiting.
func TestMomentsThatNobodyUsesAreFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		l.wait(t.Context())
		for range 100 { // the deadline comes first
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := l.wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			cancel()
		}
		for range 100 { // cancelled while they wait
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, cancel)
			if err := l.wait(ctx); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		start := time.Now()
		if err := l.wait(t.Context()); err != nil || time.Since(start) > time.Second {
			t.Errorf("waited %v, %v", time.Since(start), err)
		}
	})
}

func TestNoRateIsNoLimiter(t *testing.T) {
	for _, rate := range []float64{0, -1} {
		if l := newLimiter(rate); l != nil || l.wait(t.Context()) != nil {
			t.Errorf("rate %v has a limiter", rate)
		}
	}
}

func TestBackoffStaysInItsWindow(t *testing.T) {
	for attempt, window := range map[int]time.Duration{
		1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 4: 1600 * time.Millisecond, 5: 2 * time.Second, 1000: 2 * time.Second,
	} {
		var longest time.Duration
		for range 1000 {
			d := backoff(attempt)
			if d < 0 || d >= window {
				t.Fatalf("backoff(%d) = %v, want less than %v", attempt, d, window)
			}
			longest = max(longest, d)
		}
		if longest < window/2 {
			t.Errorf("backoff(%d) never passed %v of %v in 1000 draws", attempt, longest, window)
		}
	}
}
