package sweep_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/blindindex"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// The environment of a process that sweeps and is ended.
const (
	killStep   = "ROWSEAL_TEST_STEP"
	killDriver = "ROWSEAL_TEST_DRIVER"
	killDSN    = "ROWSEAL_TEST_DSN"
	killAt     = "ROWSEAL_TEST_MOMENT"
	killLog    = "ROWSEAL_TEST_REQUESTS"
	killDelay  = "ROWSEAL_TEST_DELAY" // of every request
)

const (
	killRows  = 50
	killPage  = 10
	killLease = 30 * time.Millisecond
)

// ordeal is a sweep that is killed.
type ordeal struct {
	step    func() sweep.Step
	perPage int // requests
	fewer   int // each so many points on a server
	// done wants the table to be as the sweep is to leave it.
	done func(w *doomed)
}

var ordeals = map[string]ordeal{
	"rewrap": {func() sweep.Step { return &sweep.RewrapStep{} }, 2, 6, (*doomed).hasMoved}, // one to the old key and one to the new
	"rekey":  {func() sweep.Step { return &sweep.RekeyStep{} }, 2, 6, (*doomed).hasMoved},
	"migrate": {func() sweep.Step {
		return &sweep.MigrateStep{Moves: []sweep.Move{{From: "note", To: "note_ciphertext"}}}
	}, 1, 18, func(w *doomed) {
		w.counts(killRows, "note IS NOT NULL AND note_ciphertext IS NOT NULL")
	}},
	"clear": {func() sweep.Step {
		return &sweep.MigrateStep{Moves: []sweep.Move{{From: "note", To: "note_ciphertext"}}, Clear: true}
	}, 1, 18, func(w *doomed) { w.counts(killRows, "note IS NULL AND note_ciphertext IS NOT NULL") }},
	"index": {func() sweep.Step { return &sweep.IndexStep{} }, 1, 18, func(w *doomed) { w.counts(killRows, "email_bidx IS NOT NULL") }},
}

// hasMoved wants every data key to be of the new version.
func (w *doomed) hasMoved() {
	if got := w.versions(); got["v2"] != 2*killRows {
		w.Errorf("%v", got)
	}
}

func (w *doomed) counts(want int, where string) {
	if n := w.one("SELECT count(*) FROM patients WHERE " + where); n != strconv.Itoa(want) {
		w.Errorf("%s rows where %s, want %d", n, where, want)
	}
}

// noted is the table of the patients with a note and an index.
func noted(ring *rowseal.Keyring) (*rowseal.Table, error) {
	master, err := rowseal.NewMasterKey(make([]byte, 32))
	if err != nil {
		return nil, err
	}
	quick := blindindex.Options{Algorithm: blindindex.PBKDF2SHA256, Cost: blindindex.Cost{Iterations: 1}}
	return rowseal.NewTable(rowseal.Schema{
		Table: "patients", Model: "patient", PrimaryKey: "id", Keys: []rowseal.KeyColumn{{Column: "encrypted_kms_key"}},
		Fields:  []rowseal.Field{{Column: "email_ciphertext"}, {Column: "note_ciphertext"}},
		Indexes: []rowseal.Index{{Column: "email_bidx", Of: []string{"email_ciphertext"}, Options: quick}},
	}, ring, &rowseal.Options{MasterKeys: map[string]*rowseal.MasterKey{rowseal.DefaultIndexKey: master}})
}

// killModel is what an ordeal sweeps.
func killModel(step string, ring *rowseal.Keyring) (sweep.Model, error) {
	if step == "rewrap" || step == "rekey" {
		return rowseal.NewModel[patient]("patients", ring, nil)
	}
	return noted(ring)
}

// sweepAndDie is the process: it sweeps until its moment.
func sweepAndDie() error {
	log, err := os.OpenFile(os.Getenv(killLog), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	m := &moments{requests: log}
	m.delay, _ = time.ParseDuration(os.Getenv(killDelay))
	at, err := strconv.ParseInt(os.Getenv(killAt), 10, 64)
	if err != nil {
		return err
	}
	m.at.Store(at)
	db, err := m.open(os.Getenv(killDriver), os.Getenv(killDSN))
	if err != nil {
		return err
	}
	defer db.Close()
	ring, err := localRing(context.Background(), true)
	if err != nil {
		return err
	}
	model, err := killModel(os.Getenv(killStep), ring)
	if err != nil {
		return err
	}
	_, err = sweep.Run(context.Background(), sqlseal.SQL(dialects[os.Getenv(killDriver)], db), model.Rows(), ordeals[os.Getenv(killStep)].step(),
		&sweep.Options{Page: killPage, Writers: 1, Lease: killLease, Pacer: m})
	return err
}

// localRing has the local keys old and, if both are wanted, new, which seals.
func localRing(ctx context.Context, both bool) (*rowseal.Keyring, error) {
	var versions []rowseal.Version
	for i, name := range []string{"old", "new"} {
		key, err := kms.Open(ctx, "local/"+name, nil)
		if err != nil {
			return nil, err
		}
		if i == 0 || both {
			versions = append([]rowseal.Version{{Number: i + 1, Key: key}}, versions...)
		}
	}
	return rowseal.NewKeyring(versions...)
}

// doomed is a table that is swept and killed again and again.
type doomed struct {
	*world
	dsn, step string
	ring      *rowseal.Keyring
	columns   []string
	saved     [][]any
}

func TestASweepMayBeKilledAtAnyPoint(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	t.Setenv("ROWSEAL_LOCAL_KEYS", keys)
	for _, name := range []string{"old", "new"} {
		if err := (localkms.Store{Dir: keys}).Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	const shares = 3 // of the points, each with a database of its own
	for step := range ordeals {
		dbtest.Run(t, func(t *testing.T, d dbtest.Database) {
			for share := range shares {
				t.Run(fmt.Sprintf("%s %d", step, share+1), func(t *testing.T) {
					t.Parallel()
					newDoomed(t, d, step).dieEverywhere(share+1, shares)
				})
			}
		})
	}
}

func newDoomed(t *testing.T, d dbtest.Database, step string) *doomed {
	w := &doomed{dsn: d.New(t), step: step}
	w.world = newWorldAt(t, d, w.dsn)
	first, err := localRing(t.Context(), false)
	w.must(err)
	w.ring, err = localRing(t.Context(), true)
	w.must(err)
	w.admit(first, killRows)
	if step == "migrate" || step == "clear" || step == "index" {
		w.takeNotes()
	}
	rows, err := w.sql.QueryContext(t.Context(), `SELECT * FROM patients`)
	w.must(err)
	defer rows.Close()
	w.columns, err = rows.Columns()
	w.must(err)
	for rows.Next() {
		values := make([]any, len(w.columns))
		pointers := make([]any, len(values))
		for i := range values {
			pointers[i] = &values[i]
		}
		w.must(rows.Scan(pointers...))
		w.saved = append(w.saved, values)
	}
	w.must(rows.Err())
	return w
}

// takeNotes gives the patients notes, which for "clear" are sealed already.
func (w *doomed) takeNotes() {
	for _, column := range []string{"note VARCHAR(100)", "note_ciphertext TEXT", "email_bidx VARCHAR(100)"} {
		w.exec("ALTER TABLE patients ADD COLUMN " + column)
	}
	for id := range killRows {
		w.exec(fmt.Sprintf("UPDATE patients SET note = 'note %d' WHERE id = %[1]d", id+1))
	}
	if w.step != "clear" {
		return
	}
	table, err := noted(w.ring)
	w.must(err)
	_, err = sweep.Run(w.Context(), w.db, table.Rows(), ordeals["migrate"].step(), &sweep.Options{Stateless: true})
	w.must(err)
}

// intact wants every row to open to its values, and no note to be lost.
func (w *doomed) intact() {
	w.allOpen(w.ring, killRows)
	if !slices.Contains(w.columns, "note") {
		return
	}
	table, err := noted(w.ring)
	w.must(err)
	rows, err := w.sql.QueryContext(w.Context(), `SELECT id, encrypted_kms_key, email_ciphertext, note, note_ciphertext, email_bidx FROM patients`)
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		var id int
		var note, index sql.NullString
		var key, mail, sealed any
		w.must(rows.Scan(&id, &key, &mail, &note, &sealed, &index))
		r, err := table.Record(map[string]any{"id": int64(id), "encrypted_kms_key": key, "email_ciphertext": mail, "note_ciphertext": sealed})
		w.must(err)
		w.must(table.Open(w.Context(), r))
		opened, err := r.Get("note_ciphertext")
		w.must(err)
		want := fmt.Sprintf("note %d", id)
		if note.Valid && note.String != want || opened != nil && opened != want || !note.Valid && opened == nil {
			w.Errorf("row %d has %q and %v", id, note.String, opened)
		}
		found, err := table.Lookup(w.Context(), "email_bidx", email(id))
		w.must(err)
		if index.Valid && index.String != fmt.Sprint(found[0]) {
			w.Errorf("row %d has the index %q, and not %v", id, index.String, found)
		}
	}
	w.must(rows.Err())
}

// dieEverywhere kills the sweep at each of its moments that is of this share, until there are no more.
func (w *doomed) dieEverywhere(first, step int) {
	if os.Getenv("ROWSEAL_SOAK") == "" && w.d.Name != "SQLite" {
		step *= ordeals[w.step].fewer // and all of them on SQLite
	}
	n := first
	for ; w.dieAt(n); n += step {
		if w.Failed() {
			return
		}
	}
	if n < 60 {
		w.Errorf("there were only %d moments", n)
	}
}

// dieAt kills a sweep at a moment, and finishes it. It is false when the sweep was done before its moment came.
func (w *doomed) dieAt(n int) bool {
	log := filepath.Join(w.TempDir(), "requests")
	alive := w.child(n, log) || w.isDone()
	w.intact()
	counted := &counting{}
	w.must(w.finish(counted))
	made, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Fatal(err)
	}
	w.intact()
	if alive { // what ran after it was a second sweep
		w.restore()
		return false
	}
	ordeals[w.step].done(w)
	if total := len(made) + int(counted.n.Load()); total > ordeals[w.step].perPage*(killRows/killPage+1) {
		w.Errorf("moment %d: %d requests, of which the killed process made %d", n, total, len(made))
	}
	w.restore()
	return true
}

// finish goes on with the sweep. What the killed process sent last, a server may do when it is dead already: so its lease may be longer by
// then than it was a moment before, as if it lived.
func (w *doomed) finish(counted *counting) error {
	model, err := killModel(w.step, w.ring)
	w.must(err)
	for range 3 {
		_, err = sweep.Run(w.Context(), w.db, model.Rows(), ordeals[w.step].step(), &sweep.Options{Page: killPage, Lease: killLease, Pacer: counted})
		if !errors.Is(err, sweep.ErrBusy) {
			break
		}
	}
	return err
}

// counting counts requests.
type counting struct{ n atomic.Int64 }

func (c *counting) Wait(ctx context.Context) error { c.n.Add(1); return ctx.Err() }

func (*counting) Done(bool) {}

// child runs the sweep in a process of its own. It is true if the sweep was done before its moment came.
func (w *doomed) child(n int, log string) (alive bool) {
	cmd := exec.CommandContext(w.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), killStep+"="+w.step, killDriver+"="+w.d.Driver, killDSN+"="+w.dsn, killAt+"="+strconv.Itoa(n), killLog+"="+log)
	out, err := cmd.CombinedOutput()
	exit := (*exec.ExitError)(nil)
	switch {
	case err == nil:
		return true
	case errors.As(err, &exit) && exit.ExitCode() == killed:
		return false
	}
	w.Fatalf("moment %d: %v: %s", n, err, out)
	return false
}

// isDone tells whether the database knows that the sweep is done.
func (w *doomed) isDone() bool {
	columns, err := w.db.TableColumns(w.Context(), "rowseal_sweeps")
	w.must(err)
	return columns != nil && w.one(`SELECT min(state) FROM rowseal_sweeps`) == string(sweep.Done)
}

// restore makes the table what it was.
func (w *doomed) restore() {
	for _, table := range []string{"patients", "rowseal_sweeps", "rowseal_quarantine", "rowseal_journal"} {
		if columns, err := w.db.TableColumns(w.Context(), table); err == nil && columns != nil {
			w.exec("DELETE FROM " + table)
		}
	}
	marks := make([]string, len(w.columns))
	for i := range marks {
		marks[i] = w.db.Placeholder(i + 1)
	}
	insert := "INSERT INTO patients (" + strings.Join(w.columns, ", ") + ") VALUES (" + strings.Join(marks, ", ") + ")"
	tx, err := w.sql.BeginTx(w.Context(), nil)
	w.must(err)
	for _, row := range w.saved {
		_, err := tx.ExecContext(w.Context(), insert, row...)
		w.must(err)
	}
	w.must(tx.Commit())
}
