package riversweep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// Fleet is the sweeps that its machines know by name. Each process makes one, with the same names; fields are set before the first
// use, and the methods may be called from any goroutine.
type Fleet struct {
	// Sweeps are the sweeps by name. A name stands for the same table and step on every machine.
	Sweeps map[string]Sweep
	// Queue is River's queue for the jobs of Start. "": River's default one. With one of its own, a long sweep keeps no worker from
	// other jobs.
	Queue string
	// Turn is how long a job works before it goes back into the queue, behind the parts that wait; the page at hand is finished
	// first. 0: a minute.
	Turn time.Duration
	// Timeout is how long a turn may take, that page included. A page that needs longer never gets done: make Options.Page smaller.
	// River takes a job for dead after this, or after its Config.RescueStuckJobsAfter, whichever is longer. 0: five minutes.
	Timeout time.Duration
}

// Sweep is what a name stands for.
type Sweep struct {
	// DB is the PostgreSQL database whose rows are visited; River's tables may be in another.
	DB   *sqlseal.DB
	Rows *rowseal.Rows
	// Step makes the step for a turn, and what it keeps in memory lasts as long: a sweep.VerifyStep finds only those rows that have
	// each other's columns which it has seen in one turn. settings are what Start was given, nil where that was nil; the step's Name
	// must not depend on them.
	Step func(settings json.RawMessage) (sweep.Step, error)
	// Options are those of a turn on this machine. Part and Parts are the job's; Limit, Restart and Stateless are refused. A Rate is one
	// for each job: give a Bucket as the Pacer to limit all of them together.
	Options sweep.Options
}

const (
	defaultTurn    = time.Minute
	defaultTimeout = 5 * time.Minute
	mostParts      = 1000
)

// ErrUnknown is the error of a name that the Fleet has not.
var ErrUnknown = errors.New("unknown sweep")

// Args are the arguments of a job. Fleet.Start inserts jobs with them.
type Args struct {
	Sweep    string          `json:"sweep" river:"unique"`
	Part     int             `json:"part" river:"unique"`
	Parts    int             `json:"parts"`
	Settings json.RawMessage `json:"settings,omitempty"`
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return "rowseal_sweep" }

// InsertOpts implements river.JobArgsWithInsertOpts: a part of a sweep has one job that is not at its end.
func (Args) InsertOpts() river.InsertOpts {
	return river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: live}}
}

// live are the states of jobs that are not at their end.
var live = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

func isLive(state rivertype.JobState) bool { return slices.Contains(live, state) }

// Client is a *river.Client of any driver; one without queues and workers will do.
type Client interface {
	InsertMany(ctx context.Context, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	JobList(ctx context.Context, params *river.JobListParams) (*river.JobListResult, error)
	JobCancel(ctx context.Context, jobID int64) (*rivertype.JobRow, error)
}

// AddTo registers the worker of the fleet's jobs.
func (f *Fleet) AddTo(workers *river.Workers) { river.AddWorker(workers, &worker{fleet: f}) }

// part is a part of a sweep that this process knows.
type part struct {
	Sweep
	Args
	step sweep.Step
}

// open finds what a job is about.
func (f *Fleet) open(a Args) (*part, error) {
	invalid := func(format string, args ...any) (*part, error) {
		return nil, fmt.Errorf("riversweep: sweep %q: "+format+": %w", append(append([]any{a.Sweep}, args...), kms.ErrInvalidRequest)...)
	}
	s, ok := f.Sweeps[a.Sweep]
	switch o := s.Options; {
	case !ok:
		return nil, fmt.Errorf("riversweep: this process has no sweep %q: %w", a.Sweep, ErrUnknown)
	case s.DB == nil || s.Rows == nil || s.Step == nil:
		return invalid("DB, Rows and Step must be set")
	case s.DB.Dialect != sqlseal.PostgreSQL:
		return invalid("a fleet needs PostgreSQL, and the database is %s", s.DB.Dialect)
	case a.Parts < 1 || a.Parts > mostParts:
		return invalid("%d parts: there can be from 1 to %d", a.Parts, mostParts)
	case o.Limit != 0 || o.Restart || o.Stateless:
		return invalid("a turn knows no Limit, no Restart and no Stateless of sweep.Options")
	}
	step, err := s.Step(a.Settings)
	if err != nil {
		return nil, fmt.Errorf("riversweep: sweep %q: %w", a.Sweep, err)
	}
	s.Options.Part, s.Options.Parts = a.Part, a.Parts
	return &part{s, a, step}, nil
}
