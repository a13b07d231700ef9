package sweep

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// Sweep is one pass of a Step over the rows of a table, or over a part of them. It is made by New and run once; its other methods
// may be called from any goroutine.
type Sweep struct {
	db    *sqlseal.DB
	rows  *rowseal.Rows
	step  Step
	opts  Options
	name  sweepName
	pace  *counter
	pause atomic.Bool
	stop  atomic.Bool

	mu     sync.Mutex
	status Status
}

// Options changes how a sweep runs. The zero value is right for a table on a database of its own size.
type Options struct {
	// Page is how many rows are read at once. 0: eight batches of the KMS, or 500 rows where it has no batches.
	Page int
	// Writers is how many connections write at once. 0: 4, and 1 on SQLite.
	Writers int
	// Where narrows the rows: a condition in SQL, which must be the program's own or the operator's.
	Where string
	// Part and Parts divide the table: this sweep visits the rows of Part, from 1 to Parts. The other parts are other sweeps, of other
	// machines maybe. 0: the whole table.
	Part, Parts int
	// Limit ends the sweep after so many rows, as if it had been stopped. 0: none.
	Limit int64
	// Rate is how many requests a second are made to KMSs at most. 0: as many as they take.
	Rate float64
	// Pacer replaces Rate, and the Pace that slows down where a KMS refuses requests because there are too many.
	Pacer kms.Pacer
	// MaxFailures is how many rows may fail; with one more the sweep stops. 0: 100. Negative: any number.
	MaxFailures int64
	// Restart begins with the first row, also where an earlier sweep was stopped.
	Restart bool
	// Stateless keeps nothing in the database: no lease, no position, no list of the rows that failed. A RekeyStep, which keeps a
	// journal, needs the tables all the same.
	Stateless bool
	// Others are further Models of the same table, see sqlseal.Options.
	Others []*rowseal.Rows
	// Lease is how long another process waits for this one's sign of life before it takes over the sweep. 0: 15 seconds.
	Lease time.Duration
	// Waiting is called when another process holds the lease and shows no sign of life, so that it is waited for.
	Waiting func(holder string)
}

const (
	defaultLease       = 15 * time.Second
	defaultMaxFailures = 100
	defaultWriters     = 4
	batchesAPage       = 8
	pageWithoutBatches = 500
	largestPage        = 2000
	rowsATransaction   = 100
)

// sweepName tells sweeps apart.
type sweepName struct {
	table, step string
	part, of    int
}

func (n sweepName) id() string { return fmt.Sprintf("%s %s %d/%d", n.table, n.step, n.part, n.of) }

func (n sweepName) String() string {
	if n.of == 1 {
		return fmt.Sprintf("the %s of %s", n.step, n.table)
	}
	return fmt.Sprintf("the %s of %s, part %d of %d", n.step, n.table, n.part, n.of)
}

// New returns a Sweep. opts may be nil.
func New(db *sqlseal.DB, rows *rowseal.Rows, step Step, opts *Options) (*Sweep, error) {
	s := &Sweep{db: db, rows: rows, step: step}
	if opts != nil {
		s.opts = *opts
	}
	invalid := func(format string, args ...any) (*Sweep, error) {
		return nil, fmt.Errorf("sweep: "+format+": %w", append(args, kms.ErrInvalidRequest)...)
	}
	o := &s.opts
	if o.Parts == 0 {
		o.Part, o.Parts = 1, 1
	}
	switch {
	case db.InTransaction():
		return invalid("a sweep makes transactions of its own, and cannot be part of another")
	case o.Part < 1 || o.Part > o.Parts:
		return invalid("part %d of %d: parts are numbered from 1 to as many as there are", o.Part, o.Parts)
	case o.Page < 0 || o.Writers < 0 || o.Limit < 0 || o.Rate < 0 || o.Lease < 0:
		return invalid("a number in the Options is negative")
	}
	if o.Page == 0 {
		o.Page = pageFor(rows)
	}
	if o.Writers == 0 {
		o.Writers = defaultWriters
	}
	if db.Dialect == sqlseal.SQLite { // which has one writer
		o.Writers = 1
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.MaxFailures == 0 {
		o.MaxFailures = defaultMaxFailures
	}
	if o.Waiting == nil {
		o.Waiting = func(string) {}
	}
	if o.Pacer == nil {
		o.Pacer = &Pace{Rate: o.Rate}
	}
	s.pace = &counter{Pacer: o.Pacer}
	s.name = sweepName{rows.Schema().Table, step.Name(), o.Part, o.Parts}
	s.status = Status{Table: s.name.table, Step: s.name.step, Part: o.Part, Parts: o.Parts, State: Waiting}
	return s, nil
}

// pageFor fills the batches of the KMS that seals.
func pageFor(rows *rowseal.Rows) int {
	batch := 0
	for _, ring := range rows.Keyrings() {
		if ring != nil {
			batch = max(batch, ring.Versions()[0].Key.Info().BatchSize)
		}
	}
	if batch <= 1 {
		return pageWithoutBatches
	}
	return min(batch*batchesAPage, max(largestPage, batch))
}

// table is what the Step is told.
func (s *Sweep) table(stateless bool) Table {
	return Table{DB: s.db, Rows: s.rows, Stateless: stateless, Whole: s.opts.Where == "" && s.opts.Parts == 1}
}

// Pause stops the sweep after the page at hand until Resume.
func (s *Sweep) Pause() { s.pause.Store(true) }

// Resume ends a Pause.
func (s *Sweep) Resume() { s.pause.Store(false) }

// Stop ends the sweep after the page at hand. A later sweep goes on from there.
func (s *Sweep) Stop() { s.stop.Store(true) }

// Status tells how far the sweep is.
func (s *Sweep) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.status
	now.Requests, now.Throttled = now.Counts.Requests+s.pace.requests.Load(), now.Counts.Throttled+s.pace.throttled.Load()
	if p, ok := s.opts.Pacer.(*Pace); ok {
		now.Limit = p.Limit()
	}
	now.Failures = append([]Failure(nil), now.Failures...)
	return now
}

func (s *Sweep) update(change func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
}

// State is what a sweep does.
type State string

const (
	Waiting State = "waiting" // for the lease, or to be run
	Running State = "running"
	Paused  State = "paused"
	Done    State = "done"
	Stopped State = "stopped" // somebody has asked for it, or the Limit is reached; a later sweep goes on
	Failed  State = "failed"  // an error; a later sweep goes on
)

// Counts are what a sweep has done since its first row, by all processes that have worked on it.
type Counts struct {
	Rows        int64 // visited
	Changed     int64 // written
	Unchanged   int64 // visited, with nothing to write
	Gone        int64 // deleted while they were being visited
	Conflicts   int64 // times that somebody else had changed a row before it was written, so that it was done again
	Quarantined int64 // failed, and left as they were
	Leftovers   int64 // objects in file stores that could not be deleted after the rows no longer referred to them
	Requests    int64 // to KMSs
	Throttled   int64 // of these, refused because there were too many

	Reading, Working, Writing time.Duration // the phases: SELECT; the step, with its requests; UPDATE
}

// Status is how far a sweep is.
type Status struct {
	Table, Step string
	Part, Parts int
	State       State
	Resumed     bool // it went on where an earlier one was stopped
	Counts
	Estimate int64     // of all rows that are to be visited; 0: not known
	Begun    int64     // rows that an earlier process had visited
	Position string    // the primary key of the last row that is done
	Started  time.Time // of this process's part
	Limit    float64   // requests a second that are made at most now; 0: no limit is known
	Failures []Failure // the first ones
}

// Failure is a row that failed.
type Failure struct {
	Key    string // the primary key, as text
	Reason string // never with a value
}

// shownFailures is how many Failures a Status holds; the quarantine in the database has all.
const shownFailures = 100

// Run visits the rows. ctx ends it at once, and Stop after the page at hand; both leave everything so that a later sweep goes on.
// The error is nil when the sweep is done or was stopped, also with rows in quarantine: the Status tells.
func (s *Sweep) Run(ctx context.Context) (Status, error) {
	r := &run{Sweep: s, ctx: kms.WithPacer(ctx, s.pace)}
	s.update(func(st *Status) { st.Started = time.Now() })
	err := r.run()
	return s.Status(), err
}

// Run makes a Sweep and runs it. opts may be nil.
func Run(ctx context.Context, db *sqlseal.DB, rows *rowseal.Rows, step Step, opts *Options) (Status, error) {
	s, err := New(db, rows, step, opts)
	if err != nil {
		return Status{}, err
	}
	return s.Run(ctx)
}

// Model is a *rowseal.Model or a *rowseal.Table.
type Model interface{ Rows() *rowseal.Rows }

// Rewrap runs a RewrapStep over a Model's table. opts may be nil.
func Rewrap(ctx context.Context, db *sqlseal.DB, model Model, opts *Options) (Status, error) {
	return Run(ctx, db, model.Rows(), &RewrapStep{}, opts)
}

// Rekey runs a RekeyStep over a Model's table. opts may be nil.
func Rekey(ctx context.Context, db *sqlseal.DB, model Model, opts *Options) (Status, error) {
	return Run(ctx, db, model.Rows(), &RekeyStep{}, opts)
}
