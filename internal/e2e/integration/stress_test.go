package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/internal/e2e/integration"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// Crowded is a row that many write at once, each a field of its own: five are under one data key, three under another, and
// an index is made of one of each.
type Crowded struct {
	ID              int64                  `db:"id"`
	Name            string                 `db:"name"`
	EncryptedKMSKey rowseal.DataKey        `db:"encrypted_kms_key"`
	A               rowseal.Sealed[string] `db:"a_ciphertext"`
	B               rowseal.Sealed[string] `db:"b_ciphertext"`
	C               rowseal.Sealed[string] `db:"c_ciphertext"`
	D               rowseal.Sealed[string] `db:"d_ciphertext"`
	E               rowseal.Sealed[string] `db:"e_ciphertext"`
	AIndex          blindindex.Index       `db:"a_bidx" rowseal:"of=A,algorithm=hmac_sha256"`
	KMSKeyTwo       rowseal.DataKey        `db:"encrypted_kms_key_two" rowseal:"name=two"`
	F               rowseal.Sealed[string] `db:"f_ciphertext" rowseal:"key=two"`
	G               rowseal.Sealed[string] `db:"g_ciphertext" rowseal:"key=two"`
	H               rowseal.Sealed[string] `db:"h_ciphertext" rowseal:"key=two"`
	BothIndex       blindindex.Index       `db:"both_bidx" rowseal:"of=B+F,algorithm=hmac_sha256"`
}

// TableName names the table to GORM.
func (Crowded) TableName() string { return "crowded" }

const createCrowded = `CREATE TABLE crowded (id bigint PRIMARY KEY, name varchar(100) NOT NULL, encrypted_kms_key text, a_ciphertext text,
	b_ciphertext text, c_ciphertext text, d_ciphertext text, e_ciphertext text, a_bidx text, encrypted_kms_key_two text,
	f_ciphertext text, g_ciphertext text, h_ciphertext text, both_bidx text)`

func (c *Crowded) fields() []*rowseal.Sealed[string] {
	return []*rowseal.Sealed[string]{&c.A, &c.B, &c.C, &c.D, &c.E, &c.F, &c.G, &c.H}
}

// writers is as many as Crowded has fields.
const writers = 8

// crowd is what the writers have in common.
type crowd struct {
	t     *testing.T
	model *rowseal.Model[Crowded]
	rows  atomic.Int64 // with the ids from 1

	saved, nulled, refused, again, rolledBack, rekeyed, rewrapped, late, lost atomic.Int64
}

// Eight writers write their fields of the same rows, with structs that are old or new, opened or not, in transactions or
// without, while the rows are rekeyed and rewrapped and new ones come. In the end every field is what its writer was last
// told is saved.
func TestNothingIsLostInACrowd(t *testing.T) {
	duration := 5 * time.Second
	if os.Getenv("ROWSEAL_SOAK") != "" {
		duration = 60 * time.Second
	}
	dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
		dsn := d.New(t)
		if d.Name == dbtest.PostgreSQL.Name {
			dsn += "&deadlock_timeout=20ms" // in place of 1 s
		}
		look := openSQL(t, d, dsn)
		mustExec(t, look, createCrowded)
		c := &crowd{t: t, model: newCrowdModel(t)}
		connect := func(in integration.Integration) integration.Session {
			return in.Connect(t, d, dsn, io.Discard, integration.Table{Model: c.model})
		}
		ways := []integration.Integration{overGORM, databaseSQL, overGORM, overSqlx}
		if d.Name == dbtest.PostgreSQL.Name {
			ways[3] = overPgx
		}

		ctx, cancel := context.WithTimeout(t.Context(), duration)
		defer cancel()
		var all sync.WaitGroup
		told := make([]map[int64]string, writers)
		c.addRow(look)
		for i := range told {
			told[i] = map[int64]string{}
			s := connect(ways[i%len(ways)])
			all.Go(func() {
				w := writer{crowd: c, Session: s, number: i, told: told[i], mine: map[int64]*Crowded{}, r: rand.New(rand.NewPCG(uint64(i), 1))}
				for ctx.Err() == nil && !t.Failed() {
					w.step(t.Context())
				}
			})
		}
		rekeyer, rewrapper := connect(databaseSQL), connect(overGORM)
		all.Go(func() { c.loop(ctx, rekeyer, c.model.Rekey, &c.rekeyed) })
		all.Go(func() { c.loop(ctx, rewrapper, c.model.Rewrap, &c.rewrapped) })
		all.Go(func() {
			for every := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; <-every.C {
				c.addRow(look)
			}
		})
		all.Wait()
		c.check(connect(databaseSQL), told)
		t.Logf("%d writes saved (%d of them NULL) in %d rows, %d refused (conflict), %d transactions rolled back on purpose, %d deadlocks or busy; "+
			"%d rekeys, %d rewraps, %d that came too late; %d fields lost", c.saved.Load(), c.nulled.Load(), c.rows.Load(), c.refused.Load(),
			c.rolledBack.Load(), c.again.Load(), c.rekeyed.Load(), c.rewrapped.Load(), c.late.Load(), c.lost.Load())
		for what, n := range map[string]int64{"writes": c.saved.Load(), "rekeys": c.rekeyed.Load(), "rewraps": c.rewrapped.Load()} {
			if n == 0 {
				t.Errorf("there were no %s", what)
			}
		}
	})
}

func newCrowdModel(t *testing.T) *rowseal.Model[Crowded] {
	t.Helper()
	fake := &kmstest.Fake{BatchSize: 100, Support: kms.RewrapAnyContext}
	ring, err := rowseal.NewKeyring(rowseal.Version{Number: 1, Key: kms.NewKey(fake, nil)})
	must(t, err)
	index, err := rowseal.NewMasterKey(make([]byte, 32))
	must(t, err)
	m, err := rowseal.NewModel[Crowded]("crowded", ring, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: index}})
	must(t, err)
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustExec(t testing.TB, db *sql.DB, statement string) {
	t.Helper()
	_, err := db.Exec(statement)
	must(t, err)
}

// addRow adds a row without data keys, over whose first ones the writers fight.
func (c *crowd) addRow(db *sql.DB) {
	id := c.rows.Load() + 1
	if _, err := db.Exec(fmt.Sprintf("INSERT INTO crowded (id, name) VALUES (%d, 'new')", id)); err == nil {
		c.rows.Store(id)
	} else if !isBusy(err) {
		c.t.Error(err)
	}
}

// choose prefers the newest rows.
func (c *crowd) choose(r *rand.Rand) int64 {
	n := c.rows.Load()
	if r.IntN(4) > 0 {
		return max(1, n-r.Int64N(3))
	}
	return 1 + r.Int64N(n)
}

// loop rekeys or rewraps rows, and saves them.
func (c *crowd) loop(ctx context.Context, s integration.Session, change func(context.Context, ...*Crowded) error, done *atomic.Int64) {
	r := rand.New(rand.NewPCG(99, 1))
	for ctx.Err() == nil && !c.t.Failed() {
		row := &Crowded{}
		err := s.Find(c.t.Context(), row, c.choose(r))
		if err == nil {
			err = change(c.t.Context(), row)
		}
		if err == nil {
			err = s.Update(c.t.Context(), row)
		}
		if c.judge(err, &c.late) {
			done.Add(1)
		}
	}
}

// judge tells whether something is done, and counts conflicts. What an application would try again is no fault.
func (c *crowd) judge(err error, conflicts *atomic.Int64) bool {
	switch {
	case err == nil:
		return true
	case errors.Is(err, rowseal.ErrConflict):
		conflicts.Add(1)
	case isBusy(err):
		c.again.Add(1)
	default:
		c.t.Error(err)
	}
	return false
}

// isBusy tells whether a statement or a transaction has failed only because of others: deadlocks, lock timeouts and the like.
func isBusy(err error) bool {
	for _, text := range []string{"SQLITE_BUSY", "database is locked", "SQLSTATE 40", "Error 1213", "Error 1205", "Error 1020"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// writer writes one field of all rows.
type writer struct {
	*crowd
	integration.Session
	number int
	told   map[int64]string // the last value of a row that was saved; none: NULL
	mine   map[int64]*Crowded
	r      *rand.Rand
	count  int
}

// step writes the field of a row or, in a transaction, those of two rows or of one twice.
func (w *writer) step(ctx context.Context) {
	row := w.row(ctx)
	if row == nil {
		return
	}
	if w.r.IntN(4) > 0 {
		value := w.set(row)
		w.tell(w.write(ctx, w.Session, row), map[int64]string{row.ID: value})
		return
	}
	rows, values := []*Crowded{row, row}, map[int64]string{}
	if other := w.row(ctx); other != nil && w.r.IntN(2) == 0 {
		rows[1] = other
	}
	w.tell(w.Transaction(ctx, func(tx integration.Session) error {
		for _, row := range rows {
			values[row.ID] = w.set(row)
			if err := w.write(ctx, tx, row); err != nil {
				return err
			}
		}
		if w.r.IntN(3) == 0 {
			return errRollback
		}
		return nil
	}), values)
}

// row is one that the writer has, or that it finds, and opens in half of the cases.
func (w *writer) row(ctx context.Context) *Crowded {
	id := w.choose(w.r)
	if row := w.mine[id]; row != nil && w.r.IntN(2) == 0 {
		return row
	}
	row := &Crowded{}
	if err := w.Find(ctx, row, id); !w.judge(err, &w.refused) {
		return nil
	}
	if w.r.IntN(2) == 0 || w.isInBoth() {
		if err := w.Open(ctx, row); err != nil {
			w.t.Errorf("row %d does not open: %v", id, err)
			return nil
		}
		w.check(row)
	}
	w.mine[id] = row
	return row
}

// tell notes what has become of the values of rows.
func (w *writer) tell(err error, values map[int64]string) {
	if errors.Is(err, errRollback) {
		w.rolledBack.Add(1)
		return
	}
	saved := w.judge(err, &w.refused)
	for id, value := range values {
		switch {
		case saved:
			w.saved.Add(1)
			w.told[id] = value
			if value == "" {
				w.nulled.Add(1)
			}
		case errors.Is(err, rowseal.ErrConflict):
			delete(w.mine, id) // to load it again, as the error says
		}
	}
}

var errRollback = errors.New("the application rolls back")

// isInBoth tells whether an index is made of the field and of one under another data key, which Seal does not open by itself.
func (w *writer) isInBoth() bool { return w.number == 1 || w.number == 5 }

// check compares the field of a row that was loaded.
func (w *writer) check(row *Crowded) {
	got, err := row.fields()[w.number].Get()
	if want := w.told[row.ID]; err != nil || got != want {
		w.lost.Add(1)
		w.t.Errorf("row %d has %q in field %d (%v); its writer was told that %q is saved", row.ID, got, w.number, err, want)
	}
}

// set sets the field to a value that nobody else has, or to NULL.
func (w *writer) set(row *Crowded) (value string) {
	field := row.fields()[w.number]
	if w.r.IntN(10) == 0 {
		field.SetNull()
		return ""
	}
	w.count++
	value = fmt.Sprintf("writer %d wrote %d", w.number, w.count)
	field.Set(value)
	return value
}

// write uses what the session has.
func (w *writer) write(ctx context.Context, s integration.Session, row *Crowded) error {
	if s, ok := s.(integration.Saver); ok && w.r.IntN(3) == 0 {
		return s.Save(ctx, row)
	}
	return s.Update(ctx, row)
}

// check opens every row as a stranger does.
func (c *crowd) check(s integration.Session, told []map[int64]string) {
	ctx := c.t.Context()
	var all []*Crowded
	must(c.t, s.FindAll(ctx, &all))
	must(c.t, c.model.Open(ctx, all...))
	for _, row := range all {
		for i := range told {
			(&writer{crowd: c, number: i, told: told[i]}).check(row)
		}
		c.checkIndex(row, "a_bidx", row.AIndex, told[0][row.ID])
		c.checkIndex(row, "both_bidx", row.BothIndex, told[1][row.ID], told[5][row.ID])
	}
}

func (c *crowd) checkIndex(row *Crowded, column string, got blindindex.Index, of ...string) {
	var values []any
	for _, value := range of {
		if value == "" {
			if !got.IsNull() {
				c.t.Errorf("row %d has %s of a field that is NULL", row.ID, column)
			}
			return
		}
		values = append(values, value)
	}
	want, err := c.model.Lookup(c.t.Context(), column, values...)
	must(c.t, err)
	if want[0] != got.Text() {
		c.t.Errorf("row %d has %s of other values", row.ID, column)
	}
}
