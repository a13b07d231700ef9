package riversweep

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sweep"
)

// worker works the jobs of a Fleet.
type worker struct {
	river.WorkerDefaults[Args]
	fleet *Fleet
}

const (
	grace   = 5 * time.Second  // for the page at hand, when the client is stopped at once
	unknown = 2 * time.Second  // at least, and twice that at most, until a job is offered again that this process does not know
	busy    = 15 * time.Second // until one is whose part another process is at: a lease
)

// errStopped is the reason of a job that was cancelled with the stop button.
var errStopped = errors.New("riversweep: the sweep was stopped; Start goes on")

// Timeout implements river.Worker.
func (w *worker) Timeout(*river.Job[Args]) time.Duration {
	return cmp.Or(w.fleet.Timeout, defaultTimeout)
}

// Work implements river.Worker: a turn.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	p, err := w.fleet.open(job.Args)
	if errors.Is(err, ErrUnknown) { // one of a newer release may know it, and has its chance now and then
		return later(ctx, unknown+rand.N(unknown), err)
	}
	if err != nil {
		return river.JobCancel(err)
	}
	if waits(job.JobRow) != "" {
		if err := river.RecordOutput(ctx, note{}); err != nil {
			return err
		}
	}
	done, _, err := p.done(ctx)
	if err != nil || done[p.Part] { // by a process that was killed before River knew
		return verdict(ctx, err)
	}
	s, err := sweep.New(p.DB, p.Rows, p.step, &p.Options)
	if err != nil {
		return river.JobCancel(err)
	}
	status, over, err := w.turn(ctx, s)
	if err == nil && status.State == sweep.Done {
		return nil
	}
	if err == nil && ctx.Err() == nil {
		if !over { // somebody has stopped it in the database
			return river.JobCancel(errStopped)
		}
		return river.JobSnooze(0)
	}
	return verdict(ctx, err)
}

// verdict tells River what an error means for the job.
func verdict(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), river.ErrJobCancelledRemotely):
		return river.JobCancel(errStopped)
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
		return fmt.Errorf("riversweep: a page takes longer than Fleet.Timeout, make sweep.Options.Page smaller: %w", err)
	case ctx.Err() != nil: // the client stops, and another one goes on
		return river.JobSnooze(0)
	case err == nil:
		return nil
	case errors.Is(err, sweep.ErrBusy):
		return later(ctx, busy, err)
	case cannotPass(err):
		return river.JobCancel(err)
	}
	return err
}

// cannotPass tells of an error that it would come again.
func cannotPass(err error) bool {
	for _, e := range []error{kms.ErrInvalidRequest, kms.ErrAccessDenied, kms.ErrKeyNotFound, kms.ErrKeyDisabled, sweep.ErrFailures, sweep.ErrState} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// note is the output of a job that somebody else must do.
type note struct {
	Waits string `json:"waits"`
}

// waits is the reason why a process has put a job back for others.
func waits(job *rivertype.JobRow) string {
	var m struct{ Output note }
	_ = json.Unmarshal(job.Metadata, &m)
	return m.Output.Waits
}

// later puts the job back for a while, which costs none of its attempts, and leaves the reason for Status.
func later(ctx context.Context, d time.Duration, reason error) error {
	if err := river.RecordOutput(ctx, note{reason.Error()}); err != nil {
		return err
	}
	return river.JobSnooze(d)
}

// turn runs a sweep until its turn is over, or until ctx is done: then it has some seconds to finish its page.
func (w *worker) turn(ctx context.Context, s *sweep.Sweep) (status sweep.Status, over bool, err error) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var isOver atomic.Bool
	minded := make(chan struct{})
	go func() {
		defer close(minded)
		w.mind(ctx, running, s, &isOver)
		cancel()
	}()
	status, err = s.Run(running)
	cancel()
	<-minded
	return status, isOver.Load(), err
}

// mind stops the sweep when its turn is over and when ctx is done, and returns when it has to be ended.
func (w *worker) mind(ctx, running context.Context, s *sweep.Sweep, isOver *atomic.Bool) {
	turns := time.NewTicker(cmp.Or(w.fleet.Turn, defaultTurn))
	defer turns.Stop()
	for {
		select {
		case <-running.Done():
			return
		case <-turns.C:
			if s.Status().State != sweep.Waiting { // a turn has one page at least
				isOver.Store(true)
				s.Stop()
			}
		case <-ctx.Done():
			s.Stop()
			select {
			case <-running.Done():
			case <-time.After(grace):
			}
			return
		}
	}
}
