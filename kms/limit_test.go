package kms

import (
	"testing"
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
		if got := l.reserve(start.Add(test.at)); got != test.want {
			t.Errorf("reservation %d at %v waits %v, want %v", i, test.at, got, test.want)
		}
	}
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
