package riversweep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
)

// Bucket is a limit of requests a second that all processes with a Bucket of the same name share: a kms.Pacer over a small table on
// PostgreSQL, rowseal_buckets. Give one to the sweeps whose requests go to one KMS key, as sweep.Options.Pacer. It is safe for concurrent use.
//
// Each request has a moment, 1/rate seconds after the one before, by the database's clock; machines need not agree on the time. It is made at
// that moment or up to 250 ms later, so in any t seconds there are at most rate × (t + 0.25) + 1. A process reserves as many moments in one
// statement as it has used of those before, of a quarter of a second at most; what it does not use is lost, never saved up.
//
// Where the KMS refuses a request because there are too many, every process slows down to 80 % of the rate then; after two seconds
// it climbs again, by 5 % a second. Where the database cannot be asked no request is made: Wait is kms.ErrUnavailable.
type Bucket struct {
	db   *sqlseal.DB
	name string
	rate float64
	// reserve takes n moments: how long it is until the first, and between two. throttled: the KMS has refused requests since the last time.
	reserve func(ctx context.Context, n int, throttled bool) (first, gap time.Duration, err error)
	asking  chan struct{} // held while the database is asked

	mu        sync.Mutex
	moments        // that are left
	size      int  // of the next reservation
	used      int  // moments of the last one
	lost      bool // that one of them was lost
	throttled bool
}

// moments are those of a reservation, by this process's clock.
type moments struct {
	next time.Time
	gap  time.Duration
	left int
}

const (
	late    = 250 * time.Millisecond // that a moment may be used
	share   = 4                      // of a second that is reserved at most: one of these
	answer  = 10 * time.Second       // that the database may take
	calm    = 2.0                    // seconds in which refusals are of the same crowd
	backOff = 0.8
	climb   = 1.05 // a second
	lowest  = 0.5  // requests a second
)

// NewBucket returns the Bucket of a name, the KMS key's id for instance, with the requests a second that there are at most. Every process
// should give the same rate; where they differ, as while a new release is rolled out, each one keeps to its own.
func NewBucket(db *sqlseal.DB, name string, rate float64) (*Bucket, error) {
	switch {
	case db.Dialect != sqlseal.PostgreSQL:
		return nil, fmt.Errorf("riversweep: a Bucket needs PostgreSQL, and the database is %s: %w", db.Dialect, kms.ErrInvalidRequest)
	case !(rate > 0) || math.IsInf(rate, 0):
		return nil, fmt.Errorf("riversweep: a Bucket of %v requests a second; give a number above 0: %w", rate, kms.ErrInvalidRequest)
	}
	b := &Bucket{db: db, name: name, rate: rate}
	b.reserve = b.ask
	b.init()
	return b, nil
}

func (b *Bucket) init() { b.size, b.asking = 1, make(chan struct{}, 1) }

// Wait implements kms.Pacer.
func (b *Bucket) Wait(ctx context.Context) error {
	at, err := b.moment(ctx)
	if err != nil {
		return err
	}
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Done implements kms.Pacer.
func (b *Bucket) Done(throttled bool) {
	if !throttled {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.throttled = true
	b.left = 0 // at a rate that was too much
}

// moment returns that of a request.
func (b *Bucket) moment(ctx context.Context) (time.Time, error) {
	for {
		if at, ok := b.take(time.Now()); ok {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case b.asking <- struct{}{}:
		}
		err := b.refill(ctx)
		<-b.asking
		if err != nil {
			return time.Time{}, err
		}
	}
}

// take takes a moment of the last reservation. Those that are long past are lost.
func (b *Bucket) take(now time.Time) (at time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.left > 0 {
		at := b.next
		b.next = at.Add(b.gap)
		b.left--
		if now.Sub(at) <= late {
			b.used++
			return at, true
		}
		b.lost = true
	}
	return time.Time{}, false
}

// refill reserves moments: twice as many as the last time if those were all used, else as many as were.
func (b *Bucket) refill(ctx context.Context) error {
	b.mu.Lock()
	if b.left > 0 { // another goroutine was faster
		b.mu.Unlock()
		return nil
	}
	switch {
	case b.lost:
		b.size = max(b.used, 1)
	case b.used == b.size:
		b.size = max(1, min(2*b.size, int(b.rate/share)))
	}
	n, throttled := b.size, b.throttled
	b.mu.Unlock()

	first, gap, err := b.reserve(ctx, n, throttled)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		return err
	}
	b.moments = moments{time.Now().Add(first), gap, n}
	b.used, b.lost = 0, false
	b.throttled = b.throttled && !throttled
	return nil
}

// BucketStatements returns the SQL that makes the table of the Buckets, for users of the database who may not.
func BucketStatements() []string {
	return []string{`CREATE TABLE IF NOT EXISTS rowseal_buckets (name text PRIMARY KEY, next_at double precision NOT NULL, rate double precision NOT NULL,
	slowed_at double precision NOT NULL)`} // in seconds since 1970, and a second
}

// The statements of a Bucket: $1 its name, $2 its rate. A row's rate is what the KMS took when it last refused requests, which climbs
// since slowed_at. NOW is read after the row is locked.
var (
	clockSQL   = "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"
	limitSQL   = fmt.Sprintf("least($2, b.rate * power(%v, least(1000, greatest(0, NOW - b.slowed_at - %v))))", climb, calm)
	reserveSQL = inSQL(`INSERT INTO rowseal_buckets AS b (name, next_at, rate, slowed_at) VALUES ($1, NOW + $3 / $2, 'Infinity', 0)
		ON CONFLICT (name) DO UPDATE SET next_at = greatest(b.next_at, NOW) + $3 / LIMIT RETURNING b.next_at - NOW, LIMIT`)
	slowSQL = inSQL(fmt.Sprintf(`UPDATE rowseal_buckets AS b SET rate = greatest(LIMIT * %v, %v), slowed_at = NOW
		WHERE name = $1 AND NOW - slowed_at > %v`, backOff, lowest, calm))
)

func inSQL(query string) string {
	query = strings.NewReplacer("LIMIT", limitSQL, "$3", "CAST($3 AS double precision)").Replace(query)
	return strings.NewReplacer("NOW", clockSQL, "$2", "CAST($2 AS double precision)").Replace(query)
}

// ask reserves moments in the database, whose table it makes if it is missing.
func (b *Bucket) ask(ctx context.Context, n int, throttled bool) (first, gap time.Duration, err error) {
	within, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	first, gap, err = b.statements(within, n, throttled)
	if isMissing(err) {
		refused := b.make(within)
		if first, gap, err = b.statements(within, n, throttled); isMissing(err) {
			return 0, 0, fmt.Errorf("riversweep: the table of the Buckets is missing; have it made:\n%s: %w",
				strings.Join(BucketStatements(), ";\n"), errors.Join(kms.ErrAccessDenied, refused))
		}
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("riversweep: the Bucket %q cannot be asked, so no request is made (%w): %w", b.name, err, kms.ErrUnavailable)
	}
	return first, gap, err
}

// make makes the table. Another process may do so at the same moment: what counts is whether it is there then.
func (b *Bucket) make(ctx context.Context) (err error) {
	for _, statement := range BucketStatements() {
		_, e := b.db.Exec(ctx, statement)
		err = errors.Join(err, e)
	}
	return err
}

func (b *Bucket) statements(ctx context.Context, n int, throttled bool) (first, gap time.Duration, err error) {
	if throttled {
		if _, err := b.db.Exec(ctx, slowSQL, b.name, b.rate); err != nil {
			return 0, 0, err
		}
	}
	var end, rate float64
	err = b.db.Query(ctx, reserveSQL, []any{b.name, b.rate, float64(n)}, func(scan func(...any) error) error { return scan(&end, &rate) })
	if err != nil {
		return 0, 0, err
	}
	return seconds(end - float64(n)/rate), seconds(1 / rate), nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// isMissing tells of an error that there is no such table.
func isMissing(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == "42P01"
}
