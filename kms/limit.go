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

// wait takes the next moment and waits for it. One that the ctx does not live to see is not taken.
func (l *limiter) wait(ctx context.Context) error {
	if l == nil {
		return ctx.Err()
	}
	deadline, ok := ctx.Deadline()
	d := l.reserve(time.Now(), deadline, ok)
	if d < 0 {
		return context.DeadlineExceeded
	}
	err := sleep(ctx, d)
	if err != nil {
		l.giveBack()
	}
	return err
}

// skip takes the next moment without waiting for it: later requests wait the longer.
func (l *limiter) skip() {
	if l != nil {
		l.reserve(time.Now(), time.Time{}, false)
	}
}

// reserve takes the next moment and returns how far from now it lies, or a negative duration if it is not before the
// deadline.
func (l *limiter) reserve(now, deadline time.Time, limited bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.next
	if next.Before(now) {
		next = now
	}
	if limited && !next.Before(deadline) {
		return -1
	}
	l.next = next.Add(l.interval)
	return next.Sub(now)
}

// giveBack returns a moment that was not used.
func (l *limiter) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = l.next.Add(-l.interval)
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
