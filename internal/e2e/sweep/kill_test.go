package sweep_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
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
	perPage   = 2 // requests: one to the old key and one to the new
)

// sweepSteps are the steps that are killed.
var sweepSteps = map[string]func() sweep.Step{
	"rewrap": func() sweep.Step { return &sweep.RewrapStep{} },
	"rekey":  func() sweep.Step { return &sweep.RekeyStep{} },
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
	patients, err := rowseal.NewModel[patient]("patients", ring, nil)
	if err != nil {
		return err
	}
	_, err = sweep.Run(context.Background(), sqlseal.SQL(dialects[os.Getenv(killDriver)], db), patients.Rows(), sweepSteps[os.Getenv(killStep)](),
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
	for step := range sweepSteps {
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
	rows, err := w.sql.QueryContext(t.Context(), selectPatients)
	w.must(err)
	defer rows.Close()
	for rows.Next() {
		values := make([]any, 7)
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

// dieEverywhere kills the sweep at each of its moments that is of this share, until there are no more.
func (w *doomed) dieEverywhere(first, step int) {
	if os.Getenv("ROWSEAL_SOAK") == "" && w.d.Name != "SQLite" {
		step *= 4 // each fourth point, and all of them on SQLite
	}
	n := first
	for ; w.dieAt(n); n += step {
		if w.Failed() {
			return
		}
	}
	if n < 100 {
		w.Errorf("there were only %d moments", n)
	}
}

// dieAt kills a sweep at a moment, and finishes it. It is false when the sweep was done before its moment came.
func (w *doomed) dieAt(n int) bool {
	log := filepath.Join(w.TempDir(), "requests")
	alive := w.child(n, log) || w.isDone()
	w.allOpen(w.ring, killRows)
	counted := &counting{}
	patients := w.patients(w.ring)
	_, err := sweep.Run(w.Context(), w.db, patients.Rows(), sweepSteps[w.step](), &sweep.Options{Page: killPage, Lease: killLease, Pacer: counted})
	w.must(err)
	made, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.Fatal(err)
	}
	w.allOpen(w.ring, killRows)
	if alive { // what ran after it was a second sweep
		w.restore()
		return false
	}
	if got := w.versions(); got["v2"] != 2*killRows {
		w.Errorf("moment %d: %v", n, got)
	}
	if total := len(made) + int(counted.n.Load()); total > perPage*(killRows/killPage+1) {
		w.Errorf("moment %d: %d requests, of which the killed process made %d", n, total, len(made))
	}
	w.restore()
	return true
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
	marks := make([]string, 7)
	for i := range marks {
		marks[i] = w.db.Placeholder(i + 1)
	}
	insert := `INSERT INTO patients (id, ward, encrypted_kms_key, email_ciphertext, born_on_ciphertext, encrypted_kms_key_phone, phone_ciphertext) VALUES (` +
		strings.Join(marks, ", ") + `)`
	tx, err := w.sql.BeginTx(w.Context(), nil)
	w.must(err)
	for _, row := range w.saved {
		_, err := tx.ExecContext(w.Context(), insert, row...)
		w.must(err)
	}
	w.must(tx.Commit())
}
