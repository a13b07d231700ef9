package riversweep_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/testkms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
	"github.com/rowseal/rowseal/sweep/riversweep"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(workerEnv); text != "" {
		os.Exit(workerMain(text))
	}
	os.Exit(dbtest.Main(m))
}

type patient struct {
	ID              int64
	EncryptedKMSKey rowseal.DataKey
	Email           rowseal.Sealed[string]
}

// The tables written and requests remember what was done by whichever process.
const schema = `
	CREATE TABLE patients (id bigint PRIMARY KEY, encrypted_kms_key text, email_ciphertext text);
	CREATE TABLE written (id bigint NOT NULL);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO written VALUES (NEW.id); RETURN NULL; END';
	CREATE TRIGGER note AFTER UPDATE ON patients FOR EACH ROW EXECUTE FUNCTION note();
	CREATE TABLE requests (pid bigint NOT NULL, at double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()))`

const (
	batch = 10 // rows a request
	page  = 20 // rows
	rekey = "rekey patients"
)

// setup is what makes a fleet, in this process or in another.
type setup struct {
	DSN      string
	Names    []string      // of the sweeps that are known
	Turn     time.Duration // of the Fleet
	Timeout  time.Duration
	Rate     float64 // of the Bucket
	Workers  int     // jobs at once
	Latency  time.Duration
	Together int // processes whose requests wait for each other
	Rescue   time.Duration

	before func(ctx context.Context) error // is called for each request of this process
	soft   time.Duration
}

// fleet is a Fleet with its client and database.
type fleet struct {
	*riversweep.Fleet
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	db     *sqlseal.DB
	model  *rowseal.Model[patient]
	job    atomic.Pointer[context.Context] // the ctx of the last job that this process has begun
}

func newFleet(ctx context.Context, s setup) (*fleet, error) {
	f := &fleet{}
	var err error
	if f.pool, err = pgxpool.New(ctx, s.DSN); err != nil {
		return nil, err
	}
	f.db = sqlseal.Pgx(f.pool)
	if f.model, err = newModel(&counted{testkms.New(false), f.pool, s}); err != nil {
		return nil, err
	}
	entry := riversweep.Sweep{DB: f.db, Rows: f.model.Rows(), Step: newStep, Options: sweep.Options{Page: page, Writers: 1}}
	if s.Rate > 0 {
		if entry.Options.Pacer, err = riversweep.NewBucket(f.db, "key", s.Rate); err != nil {
			return nil, err
		}
	}
	f.Fleet = &riversweep.Fleet{Sweeps: map[string]riversweep.Sweep{}, Turn: s.Turn, Timeout: s.Timeout}
	for _, name := range s.Names {
		f.Sweeps[name] = entry
	}
	workers := river.NewWorkers()
	f.AddTo(workers)
	config := &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: max(s.Workers, 1)}},
		Logger: slog.New(slog.DiscardHandler), SoftStopTimeout: s.soft,
		Middleware:    []rivertype.Middleware{river.WorkerMiddlewareFunc(f.note)},
		FetchCooldown: 20 * time.Millisecond, FetchPollInterval: 200 * time.Millisecond,
	}
	if s.Rescue > 0 {
		config.JobTimeout, config.RescueStuckJobsAfter = s.Rescue, s.Rescue
	}
	f.client, err = river.NewClient(riverpgxv5.New(f.pool), config)
	return f, err
}

// note is a river.WorkerMiddlewareFunc.
func (f *fleet) note(ctx context.Context, _ *rivertype.JobRow, work func(context.Context) error) error {
	f.job.Store(&ctx)
	return work(ctx)
}

func newModel(service kms.Service) (*rowseal.Model[patient], error) {
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(service, nil)})
	if err != nil {
		return nil, err
	}
	return rowseal.NewModel[patient]("patients", ring, nil)
}

// newStep has settings for the sake of the tests.
func newStep(settings json.RawMessage) (sweep.Step, error) {
	var s struct{ Refuse string }
	if len(settings) > 0 {
		if err := json.Unmarshal(settings, &s); err != nil {
			return nil, err
		}
	}
	if s.Refuse != "" {
		return nil, errors.New(s.Refuse)
	}
	return &sweep.RekeyStep{}, nil
}

// counted is a KMS that notes its requests in the database.
type counted struct {
	kms.Service
	pool *pgxpool.Pool
	setup
}

func (c *counted) Info() kms.Info {
	info := c.Service.Info()
	info.BatchSize = batch
	return info
}

func (c *counted) Encrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return c.request(ctx, items, c.Service.Encrypt)
}

func (c *counted) Decrypt(ctx context.Context, items []kms.Item) []kms.Result {
	return c.request(ctx, items, c.Service.Decrypt)
}

func (c *counted) request(ctx context.Context, items []kms.Item, do func(context.Context, []kms.Item) []kms.Result) []kms.Result {
	if err := c.arrive(ctx); err != nil {
		results := make([]kms.Result, len(items))
		for i, item := range items {
			results[i] = kms.Result{Ref: item.Ref, Err: err}
		}
		return results
	}
	return do(ctx, items)
}

func (c *counted) arrive(ctx context.Context) error {
	if _, err := c.pool.Exec(ctx, `INSERT INTO requests (pid) VALUES ($1)`, os.Getpid()); err != nil {
		return err
	}
	for processes := 0; processes < c.Together; time.Sleep(10 * time.Millisecond) {
		if err := c.pool.QueryRow(ctx, `SELECT count(DISTINCT pid) FROM requests`).Scan(&processes); err != nil {
			return err
		}
	}
	time.Sleep(c.Latency)
	if c.before != nil {
		return c.before(ctx)
	}
	return nil
}

// world is a database with patients, River's tables and a fleet of this process, whose client is not started.
type world struct {
	*testing.T
	setup setup
	*fleet
	rows int
}

func newWorld(t *testing.T, rows int, s setup) *world {
	w := &world{T: t, setup: s, rows: rows}
	w.setup.DSN = dbtest.PostgreSQL.New(t)
	if w.setup.Names == nil {
		w.setup.Names = []string{rekey}
	}
	w.fleet = w.newFleet(w.setup)
	w.exec(schema)
	migrator, err := rivermigrate.New(riverpgxv5.New(w.pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	w.must(err)
	_, err = migrator.Migrate(w.Context(), rivermigrate.DirectionUp, nil)
	w.must(err)
	w.admit()
	return w
}

func (w *world) newFleet(s setup) *fleet {
	w.Helper()
	s.DSN = w.setup.DSN
	f, err := newFleet(w.Context(), s)
	w.must(err)
	w.Cleanup(f.pool.Close)
	return f
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(query string, args ...any) {
	w.Helper()
	_, err := w.pool.Exec(w.Context(), query, args...)
	w.must(err)
}

// number returns the single number of a query.
func (w *world) number(query string, args ...any) (n float64) {
	w.Helper()
	w.must(w.pool.QueryRow(w.Context(), query, args...).Scan(&n))
	return n
}

// plain is a model whose requests are not counted.
func (w *world) plain() *rowseal.Model[patient] {
	w.Helper()
	m, err := newModel(testkms.New(false))
	w.must(err)
	return m
}

func (w *world) admit() {
	w.Helper()
	var all []*patient
	for id := range w.rows {
		p := &patient{ID: int64(id + 1)}
		p.Email.Set(email(p.ID))
		all = append(all, p)
	}
	w.must(sqlseal.New(w.plain(), nil).Insert(w.Context(), w.db, all...))
}

func email(id int64) string { return fmt.Sprintf("%d@example.org", id) }

// allOpen wants every patient to open to the value that admit gave them.
func (w *world) allOpen() {
	w.Helper()
	rows, err := w.pool.Query(w.Context(), `SELECT id, encrypted_kms_key, email_ciphertext FROM patients`)
	w.must(err)
	var all []*patient
	for rows.Next() {
		p := &patient{}
		w.must(rows.Scan(&p.ID, &p.EncryptedKMSKey, &p.Email))
		all = append(all, p)
	}
	w.must(rows.Err())
	if len(all) != w.rows {
		w.Fatalf("%d patients, want %d", len(all), w.rows)
	}
	w.must(w.plain().Open(w.Context(), all...))
	for _, p := range all {
		if got, err := p.Email.Get(); err != nil || got != email(p.ID) {
			w.Errorf("patient %d has %q, %v", p.ID, got, err)
		}
	}
}

func (w *world) start(parts, want int) {
	w.Helper()
	if n, err := w.Start(w.Context(), w.client, rekey, parts, nil); err != nil || n != want {
		w.Fatalf("Start has inserted %d jobs, want %d: %v", n, want, err)
	}
}

func (w *world) status() riversweep.Status {
	w.Helper()
	st, err := w.Status(w.Context(), w.client, rekey)
	w.must(err)
	return st
}

// run starts a fleet's client, which is stopped when the test ends.
func (w *world) run(f *fleet) {
	w.Helper()
	w.must(f.client.Start(context.WithoutCancel(w.Context())))
	w.Cleanup(func() { w.halt(f) })
}

func (w *world) halt(f *fleet) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.Context()), time.Minute)
	defer cancel()
	if err := f.client.StopAndCancel(ctx); err != nil {
		w.Error(err)
	}
}

// until waits for something to become true.
func (w *world) until(what string, is func() bool) {
	w.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("never came: %s; %+v", what, w.status())
		}
	}
}

// untilAll waits until every part has a state, and no job of the sweep is running.
func (w *world) untilAll(state sweep.State) (st riversweep.Status) {
	w.Helper()
	w.until(string(state), func() bool {
		st = w.status()
		other := slices.ContainsFunc(st.Parts, func(p riversweep.Part) bool { return p.State != state })
		return len(st.Parts) > 0 && !other && w.number(`SELECT count(*) FROM river_job WHERE state = 'running'`) == 0
	})
	return st
}

// least is how many requests the parts need, if no page is done twice.
func least(st riversweep.Status) (n int) {
	up := func(a, b int) int { return (a + b - 1) / b }
	for _, p := range st.Parts {
		rows := int(p.Rows)
		n += rows/page*2*up(page, batch) + 2*up(rows%page, batch)
	}
	return n
}

// finished wants a sweep to have done every row, with as many repeated pages as it may.
func (w *world) finished(repeated int) {
	w.Helper()
	st := w.untilAll(sweep.Done)
	if st.State != sweep.Done || st.Rows != int64(w.rows) || st.Quarantined != 0 {
		w.Errorf("%+v", st)
	}
	if n := w.number(`SELECT count(DISTINCT id) FROM written`); int(n) != w.rows {
		w.Errorf("%v of %d rows were written", n, w.rows)
	}
	if n := int(w.number(`SELECT count(*) FROM written`)); n > w.rows+repeated*page {
		w.Errorf("%d rows were written, want %d and at most %d pages again", n, w.rows, repeated)
	}
	requests, want := int(w.number(`SELECT count(*) FROM requests`)), least(st)
	if again := repeated * 2 * page / batch; requests < want || requests > want+again {
		w.Errorf("%d requests, want %d and at most %d for pages that were done again", requests, want, again)
	}
	w.allOpen()
}
