package sweep

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rowseal/rowseal/sqlseal"
)

// write updates rows, some in one transaction, several transactions at once. It returns those that somebody else has changed since
// they were read, and those that the database refused. In a second try each row has a transaction of its own, so that one that is
// refused does not hold up the others.
func (r *run) write(rows []*write, done *Counts, try int) (refused []*Row, err error) {
	size := rowsATransaction
	if try > 0 {
		size = 1
	}
	chunks := slices.Collect(slices.Chunk(rows, max(1, min(size, (len(rows)+r.opts.Writers-1)/r.opts.Writers))))
	results := make([]error, len(chunks))
	var wg sync.WaitGroup
	free := make(chan struct{}, r.opts.Writers)
	for i, chunk := range chunks {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			results[i] = r.transaction(chunk)
		})
	}
	wg.Wait()
	var written, lost []*Row
	for i, chunk := range chunks {
		for _, w := range chunk {
			switch {
			case results[i] != nil:
				w.Err = results[i]
				w.failed++
				refused = append(refused, w.Row)
			case w.isLost:
				done.Conflicts++
				refused, lost = append(refused, w.Row), append(lost, w.Row)
			default:
				written = append(written, w.Row)
			}
		}
	}
	done.Changed += int64(len(written))
	r.abandon(lost)
	done.Leftovers += r.settle(written)
	if len(refused) > 0 {
		err = r.reachable(results)
	}
	return refused, err
}

// transaction updates rows together. Where it fails nothing is written, unless the COMMIT itself failed: then nobody knows, and what
// the rows need is found out when they are read again.
func (r *run) transaction(chunk []*write) error {
	committing := false
	_, err := r.db.Transaction(r.ctx, func(tx *sqlseal.DB) error {
		for _, w := range chunk {
			swapped, err := r.pages.Swap(r.ctx, tx, w.Key, w.change)
			if err != nil {
				return err
			}
			if w.isLost = !swapped; w.isLost {
				w.lost++
				continue
			}
			if w.Within == nil {
				continue
			}
			if err := w.Within(r.ctx, tx); err != nil {
				return err
			}
		}
		committing = true
		return nil
	})
	if err != nil && !committing {
		all := make([]*Row, len(chunk))
		for i, w := range chunk {
			all[i] = w.Row
		}
		r.abandon(all)
	}
	return err
}

// settle tells rows that they are written, which deletes the files that they do not refer to any more.
func (r *run) settle(rows []*Row) (leftovers int64) {
	if !r.plan.Files || len(rows) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), time.Minute)
	defer cancel()
	if err := r.rows.Committed(ctx, rowsOf(rows)...); err != nil {
		return 1
	}
	return 0
}

// reachable tells a database that refuses rows from one that is gone.
func (r *run) reachable(results []error) error {
	failed := errors.Join(results...)
	if failed == nil {
		return nil
	}
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := r.db.Query(r.ctx, "SELECT 1", nil, func(func(...any) error) error { return nil }); err != nil {
		return failed
	}
	return nil
}
