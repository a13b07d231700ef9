package blindindex_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/rowseal/rowseal/blindindex"
)

func numbers(n int) (values []string) {
	for i := range n {
		values = append(values, fmt.Sprint(i))
	}
	return values
}

func TestComputeAllIsComputeForEachInTheirOrder(t *testing.T) {
	for _, opts := range []blindindex.Options{
		{Algorithm: blindindex.HMACSHA256, Normalize: "lower"},
		{Algorithm: blindindex.HMACSHA256, Raw: true, Size: 3},
		{Algorithm: blindindex.PBKDF2SHA256, Cost: blindindex.Cost{Iterations: 10}, Normalize: "strip+lower"},
	} {
		x := newIndexer(t, &opts)
		values := append(numbers(50), "A", "a", " a", "", "a", "0")
		got, err := x.ComputeAll(t.Context(), values)
		if err != nil || len(got) != len(values) {
			t.Fatalf("%d indexes, %v", len(got), err)
		}
		for i, v := range values {
			if got[i] != must(x.Compute(v)) {
				t.Errorf("%s: the index of %q, at %d, is another's", opts.Algorithm, v, i)
			}
		}
	}
}

func TestComputeAllOfNothingIsNothing(t *testing.T) {
	if got, err := newHMAC(t, "").ComputeAll(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestEqualValuesCostOneIndex(t *testing.T) {
	var computed atomic.Int64
	x := blindindex.NewOf(func(s string) string { computed.Add(1); return s })
	values := append(append(numbers(10), numbers(10)...), numbers(7)...)
	got, err := x.ComputeAll(t.Context(), values)
	if err != nil || !slices.Equal(got, values) || computed.Load() != 10 {
		t.Errorf("%d values are made for %q, %v", computed.Load(), got, err)
	}
}

// gated returns an Indexer whose every index waits for open, and the number of those that have begun.
func gated(open <-chan struct{}) (x *blindindex.Indexer, begun *atomic.Int64) {
	begun = new(atomic.Int64)
	return blindindex.NewOf(func(s string) string { begun.Add(1); <-open; return s }), begun
}

func TestAllCallsTogetherMakeAsManyIndexesAtOnceAsThereAreWorkers(t *testing.T) {
	if want := runtime.GOMAXPROCS(0); blindindex.Workers() != want {
		t.Errorf("%d workers, want %d", blindindex.Workers(), want)
	}
	synctest.Test(t, func(t *testing.T) {
		const workers = 3
		defer blindindex.SetWorkers(workers)()
		open := make(chan struct{})
		x, begun := gated(open)
		var calls sync.WaitGroup
		for range 4 {
			calls.Go(func() {
				if got, err := x.ComputeAll(t.Context(), numbers(5)); err != nil || !slices.Equal(got, numbers(5)) {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		for made := int64(workers); made <= 20; made++ {
			synctest.Wait()
			if begun.Load() != made {
				t.Fatalf("%d indexes have begun when %d are done, want %d", begun.Load(), made-workers, made)
			}
			open <- struct{}{}
		}
		close(open)
		calls.Wait()
	})
}

func TestCallsThatCompeteTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer blindindex.SetWorkers(1)()
		open := make(chan struct{})
		large, largeBegun := gated(open)
		small, smallBegun := gated(open)
		var calls sync.WaitGroup
		calls.Go(func() { must(large.ComputeAll(t.Context(), numbers(100))) })
		synctest.Wait()
		calls.Go(func() { must(small.ComputeAll(t.Context(), numbers(3))) })
		for range 6 {
			synctest.Wait()
			open <- struct{}{}
		}
		synctest.Wait()
		if smallBegun.Load() != 3 || largeBegun.Load() != 4 {
			t.Errorf("the small call has begun %d of 3 when the large one has begun %d", smallBegun.Load(), largeBegun.Load())
		}
		close(open)
		calls.Wait()
	})
}

func TestComputeDoesNotWaitForABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer blindindex.SetWorkers(1)()
		open := make(chan struct{})
		batch, begun := gated(open)
		var call sync.WaitGroup
		call.Go(func() { must(batch.ComputeAll(t.Context(), numbers(3))) })
		synctest.Wait()
		must(blindindex.NewOf(func(s string) string { return s }).Compute("v")) // or all goroutines are blocked, which synctest reports
		if begun.Load() != 1 {
			t.Errorf("%d indexes have begun, want the one that holds the only worker", begun.Load())
		}
		close(open)
		call.Wait()
	})
}

func TestComputeAllStopsWhenItsContextEnds(t *testing.T) {
	for range 20 { // a select that is free to choose would stop now and then
		synctest.Test(t, stopWhenTheContextEnds)
	}
}

func stopWhenTheContextEnds(t *testing.T) {
	const workers = 2
	defer blindindex.SetWorkers(workers)()
	open := make(chan struct{})
	x, begun := gated(open)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		working, waiting     error
		workingEnd, waitEnds atomic.Bool
		calls                sync.WaitGroup
	)
	calls.Go(func() { _, working = x.ComputeAll(ctx, numbers(10)); workingEnd.Store(true) })
	synctest.Wait()
	calls.Go(func() { _, waiting = x.ComputeAll(ctx, numbers(10)); waitEnds.Store(true) })
	synctest.Wait()
	cancel()
	synctest.Wait()
	if !waitEnds.Load() || workingEnd.Load() {
		t.Errorf("ended: the call that waited for a worker %v, the one with indexes under way %v", waitEnds.Load(), workingEnd.Load())
	}
	close(open)
	calls.Wait()
	if !errors.Is(working, context.Canceled) || !errors.Is(waiting, context.Canceled) || begun.Load() != workers {
		t.Errorf("got %v and %v, after %d indexes", working, waiting, begun.Load())
	}
}

func TestAnEndedContextStartsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var computed atomic.Int64
	counting := blindindex.NewOf(func(s string) string { computed.Add(1); return s })
	for _, x := range []*blindindex.Indexer{counting, newHMAC(t, "")} {
		if got, err := x.ComputeAll(ctx, numbers(3)); !errors.Is(err, context.Canceled) || got != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if computed.Load() != 0 {
		t.Errorf("%d indexes are made", computed.Load())
	}
}

// The cheap indexes are made on the caller's goroutine, which must look at ctx too.
func TestComputeAllOfCheapIndexesStopsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	x := newIndexer(t, &blindindex.Options{
		Algorithm: blindindex.HMACSHA256,
		Normalize: "last",
		Normalizers: map[string]func(string) (string, error){"last": func(s string) (string, error) {
			if s == "2" { // the last, after which only indexes are to be made
				cancel()
			}
			return s, nil
		}},
	})
	if got, err := x.ComputeAll(ctx, numbers(3)); !errors.Is(err, context.Canceled) || got != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAValueThatIsRefusedRefusesTheBatchBeforeAnyIndexIsMade(t *testing.T) {
	got, err := newHMAC(t, "lower").ComputeAll(t.Context(), []string{"a", "b", "\xff", "c"})
	if !errors.Is(err, blindindex.ErrNotUTF8) || got != nil || !strings.Contains(err.Error(), "value 2 of 4") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAnIndexerIsSafeForConcurrentUse(t *testing.T) {
	x := newHMAC(t, "strip+lower")
	want := must(x.Compute("a"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if must(x.Compute(" A ")) != want || must(x.ComputeAll(t.Context(), []string{"b", "A"}))[1] != want {
					t.Error("another index")
				}
			}
		})
	}
	all.Wait()
}

// Rows that are sealed one by one, on as many goroutines as there are requests, are batches of one value.
func TestCallsOfOneValueAreBoundedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, callers = 3, 12
		defer blindindex.SetWorkers(workers)()
		open := make(chan struct{})
		x, begun := gated(open)
		var calls sync.WaitGroup
		for i := range callers {
			calls.Go(func() {
				if got, err := x.ComputeNormalized(t.Context(), []string{fmt.Sprint(i)}); err != nil || len(got) != 1 || got[0].Text() != fmt.Sprint(i) {
					t.Errorf("%v, %v", got, err)
				}
			})
		}
		for made := int64(workers); made <= callers; made++ {
			synctest.Wait()
			if begun.Load() != made {
				t.Fatalf("%d indexes have begun when %d are done, want %d", begun.Load(), made-workers, made)
			}
			open <- struct{}{}
		}
		close(open)
		calls.Wait()
	})
}

func TestIndexNormalizedIsIndexOfWhatWasNormalized(t *testing.T) {
	for _, raw := range []bool{false, true} {
		x := newIndexer(t, &blindindex.Options{Algorithm: blindindex.HMACSHA256, Normalize: "strip+lower", Raw: raw})
		for _, value := range []string{" Ada ", "", "ada"} {
			normalized := must(x.Normalize(value))
			got, err := x.IndexNormalized(normalized)
			if want := must(x.Index(value)); got != want || err != nil {
				t.Errorf("%q: %v, %v; want %v", value, got, err, want)
			}
			if all, err := x.ComputeNormalized(t.Context(), []string{normalized}); err != nil || len(all) != 1 || all[0] != got {
				t.Errorf("%q: one by one %v, in a batch %v, %v", value, got, all, err)
			}
		}
		if must(x.IndexNormalized(" Ada ")) == must(x.IndexNormalized("ada")) {
			t.Error("what was not normalized is normalized")
		}
	}
	if _, err := (&blindindex.Indexer{}).IndexNormalized("ada"); err == nil {
		t.Error("an Indexer without a key makes an index")
	}
}

// One search is not held up by a backfill.
func TestIndexNormalizedDoesNotWaitForABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer blindindex.SetWorkers(1)()
		open := make(chan struct{})
		batch, _ := gated(open)
		var call sync.WaitGroup
		call.Go(func() { must(batch.ComputeNormalized(t.Context(), numbers(3))) })
		synctest.Wait()
		must(blindindex.NewOf(func(s string) string { return s }).IndexNormalized("v")) // or synctest reports that all are blocked
		close(open)
		call.Wait()
	})
}
