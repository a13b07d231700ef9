package kms

import (
	"context"
	"sync/atomic"
)

type budgetKey struct{}

type budget struct {
	left   atomic.Int64
	parent *budget
}

// WithBudget returns a ctx under which at most n requests reach a KMS, over all Keys; request n+1 fails with ErrBudget
// and is not made. It is for tests that hold a program to its number of requests (an N+1 query shows at once) and for
// jobs with a limit. Retries count. A budget within a budget is taken from both.
func WithBudget(ctx context.Context, n int) context.Context {
	b := &budget{parent: budgetOf(ctx)}
	b.left.Store(int64(n))
	return context.WithValue(ctx, budgetKey{}, b)
}

func budgetOf(ctx context.Context) *budget {
	b, _ := ctx.Value(budgetKey{}).(*budget)
	return b
}

// take uses one request of this budget and of those around it, or of none.
func (b *budget) take() bool {
	return b == nil || b.left.Add(-1) >= 0 && b.parent.take()
}

type counterKey struct{}

func withCounter(ctx context.Context, count func(context.Context) error) context.Context {
	return context.WithValue(ctx, counterKey{}, count)
}

// CountRequest is for services: it counts a further request of a call, for which a Service that needs more than one
// calls it with the ctx that it got. Where the Key has a rate, later calls wait the longer. An error, such as ErrBudget, is
// the result of the items that the request was for, and the request is then not made.
func CountRequest(ctx context.Context) error {
	if count, ok := ctx.Value(counterKey{}).(func(context.Context) error); ok {
		return count(ctx)
	}
	return ctx.Err()
}
