package riversweep_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep/riversweep"
)

// buckets is a database for Buckets alone.
type buckets struct {
	*testing.T
	pool *pgxpool.Pool
}

func newBuckets(t *testing.T) *buckets {
	pool, err := pgxpool.New(t.Context(), dbtest.PostgreSQL.New(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &buckets{t, pool}
}

func (b *buckets) bucket(name string, rate float64) *riversweep.Bucket {
	b.Helper()
	bucket, err := riversweep.NewBucket(sqlseal.Pgx(b.pool), name, rate)
	if err != nil {
		b.Fatal(err)
	}
	return bucket
}

func (b *buckets) wait(bucket *riversweep.Bucket) {
	b.Helper()
	if err := bucket.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (b *buckets) number(query string) (n float64) {
	b.Helper()
	if err := b.pool.QueryRow(b.Context(), query).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

func (b *buckets) exec(query string) {
	b.Helper()
	if _, err := b.pool.Exec(b.Context(), query); err != nil {
		b.Fatal(err)
	}
}

// moves is how far the next free moment of the row moves by what do does. The row's is a minute ahead, so that the clock plays no part.
func (b *buckets) moves(do func()) float64 {
	b.Helper()
	b.exec(`UPDATE rowseal_buckets SET next_at = floor(extract(epoch FROM clock_timestamp())) + 60`)
	before := b.number(`SELECT next_at FROM rowseal_buckets`)
	do()
	return b.number(`SELECT next_at FROM rowseal_buckets`) - before
}

// reserves makes a bucket reserve one moment, and does not wait for it.
func (b *buckets) reserves(bucket *riversweep.Bucket) func() {
	return func() {
		ctx, cancel := context.WithCancel(b.Context())
		before := b.number(`SELECT next_at FROM rowseal_buckets`)
		reserved := make(chan error)
		go func() { reserved <- bucket.Wait(ctx) }()
		for b.number(`SELECT next_at FROM rowseal_buckets`) == before {
			time.Sleep(time.Millisecond)
		}
		cancel()
		if err := <-reserved; !errors.Is(err, context.Canceled) {
			b.Errorf("a moment that is a minute away: %v", err)
		}
	}
}

func near(a, b float64) bool { return a-b < 1e-4 && b-a < 1e-4 }

func TestARefusalThatOneProcessGotSlowsAll(t *testing.T) {
	b := newBuckets(t)
	one, other := b.bucket("key", 2), b.bucket("key", 2)
	b.wait(one)
	if got := b.moves(b.reserves(other)); !near(got, 0.5) {
		t.Errorf("at two a second the next moment is %v s after the one before", got)
	}
	one.Done(true)
	b.moves(b.reserves(one)) // which tells of it
	if got := b.number(`SELECT rate FROM rowseal_buckets`); !near(got, 1.6) {
		t.Errorf("after a refusal the rate is %v", got)
	}
	b.exec(`UPDATE rowseal_buckets SET slowed_at = slowed_at + 3600`) // no time passes
	if got := b.moves(b.reserves(other)); !near(got, 1/1.6) {
		t.Errorf("after a refusal of another process the next moment is %v s after the one before", got)
	}
	other.Done(true)
	b.moves(b.reserves(other))
	if got := b.number(`SELECT rate FROM rowseal_buckets`); !near(got, 1.6) {
		t.Errorf("a second refusal of the same crowd has made the rate %v", got)
	}
	b.exec(`UPDATE rowseal_buckets SET slowed_at = extract(epoch FROM clock_timestamp()) - 3600`)
	if got := b.moves(b.reserves(other)); !near(got, 0.5) {
		t.Errorf("an hour after a refusal the next moment is %v s after the one before", got)
	}
}

func TestBucketsOfOtherNamesShareNothing(t *testing.T) {
	b := newBuckets(t)
	b.wait(b.bucket("one", 0.001))
	b.wait(b.bucket("other", 0.001)) // at once
}

func TestTheTableIsMadeByWhoComesFirst(t *testing.T) {
	b := newBuckets(t)
	var wg sync.WaitGroup
	for range 8 {
		bucket := b.bucket("key", 1000)
		wg.Go(func() {
			if err := bucket.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestWhoMayNotMakeTheTableIsToldHow(t *testing.T) {
	b := newBuckets(t)
	b.exec(`CREATE ROLE nobody_makes; REVOKE CREATE ON SCHEMA public FROM public`)
	config := b.pool.Config()
	config.ConnConfig.RuntimeParams["role"] = "nobody_makes"
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	defer b.exec(`DROP ROLE nobody_makes`)
	bucket, err := riversweep.NewBucket(sqlseal.Pgx(pool), "key", 1)
	if err != nil {
		t.Fatal(err)
	}
	err = bucket.Wait(t.Context())
	if !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), riversweep.BucketStatements()[0]) {
		t.Error(err)
	}
}

func TestNoRequestIsMadeWithoutTheBucket(t *testing.T) {
	b := newBuckets(t)
	bucket := b.bucket("key", 1000)
	fake := &kmstest.Fake{}
	key := kms.NewKey(fake, nil)
	ctx := kms.WithPacer(t.Context(), bucket)
	if _, err := key.Encrypt(ctx, []byte("data key"), nil); err != nil || fake.Requests() != 1 {
		t.Fatal(fake.Requests(), err)
	}
	b.pool.Close()
	for range 3 {
		if _, err := key.Encrypt(ctx, []byte("data key"), nil); !errors.Is(err, kms.ErrUnavailable) {
			t.Error(err)
		}
	}
	if n := fake.Requests(); n > 2 { // one more was reserved
		t.Errorf("%d requests", n)
	}
}

func TestABucketNeedsPostgreSQLAndARate(t *testing.T) {
	for _, rate := range []float64{0, -1} {
		if _, err := riversweep.NewBucket(sqlseal.SQL(sqlseal.PostgreSQL, nil), "key", rate); !errors.Is(err, kms.ErrInvalidRequest) {
			t.Error(rate, err)
		}
	}
	if _, err := riversweep.NewBucket(sqlseal.SQL(sqlseal.SQLite, nil), "key", 1); !errors.Is(err, kms.ErrInvalidRequest) {
		t.Error(err)
	}
}
