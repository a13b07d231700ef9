package blindindex

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// workers holds a token for each index that ComputeAll makes at this moment, in the whole process.
var workers = make(chan struct{}, runtime.GOMAXPROCS(0))

// ComputeAll is Compute for many values: indexes in the order of the values, "" for NULL. Equal values cost one index. On
// an error there are no indexes; the error tells the position of a value that a normalizer refuses.
//
// The work runs in parallel, and all calls in the process together make at most as many indexes at once as GOMAXPROCS said
// when the program started, in turn where several calls compete. The memory in use so stays below GOMAXPROCS times 4 MiB
// with Argon2id (times 32 MiB when slow), and what the garbage collector leaves for later: about as much again.
// HMACSHA256, which is cheaper than handing it out, runs on the caller's goroutine.
//
// When ctx ends, ComputeAll starts no further index, waits for those that are under way, and returns ctx's error.
func (x *Indexer) ComputeAll(ctx context.Context, values []string) ([]string, error) {
	if x.compute == nil {
		return nil, errNoKey
	}
	normalized := make([]string, 0, len(values))
	places := make([]int, len(values)) // in normalized; -1: no index
	for i, v := range values {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("blindindex: normalizing %d values: %w", len(values), err)
		}
		n, err := x.normalize(v)
		if errors.Is(err, ErrNull) {
			places[i] = -1
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w (value %d of %d)", err, i, len(values))
		}
		places[i] = len(normalized)
		normalized = append(normalized, n)
	}
	indexes, err := x.indexesOf(ctx, normalized)
	if err != nil {
		return nil, err
	}
	all := make([]string, len(values))
	for i, place := range places {
		if place >= 0 {
			all[i] = indexes[place]
		}
	}
	return all, nil
}

// ComputeNormalized returns the indexes, as their column takes them, of values that Normalize has returned, in their order.
// It works as ComputeAll does.
func (x *Indexer) ComputeNormalized(ctx context.Context, normalized []string) ([]Index, error) {
	if x.compute == nil {
		return nil, errNoKey
	}
	texts, err := x.indexesOf(ctx, normalized)
	if err != nil {
		return nil, err
	}
	indexes := make([]Index, len(texts))
	for i, text := range texts {
		indexes[i] = x.column(text)
	}
	return indexes, nil
}

// indexesOf makes the indexes of normalized values, of equal values once.
func (x *Indexer) indexesOf(ctx context.Context, normalized []string) ([]string, error) {
	places := make(map[string]int, len(normalized))
	var distinct []string
	for _, v := range normalized {
		if _, ok := places[v]; !ok {
			places[v] = len(distinct)
			distinct = append(distinct, v)
		}
	}
	made := make([]string, len(distinct))
	work := x.inParallel
	if x.cheap {
		work = x.inTurn
	}
	if err := work(ctx, distinct, made); err != nil {
		return nil, fmt.Errorf("blindindex: making %d indexes: %w", len(distinct), err)
	}
	all := make([]string, len(normalized))
	for i, v := range normalized {
		all[i] = made[places[v]]
	}
	return all, nil
}

func (x *Indexer) inTurn(ctx context.Context, values, indexes []string) (err error) {
	for i, v := range values {
		if err := ctx.Err(); err != nil {
			return err
		}
		if indexes[i], err = x.compute(v); err != nil {
			return err
		}
	}
	return nil
}

func (x *Indexer) inParallel(ctx context.Context, values, indexes []string) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		next  atomic.Int64
		group sync.WaitGroup
		first sync.Once
	)
	for range min(cap(workers), len(values)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(values); i = int(next.Add(1)) - 1 {
				index, e := x.withToken(ctx, values[i])
				if e != nil {
					first.Do(func() { err = e })
					cancel()
					return
				}
				indexes[i] = index
			}
		})
	}
	group.Wait()
	return err
}

// withToken computes one index once there is a token for it. A token per index lets calls that compete take turns.
func (x *Indexer) withToken(ctx context.Context, normalized string) (string, error) {
	if err := ctx.Err(); err != nil { // select would choose at random between this and a free token
		return "", err
	}
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case workers <- struct{}{}:
	}
	defer func() { <-workers }()
	return x.compute(normalized)
}
