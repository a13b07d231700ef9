package kms

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// limiter spaces requests evenly: each takes the next free moment. A nil limiter never waits.
type limiter struct {
	interval time.Duration
	mu       sync.Mutex
	next     time.Time
}

func newLimiter(perSecond float64) *limiter {
	if perSecond <= 0 {
		return nil
	}
	return &limiter{interval: time.Duration(float64(time.Second) / perSecond)}
}

func (l *limiter) wait(ctx context.Context) error {
	if l == nil {
		return ctx.Err()
	}
	return sleep(ctx, l.reserve(time.Now()))
}

// reserve takes the next moment and returns how far from now it lies.
func (l *limiter) reserve(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next.Before(now) {
		l.next = now
	}
	d := l.next.Sub(now)
	l.next = l.next.Add(l.interval)
	return d
}

// backoff is how long to wait before a throttled request's next attempt: full jitter over a window that doubles from
// 200 ms to 2 s (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
func backoff(attempt int) time.Duration {
	window := min(100*time.Millisecond<<min(attempt, 8), 2*time.Second)
	return rand.N(window) // jitter, not a secret: math/rand will do
}

// longestWait is how long Key waits at most because a service asks for it.
const longestWait = 10 * time.Second

func askedWait(err error) time.Duration {
	var r *RetryAfter
	if errors.As(err, &r) {
		return r.Wait
	}
	return 0
}

// timeFor tells whether the ctx lives longer than a wait.
func timeFor(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
