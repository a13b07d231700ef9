package kms

import (
	"errors"
	"testing"
	"time"
)

func TestRetryAfterIsReadAsTheRFCSays(t *testing.T) {
	now := time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	const year = 365 * 24 * time.Hour
	for header, want := range map[string]time.Duration{
		"0":                             0,
		"7":                             7 * time.Second,
		"9223372037":                    year, // as a duration it would be negative
		"99999999999999999999999":       year,
		"Mon, 23 Nov 2026 12:01:30 GMT": 90 * time.Second,
		"Mon, 23 Nov 2099 12:01:30 GMT": year,
		"Mon, 23 Nov 2026 11:00:00 GMT": -time.Hour,
		"":                              0,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
	} {
		if got := parseRetryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

func TestOnlyErrorsThatAWaitMayMendHaveOne(t *testing.T) {
	for _, test := range []struct {
		err    error
		header string
		waits  bool
	}{
		{ErrThrottled, "3", true},
		{ErrUnavailable, "3", true},
		{ErrThrottled, "0", false},
		{ErrThrottled, "", false},
		{ErrAccessDenied, "3", false},
		{nil, "3", false},
	} {
		err := WithRetryAfter(test.err, test.header)
		var after *RetryAfter
		if !errors.Is(err, test.err) || errors.As(err, &after) != test.waits || test.waits && after.Wait != 3*time.Second {
			t.Errorf("%v, %q: %v", test.err, test.header, err)
		}
	}
}
