package kms

import (
	"context"
	"errors"
	"slices"
)

// Pacer decides when requests are made, for work that shares a limit which no Key knows: a sweep beside an application, a fleet of
// machines. It is safe for concurrent use.
type Pacer interface {
	// Wait returns when a request may be made. With an error, which is then that of the request's items, none is made.
	Wait(ctx context.Context) error
	// Done tells that a request has been answered, and whether the service refused some of it because there were too many.
	Done(throttled bool)
}

type pacerKey struct{}

// WithPacer returns a ctx under which every request to a KMS, over all Keys and retries included, waits for p. A Pacer of an
// outer ctx is not asked any more.
func WithPacer(ctx context.Context, p Pacer) context.Context {
	return context.WithValue(ctx, pacerKey{}, p)
}

// paced makes a request when the ctx's Pacer lets it.
func paced(ctx context.Context, request func() []Result) ([]Result, error) {
	p, ok := ctx.Value(pacerKey{}).(Pacer)
	if !ok {
		return request(), nil
	}
	if err := p.Wait(ctx); err != nil {
		return nil, err
	}
	results := request()
	p.Done(slices.ContainsFunc(results, func(r Result) bool { return errors.Is(r.Err, ErrThrottled) }))
	return results, nil
}
