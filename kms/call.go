package kms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	parallelSingles = 16 // requests at once to a service that takes one item a request
	parallelBatches = 4  // the same where a request carries many items

	throttledAttempts   = 6 // about 2.5 s of waiting in the mean
	unavailableAttempts = 2 // one retry, as the gem's clients
)

// request is an *Item or a *RewrapItem.
type request[I any] interface {
	*I
	source() *Item
	validate() error
}

// call is one call of a Key over any number of items I, which are Items or RewrapItems.
type call[I any, P request[I]] struct {
	*Key
	op       Op
	items    []I
	service  func(context.Context, []I) []Result
	results  []Result
	attempts []int // one an item; each is in one slice, and so of one goroutine
	requests atomic.Int64
}

// run carries out a call and tells the observers.
func run[I any, P request[I]](ctx context.Context, k *Key, op Op, items []I, service func(context.Context, []I) []Result) []Result {
	c := &call[I, P]{Key: k, op: op, items: slices.Clone(items), service: service,
		results: make([]Result, len(items)), attempts: make([]int, len(items))}
	if len(items) == 0 {
		return c.results
	}
	start := time.Now()
	c.requestAll(ctx, c.admit())
	c.observe(ctx, start)
	return c.results
}

func (c *call[I, P]) item(i int) P { return &c.items[i] }

// admit numbers the items and returns the indexes of those that may be sent; the others have their error.
func (c *call[I, P]) admit() []int {
	refused := c.refusal()
	admitted := make([]int, 0, len(c.items))
	for i := range c.items {
		c.item(i).source().Ref = i
		c.results[i].Ref = i
		err := refused
		if err == nil {
			err = c.item(i).validate()
		}
		if err != nil {
			c.fail(i, err)
			continue
		}
		admitted = append(admitted, i)
	}
	return admitted
}

func (c *call[I, P]) refusal() error {
	switch {
	case c.closed.Load():
		return fmt.Errorf("the key is closed: %w", ErrInvalidRequest)
	case c.encryptOnly && c.op != OpEncrypt:
		return fmt.Errorf("this key is for encryption only: %w", ErrAccessDenied)
	}
	return nil
}

func (c *call[I, P]) fail(i int, err error) {
	c.results[i].Err = err
	if e := (*Error)(nil); !errors.As(err, &e) {
		c.results[i].Err = &Error{Op: c.op, KeyID: c.ID(), Err: err}
	}
}

// requestAll sends the items in slices, some at once.
func (c *call[I, P]) requestAll(ctx context.Context, indexes []int) {
	size := c.batchSize()
	workers := make(chan struct{}, c.parallel(size))
	var wg sync.WaitGroup
	for slice := range slices.Chunk(indexes, size) {
		workers <- struct{}{}
		wg.Go(func() {
			defer func() { <-workers }()
			c.requestSlice(ctx, slice)
		})
	}
	wg.Wait()
}

func (c *call[I, P]) batchSize() int {
	size := max(c.Info().BatchSize, 1)
	if c.opts.BatchSize > 0 {
		size = min(size, c.opts.BatchSize)
	}
	return size
}

func (c *call[I, P]) parallel(batch int) int {
	switch {
	case c.opts.Parallel > 0:
		return c.opts.Parallel
	case batch > 1:
		return parallelBatches
	default:
		return parallelSingles
	}
}

// requestSlice sends one slice, and again those of its items whose error a retry may mend.
func (c *call[I, P]) requestSlice(ctx context.Context, slice []int) {
	for attempt := 1; len(slice) > 0; attempt++ {
		c.request(ctx, slice)
		var wait time.Duration
		slice, wait = c.retryable(slice, attempt)
		if len(slice) > 0 && (!timeFor(ctx, wait) || sleep(ctx, wait) != nil) {
			return
		}
	}
}

// retryable returns the items worth another attempt, and how long to wait before it.
func (c *call[I, P]) retryable(slice []int, attempt int) (again []int, wait time.Duration) {
	for _, i := range slice {
		err := c.results[i].Err
		asked := askedWait(err)
		switch {
		case errors.Is(err, ErrWrongAnswer), asked > longestWait:
		case errors.Is(err, ErrThrottled) && attempt < throttledAttempts:
			again, wait = append(again, i), max(wait, asked+backoff(attempt))
		case errors.Is(err, ErrUnavailable) && attempt < unavailableAttempts:
			again, wait = append(again, i), max(wait, asked)
		}
	}
	return again, wait
}

// request makes one request and files its results. Whatever is wrong with the answer as a whole is the error of each
// item.
func (c *call[I, P]) request(ctx context.Context, slice []int) {
	results, err := c.send(ctx, pick(c.items, slice))
	if err == nil {
		c.countAttempt(slice)
		err = c.check(slice, results)
	}
	for n, i := range slice {
		switch {
		case err != nil:
			c.fail(i, err)
		case results[n].Err != nil:
			c.fail(i, results[n].Err)
		default:
			c.results[i] = results[n]
		}
	}
}

func (c *call[I, P]) countAttempt(slice []int) {
	for _, i := range slice {
		c.attempts[i]++
	}
}

func (c *call[I, P]) send(ctx context.Context, items []I) ([]Result, error) {
	if err := mayRequest(ctx); err != nil {
		return nil, err
	}
	if err := c.limiter.wait(ctx); err != nil {
		return nil, err
	}
	return paced(ctx, func() []Result {
		c.requests.Add(1)
		limited, cancel := context.WithTimeout(withCounter(ctx, c.countFurther), c.opts.Timeout)
		defer cancel()
		results := c.service(limited, items)
		if limited.Err() != nil && ctx.Err() == nil {
			c.blameTimeout(results)
		}
		return results
	})
}

// mayRequest takes a request from the ctx's budget.
func mayRequest(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !budgetOf(ctx).take() {
		return ErrBudget
	}
	return nil
}

// countFurther lets a further request go at once, lest it wait within the time limit of the first.
func (c *call[I, P]) countFurther(ctx context.Context) error {
	if err := mayRequest(ctx); err != nil {
		return err
	}
	c.limiter.skip()
	c.requests.Add(1)
	return nil
}

// blameTimeout turns the deadline that Key itself set into ErrUnavailable: the caller's ctx has not expired.
func (c *call[I, P]) blameTimeout(results []Result) {
	for i, r := range results {
		if errors.Is(r.Err, context.DeadlineExceeded) || errors.Is(r.Err, context.Canceled) {
			results[i].Err = fmt.Errorf("no answer within %v: %w", c.opts.Timeout, ErrUnavailable)
		}
	}
}

// check refuses an answer whose results might belong to other items. A data key filed with another row would be lost.
func (c *call[I, P]) check(slice []int, results []Result) error {
	if len(results) != len(slice) {
		return fmt.Errorf("%w: %d results for %d items", ErrWrongAnswer, len(results), len(slice))
	}
	for n, i := range slice {
		switch {
		case results[n].Ref != i:
			return fmt.Errorf("%w: result %d is for item %d", ErrWrongAnswer, i, results[n].Ref)
		case results[n].Err == nil && len(results[n].Data) == 0 && (c.op == OpEncrypt || c.op == OpRewrap):
			return fmt.Errorf("%w: result %d is empty", ErrWrongAnswer, i)
		}
	}
	return nil
}
