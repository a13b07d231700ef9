package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// run is a Sweep under way.
type run struct {
	*Sweep
	ctx    context.Context
	plan   Plan
	pages  *sqlseal.Pages
	writer *sqlseal.Writer
	store  *store // nil: stateless
	me     string
	after  []any // the primary key of the last row that is done
	wanted atomic.Value
	failed []Failure // since the last checkpoint
}

// run: prepare, visit pages until there are no more, and say how it ended.
func (r *run) run() error {
	if err := r.prepare(); err != nil {
		r.update(func(st *Status) { st.State = Failed })
		return err
	}
	var cancel context.CancelCauseFunc
	r.ctx, cancel = context.WithCancelCause(r.ctx)
	alive := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() { r.beat(alive, cancel) })
	state, err := r.visit()
	if state == Done {
		if err = r.end(); err != nil {
			state = Failed
		}
	}
	if cause := context.Cause(r.ctx); err != nil && errors.Is(cause, ErrBusy) {
		err = cause
	}
	close(alive)
	beating.Wait()
	cancel(nil)
	return r.finish(state, err)
}

func (r *run) prepare() (err error) {
	if r.plan, err = r.step.Plan(r.ctx, r.table(r.opts.Stateless)); err != nil {
		return err
	}
	r.writer = sqlseal.NewWriter(r.rows, &sqlseal.Options{Others: r.opts.Others})
	r.pages, err = r.writer.Pages(r.ctx, r.db, sqlseal.PageQuery{
		Sealed: r.plan.Sealed, Plain: r.plan.Plain, Where: r.opts.Where, Part: r.opts.Part, Of: r.opts.Parts,
	})
	if err != nil {
		return err
	}
	if r.plan.Replaces {
		if err := r.writer.CheckReplace(r.ctx, r.db); err != nil {
			return err
		}
	}
	estimate, err := r.db.EstimateRows(r.ctx, r.name.table)
	if err != nil {
		return err
	}
	r.update(func(st *Status) { st.Estimate = estimate / int64(st.Parts) })
	if !r.opts.Stateless || r.plan.Journal {
		if err := (store{r.db}).prepare(r.ctx); err != nil {
			return err
		}
	}
	if !r.opts.Stateless {
		r.store, r.me = &store{r.db}, owner()
		return r.claim()
	}
	r.update(func(st *Status) { st.State = Running })
	return nil
}

// claim takes the lease and finds out where to begin.
func (r *run) claim() error {
	if err := r.store.acquire(r.ctx, r.name, r.me, r.opts.Lease, r.opts.Waiting); err != nil {
		return err
	}
	v, err := r.store.read(r.ctx, r.name)
	if err != nil {
		return err
	}
	settings := fmt.Sprintf("%s where=%s", r.plan.Settings, r.opts.Where)
	goesOn := !r.opts.Restart && v.settings == settings && v.position != "" && v.state != string(Done)
	if !goesOn {
		r.update(func(st *Status) { st.State = Running })
		return r.store.begin(r.ctx, r.name, r.me, settings)
	}
	if r.after, err = decodeKey(v.position); err != nil {
		return err
	}
	r.update(func(st *Status) {
		st.State, st.Resumed, st.Counts, st.Begun, st.Position = Running, true, v.counts, v.counts.Rows, sqlseal.KeyText(r.after)
	})
	return nil
}

// beat renews the lease and listens to what other processes want.
func (r *run) beat(done <-chan struct{}, cancel context.CancelCauseFunc) {
	if r.store == nil {
		return
	}
	tick := time.NewTicker(r.opts.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		wanted, err := r.store.renew(r.ctx, r.name, r.me, r.opts.Lease)
		switch {
		case errors.Is(err, ErrBusy):
			cancel(err)
		case err == nil: // else the next beat, or the checkpoint, will tell
			r.wanted.Store(wanted)
		}
	}
}

// next is a page that is being read.
type next struct {
	rows []sqlseal.PageRow
	err  error
	took time.Duration
}

func (r *run) read(after []any) <-chan next {
	c := make(chan next, 1)
	go func() {
		start := time.Now()
		rows, err := r.pages.After(r.ctx, after, r.opts.Page)
		c <- next{rows, err, time.Since(start)}
	}()
	return c
}

// visit does page after page. The next one is read while one is being done.
func (r *run) visit() (State, error) {
	reading := r.read(r.after)
	for left := r.opts.Limit; ; {
		if state, err := r.control(); state != Running {
			<-reading
			return state, err
		}
		page := <-reading
		if page.err != nil {
			return Failed, page.err
		}
		if len(page.rows) == 0 {
			return Done, nil
		}
		if left > 0 && int64(len(page.rows)) > left {
			page.rows = page.rows[:left]
		}
		last := page.rows[len(page.rows)-1].Key
		if r.isCaught(page.rows) {
			return Failed, fmt.Errorf("sweep: row %s comes after itself, so this would never end; the where condition must be one condition, "+
				"with every bracket closed: %w", sqlseal.KeyText(r.after), kms.ErrInvalidRequest)
		}
		reading = r.read(last)
		r.update(func(st *Status) { st.Reading += page.took })
		if err := r.page(page.rows); err != nil {
			<-reading
			return Failed, err
		}
		if err := r.checkpoint(last); err != nil {
			<-reading
			return Failed, err
		}
		if left > 0 {
			if left -= int64(len(page.rows)); left == 0 {
				<-reading
				return Stopped, nil
			}
		}
	}
}

// isCaught tells that the last row of the page before comes again, as with the where condition "a = 1) OR (b = 2", which reaches around
// the one that a row follows another.
func (r *run) isCaught(rows []sqlseal.PageRow) bool {
	if r.opts.Where == "" || r.after == nil {
		return false
	}
	last := sqlseal.KeyText(r.after)
	return slices.ContainsFunc(rows, func(row sqlseal.PageRow) bool { return sqlseal.KeyText(row.Key) == last })
}

// end lets the step do what it has to do after the last row.
func (r *run) end() error {
	ender, ok := r.step.(Ender)
	if !ok {
		return nil
	}
	status := r.Status()
	if err := ender.End(r.ctx, &status); err != nil {
		return err
	}
	for i, f := range r.Status().Failures {
		if r.store == nil || status.Failures[i] == f {
			continue
		}
		if err := r.store.explain(r.ctx, r.name, status.Failures[i]); err != nil {
			return err
		}
	}
	r.update(func(st *Status) { st.Failures = status.Failures })
	return nil
}

// control obeys Stop, Pause, and what other processes want.
func (r *run) control() (State, error) {
	for {
		wanted, _ := r.wanted.Load().(string)
		switch {
		case r.ctx.Err() != nil:
			return Stopped, r.ctx.Err()
		case r.stop.Load() || wanted == string(Stopped):
			return Stopped, nil
		case !r.pause.Load() && wanted != string(Paused):
			r.update(func(st *Status) { st.State = Running })
			return Running, nil
		}
		r.update(func(st *Status) { st.State = Paused })
		if err := sleep(r.ctx, min(r.opts.Lease/10, 200*time.Millisecond)); err != nil {
			return Stopped, err
		}
	}
}

// checkpoint notes that everything up to a row is done.
func (r *run) checkpoint(last []any) error {
	r.after = last
	r.update(func(st *Status) { st.Position = sqlseal.KeyText(last) })
	return r.save(r.ctx, Running, "")
}

func (r *run) save(ctx context.Context, state State, message string) error {
	if r.store == nil {
		return nil
	}
	v := saved{state: string(state), counts: r.Status().Counts}
	now := r.Status()
	v.counts.Requests, v.counts.Throttled = now.Requests, now.Throttled
	if r.after != nil && state != Done {
		var err error
		if v.position, err = encodeKey(r.after); err != nil {
			return err
		}
	}
	err := r.store.checkpoint(ctx, r.name, r.me, v, r.opts.Lease, r.failed, message)
	if err == nil {
		r.failed = nil
	}
	return err
}

// finish notes how the sweep ended, and gives the lease back.
func (r *run) finish(state State, err error) error {
	r.update(func(st *Status) { st.State = state })
	if errors.Is(err, ErrBusy) {
		return err
	}
	message := ""
	if err != nil {
		message = reason(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), 5*time.Second)
	defer cancel()
	r.failed = nil // of a page that is not done
	return errors.Join(err, r.save(ctx, state, message))
}

const (
	patience    = 6 // attempts at a KMS that is overloaded or away, beyond those that a Key makes itself
	lostLimit   = 10
	failedLimit = 3
)

// page does the rows of a page, some of them again where a retry may help.
func (r *run) page(rows []sqlseal.PageRow) error {
	pending := make([]*Row, len(rows))
	for i, row := range rows {
		pending[i] = &Row{PageRow: row}
	}
	done := Counts{Rows: int64(len(rows))}
	var failures []Failure
	for try := 0; len(pending) > 0; try++ {
		start := time.Now()
		if err := r.step.Do(r.ctx, pending); err != nil {
			return err
		}
		if err := r.ctx.Err(); err != nil {
			r.abandon(pending)
			return err
		}
		done.Working += time.Since(start)
		again, write, err := r.sort(pending, &failures, try)
		if err != nil {
			r.abandon(pending)
			return err
		}
		start = time.Now()
		refused, err := r.write(write, &done, try)
		done.Writing += time.Since(start)
		if err != nil {
			return err
		}
		r.rows.Wipe(rowsOf(pending)...)
		for _, row := range refused {
			if row.Err == nil && row.lost >= lostLimit {
				row.Err = fmt.Errorf("others keep changing the row: %w", rowseal.ErrConflict)
			}
			if row.failed >= failedLimit || row.lost >= lostLimit {
				failures = append(failures, failureOf(row))
				continue
			}
			again = append(again, row)
		}
		if pending, err = r.again(again, &done, try); err != nil {
			return err
		}
	}
	done.Quarantined = int64(len(failures))
	done.Unchanged = done.Rows - done.Changed - done.Gone - done.Quarantined
	return r.count(done, failures)
}

// count adds a page's counts, and refuses too many failures.
func (r *run) count(done Counts, failures []Failure) error {
	total := r.Status().Quarantined + done.Quarantined
	if r.opts.MaxFailures >= 0 && total > r.opts.MaxFailures {
		r.update(func(st *Status) { st.keep(failures) })
		first := ""
		if known := r.Status().Failures; len(known) > 0 { // else all of them are of an earlier run
			first = fmt.Sprintf("; the first: %s", known[0])
		}
		return fmt.Errorf("sweep: %d rows have failed, which is more than %d%s: %w", total, r.opts.MaxFailures, first, ErrFailures)
	}
	r.failed = append(r.failed, failures...)
	r.update(func(st *Status) {
		st.Rows += done.Rows
		st.Changed += done.Changed
		st.Unchanged += done.Unchanged
		st.Gone += done.Gone
		st.Conflicts += done.Conflicts
		st.Quarantined += done.Quarantined
		st.Leftovers += done.Leftovers
		st.Working += done.Working
		st.Writing += done.Writing
		st.keep(failures)
	})
	return nil
}

func (st *Status) keep(failures []Failure) {
	st.Failures = append(st.Failures, failures[:min(len(failures), shownFailures-len(st.Failures))]...)
}

// String is for messages.
func (f Failure) String() string { return f.Key + ": " + f.Reason }

func failureOf(row *Row) Failure { return Failure{sqlseal.KeyText(row.Key), reason(row.Err)} }

// sort finds what each row needs: another try, to be written, to be left alone, or quarantine.
func (r *run) sort(rows []*Row, failures *[]Failure, try int) (again []*Row, write []*write, err error) {
	unusable := 0
	for _, row := range rows {
		switch {
		case row.Err == nil:
			w, err := r.changeOf(row)
			switch {
			case err != nil:
				row.Err = err
				*failures = append(*failures, failureOf(row))
			case w != nil:
				write = append(write, w)
			}
		case errors.Is(row.Err, context.Canceled), errors.Is(row.Err, context.DeadlineExceeded), errors.Is(row.Err, kms.ErrBudget):
			return nil, nil, row.Err
		case errors.Is(row.Err, kms.ErrThrottled), errors.Is(row.Err, kms.ErrUnavailable):
			if try >= patience {
				return nil, nil, row.Err
			}
			again = append(again, row)
		default:
			if isUnusable(row.Err) {
				unusable++
			}
			*failures = append(*failures, failureOf(row))
		}
	}
	if unusable == len(rows) && try == 0 { // it is the key, not the rows
		return nil, nil, rows[0].Err
	}
	return again, write, nil
}

// isUnusable tells of an error of the KMS whether it is one of the key rather than of the row.
func isUnusable(err error) bool {
	return errors.Is(err, kms.ErrAccessDenied) || errors.Is(err, kms.ErrKeyDisabled) || errors.Is(err, kms.ErrKeyNotFound) && !errors.Is(err, kms.ErrDecryptionFailed)
}

// again reads rows that are to be tried again, after a while where a KMS needs it.
func (r *run) again(rows []*Row, done *Counts, try int) ([]*Row, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	if err := sleep(r.ctx, waitFor(rows, try)); err != nil {
		return nil, err
	}
	keys := make([][]any, len(rows))
	before := map[string]*Row{}
	for i, row := range rows {
		keys[i] = row.Key
		before[sqlseal.KeyText(row.Key)] = row
	}
	found, err := r.pages.Again(r.ctx, keys...)
	if err != nil {
		return nil, err
	}
	fresh := make([]*Row, len(found))
	for i, row := range found {
		fresh[i] = &Row{PageRow: row}
		if b := before[sqlseal.KeyText(row.Key)]; b != nil {
			fresh[i].lost, fresh[i].failed = b.lost, b.failed
		}
	}
	done.Gone += int64(len(rows) - len(found))
	return fresh, nil
}

// waitFor is how long a KMS needs, or others who hold locks.
func waitFor(rows []*Row, try int) (d time.Duration) {
	for _, row := range rows {
		switch {
		case row.Err == nil:
		case row.failed == 0:
			return min(time.Second<<try, 30*time.Second)
		default:
			d = 50 * time.Millisecond << try
		}
	}
	return d
}

// abandon gives up rows that were not written: files that were stored for them are deleted.
func (r *run) abandon(rows []*Row) {
	if !r.plan.Files {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), 10*time.Second)
	defer cancel()
	_ = r.rows.Abandoned(ctx, rowsOf(rows)...) // to what stays behind nothing refers
}

// changeOf is what is to be written; nil: nothing.
func (r *run) changeOf(row *Row) (*write, error) {
	if row.Unchanged {
		return nil, nil
	}
	change, err := r.rows.Change(row.Row, nil, nil)
	if err != nil {
		return nil, err
	}
	if len(change.Set)+len(row.Also.Set) == 0 {
		return nil, nil
	}
	change.Set = slices.Concat(change.Set, row.Also.Set)
	change.Match = slices.Concat(change.Match, row.Also.Match)
	return &write{row, change}, nil
}

// write is a row with its UPDATE.
type write struct {
	*Row
	change rowseal.Change
}
