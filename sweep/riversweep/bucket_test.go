package riversweep

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rowOf is a Bucket's row without a database: moments are given out as the statement does.
type rowOf struct {
	mu         sync.Mutex
	rate       float64
	next       time.Time
	statements int
	throttled  int
	err        error
}

func (r *rowOf) reserve(_ context.Context, n int, throttled bool) (first, gap time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, 0, r.err
	}
	r.statements++
	if throttled {
		r.throttled++
	}
	if r.next.Before(time.Now()) {
		r.next = time.Now()
	}
	first, gap = time.Until(r.next), seconds(1/r.rate)
	r.next = r.next.Add(time.Duration(n) * gap)
	return first, gap, nil
}

func bucketOn(r *rowOf) *Bucket {
	b := &Bucket{rate: r.rate, reserve: r.reserve}
	b.init()
	return b
}

func wait(t *testing.T, b *Bucket) time.Time {
	t.Helper()
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

func TestRequestsAreSpacedOverAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		row := &rowOf{rate: 100}
		begin := time.Now()
		var mu sync.Mutex
		var made []time.Duration
		var wg sync.WaitGroup
		for range 4 { // processes, each with three requests at once
			b := bucketOn(row)
			for range 3 {
				wg.Go(func() {
					for range 50 {
						at := wait(t, b).Sub(begin)
						mu.Lock()
						made = append(made, at)
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		slices.Sort(made)
		for i, at := range made {
			if limit := 100*(at+late).Seconds() + 1; float64(i+1) > limit {
				t.Fatalf("request %d at %v", i+1, at)
			}
		}
		if total := made[len(made)-1]; total > 7*time.Second {
			t.Errorf("600 requests at 100 a second took %v", total)
		}
		if row.statements > 150 {
			t.Errorf("%d statements for 600 requests", row.statements)
		}
	})
}

func TestMomentsThatAreNotUsedAreLostAndNotSavedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOn(&rowOf{rate: 100})
		for range 100 { // so that reservations are as large as they get
			wait(t, b)
		}
		time.Sleep(time.Hour)
		begin := time.Now()
		for range 50 {
			wait(t, b)
		}
		if took := time.Since(begin); took < 490*time.Millisecond {
			t.Errorf("50 requests at 100 a second took %v after an hour of rest", took)
		}
	})
}

func TestAProcessReservesWhatItUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		row := &rowOf{rate: 1000}
		b := bucketOn(row)
		for range 1000 { // all that there are
			wait(t, b)
		}
		for range 100 {
			wait(t, b)
			time.Sleep(100 * time.Millisecond) // what a request takes
		}
		if next := time.Until(row.next); next > 250*time.Millisecond {
			t.Errorf("the next request of another process is %v away", next)
		}
		if b.size > 10 {
			t.Errorf("a process that makes ten requests a second reserves %d at a time", b.size)
		}
	})
}

func TestARefusalIsToldOnceAndTheReservationGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		row := &rowOf{rate: 100}
		b := bucketOn(row)
		for range 20 {
			wait(t, b)
		}
		b.Done(true)
		before := row.statements
		for range 20 {
			wait(t, b)
			b.Done(false)
		}
		if row.statements == before || row.throttled != 1 {
			t.Errorf("%d statements after a refusal, %d of which told of it", row.statements-before, row.throttled)
		}
	})
}

func TestNoRequestWithoutTheDatabase(t *testing.T) {
	row := &rowOf{rate: 100, err: errors.New("gone")}
	b := bucketOn(row)
	for range 3 {
		if err := b.Wait(t.Context()); !errors.Is(err, row.err) {
			t.Fatal(err)
		}
	}
	row.err = nil
	wait(t, b)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bucketOn(&rowOf{rate: 1.0 / 3600})
		wait(t, b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
