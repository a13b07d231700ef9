package kms

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// RetryAfter is an error of a service that has said how long to wait before the next attempt. Key waits so long before it
// tries a throttled or unavailable request again; if that is more than 10 seconds, or more than the ctx has left, it does
// not try again.
type RetryAfter struct {
	Err  error
	Wait time.Duration
}

// Error tells Err and the wait.
func (e *RetryAfter) Error() string { return fmt.Sprintf("%v (retry after %v)", e.Err, e.Wait) }

// Unwrap returns Err.
func (e *RetryAfter) Unwrap() error { return e.Err }

// WithRetryAfter is for services: it returns err as a RetryAfter if it is ErrThrottled or ErrUnavailable and header, the
// value of an answer's Retry-After (RFC 9110 §10.2.3, seconds or a date), says how long to wait; otherwise err itself.
func WithRetryAfter(err error, header string) error {
	if !errors.Is(err, ErrThrottled) && !errors.Is(err, ErrUnavailable) {
		return err
	}
	if wait := parseRetryAfter(header, time.Now()); wait > 0 {
		return &RetryAfter{Err: err, Wait: wait}
	}
	return err
}

func parseRetryAfter(header string, now time.Time) time.Duration {
	const longest = 365 * 24 * time.Hour // what is longer is as good as for ever, and must not overflow
	seconds, err := strconv.ParseUint(header, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longest/time.Second))) * time.Second
	}
	const imfFixdate = "Mon, 02 Jan 2006 15:04:05 GMT" // RFC 9110 §5.6.7; without net/http, which a core has no use for
	if at, err := time.Parse(imfFixdate, header); err == nil {
		return min(at.Sub(now), longest)
	}
	return 0
}
