package s3store

import (
	"context"
	"math"
	"net/http"
	"testing"
	"time"
)

func TestALargeObjectHasMoreTime(t *testing.T) {
	for n, want := range map[int64]time.Duration{
		0:             0,
		128 << 10:     time.Second / 2,
		256 << 10:     time.Second,
		64 << 20:      256 * time.Second,
		5 << 30:       20480 * time.Second, // what S3 takes in one request
		math.MaxInt64: 1 << 32 * time.Second,
	} {
		if got := timeOf(n); got != want {
			t.Errorf("%d bytes may take %v, want %v", n, got, want)
		}
	}
}

func TestThrottledRequestsAreTriedMoreOften(t *testing.T) {
	for _, tc := range []struct {
		code     string
		status   int
		attempts int
	}{
		{"SlowDown", http.StatusServiceUnavailable, 6},
		{"ServiceUnavailable", http.StatusServiceUnavailable, 6},
		{"", http.StatusServiceUnavailable, 6},
		{"", http.StatusTooManyRequests, 6},
		{"RequestLimitExceeded", http.StatusBadRequest, 6},
		{"InternalError", http.StatusInternalServerError, 2},
		{"", http.StatusBadGateway, 2},
		{"AccessDenied", http.StatusForbidden, 1},
		{"", http.StatusBadRequest, 1},
	} {
		if f := apiFailure(tc.code, tc.status, nil); f.attempts != tc.attempts {
			t.Errorf("%s %d: %d attempts, want %d", tc.code, tc.status, f.attempts, tc.attempts)
		}
	}
}

func TestThereIsNoPauseThatTheDeadlineWouldCutOff(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if pause(ctx, 5) {
		t.Error("another attempt after the deadline")
	}
}
