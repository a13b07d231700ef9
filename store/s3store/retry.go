package s3store

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	throttledAttempts = 6 // about 2.5 s of waiting in the mean
	passingAttempts   = 2 // one retry
)

// try makes a request, and makes it again where that may help. It returns how often it did, and one of our errors. n is how many
// bytes the request carries.
func (s *Store) try(ctx context.Context, n int64, request func(context.Context, *timer) error) (attempts int, err error) {
	for attempts = 1; ; attempts++ {
		f := s.attempt(ctx, n, request)
		if f == nil {
			return attempts, nil
		}
		if attempts < f.attempts && pause(ctx, attempts) {
			continue
		}
		if ctx.Err() != nil {
			f = &failure{text: f.text, is: ctx.Err()}
		}
		return attempts, f
	}
}

func (s *Store) attempt(ctx context.Context, n int64, request func(context.Context, *timer) error) *failure {
	limited, cancel := context.WithCancel(ctx)
	defer cancel()
	t := &timer{time.AfterFunc(s.opts.Timeout+timeOf(n), cancel), s.opts.Timeout}
	defer t.Stop()
	err := request(limited, t)
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil && limited.Err() != nil:
		return timedOut
	default:
		return s.failureOf(ctx, err)
	}
}

// pause waits a random time, which has no secret in it, and reports whether there is time left for another attempt.
func pause(ctx context.Context, attempt int) bool {
	wait := rand.N(min(100*time.Millisecond<<min(attempt, 8), 2*time.Second))
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
