package sweep_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// underWay is a sweep in another goroutine, which waits in its first page until it is let go on.
func (w *world) underWay(opts sweep.Options) (goOn func() (sweep.Status, error)) {
	w.Helper()
	begun, wait := make(chan struct{}), make(chan struct{})
	step := &acting{Step: &sweep.RewrapStep{}, act: func(page int) {
		if page == 1 {
			close(begun)
			<-wait
		}
	}}
	var status sweep.Status
	done := make(chan error, 1)
	go func() {
		var err error
		status, err = sweep.Run(w.Context(), w.db, w.patients(w.both).Rows(), step, &opts)
		done <- err
	}()
	<-begun
	return func() (sweep.Status, error) {
		close(wait)
		err := <-done
		return status, err
	}
}

func TestTwoSweepsDoNotWorkAgainstEachOther(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 40)
		goOn := w.underWay(sweep.Options{Page: 10, Lease: 3 * time.Second})
		waited := ""
		_, err := w.rewrap(sweep.Options{Waiting: func(holder string) { waited = holder }})
		wantError(w.T, err, sweep.ErrBusy, "sweep: the rewrap of patients is being done by ")
		if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(waited, want) || !strings.Contains(fmt.Sprint(err), want) {
			w.Errorf("the holder is %q", waited)
		}
		_, err = w.rewrap(sweep.Options{Part: 2, Parts: 3}) // whose rows are among the other's
		wantError(w.T, err, sweep.ErrBusy, "sweep: the rewrap of patients, part 2 of 3 is being done by ")
		if _, err := sweep.Run(w.Context(), w.db, w.patients(w.both).Rows(), &sweep.VerifyStep{}, nil); err != nil {
			w.Errorf("another step: %v", err)
		}
		if _, err := w.rewrap(sweep.Options{Stateless: true, Where: "id > 38"}); err != nil { // which knows of no lease
			w.Errorf("without state: %v", err)
		}
		status, err := goOn()
		w.must(err)
		if status.State != sweep.Done || status.Rows != 40 || status.Changed != 38 {
			w.Errorf("%+v", status)
		}
		w.allOpen(w.both, 40)
	})
}

func TestPartsRunBesideEachOther(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 40)
		goOn := w.underWay(sweep.Options{Page: 10, Part: 1, Parts: 2, Lease: 3 * time.Second})
		second, err := w.rewrap(sweep.Options{Page: 10, Part: 2, Parts: 2})
		w.must(err)
		_, err = w.rewrap(sweep.Options{})
		wantError(w.T, err, sweep.ErrBusy, "is being done by ")
		first, err := goOn()
		w.must(err)
		if first.Changed+second.Changed != 40 || first.Changed == 0 || second.Changed == 0 {
			w.Errorf("%d and %d rows", first.Changed, second.Changed)
		}
		w.allOpen(w.both, 40)
	})
}

// TestAFrozenProcessLosesItsSweep: a process that was stopped for longer than its lease, as a machine that was suspended, finds that
// somebody else has gone on, writes nothing over it, and says so.
func TestAFrozenProcessLosesItsSweep(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys")
	t.Setenv("ROWSEAL_LOCAL_KEYS", keys)
	for _, name := range []string{"old", "new"} {
		if err := (localkms.Store{Dir: keys}).Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	onEach(t, func(w *world) {
		first, err := localRing(w.Context(), false)
		w.must(err)
		both, err := localRing(w.Context(), true)
		w.must(err)
		w.admit(first, killRows)
		cmd := exec.CommandContext(w.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), killStep+"=rewrap", killDriver+"="+w.d.Driver, killDSN+"="+w.dsn, killAt+"=-1",
			killLog+"="+filepath.Join(w.TempDir(), "requests"), killDelay+"=100ms")
		var said bytes.Buffer
		cmd.Stderr = &said
		w.must(cmd.Start())
		w.until(func() bool {
			known, err := sweep.List(w.Context(), w.db, "patients")
			return err == nil && len(known) == 1 && known[0].Rows > 0 && known[0].Rows < killRows
		})
		w.must(cmd.Process.Signal(syscall.SIGSTOP))
		time.Sleep(2 * killLease)
		waited := false
		status, err := sweep.Rewrap(w.Context(), w.db, w.patients(both), &sweep.Options{Page: killPage, Lease: 3 * time.Second, Waiting: func(string) { waited = true }})
		w.must(err)
		if !status.Resumed || status.Rows != killRows || status.State != sweep.Done {
			w.Errorf("%+v", status)
		}
		w.must(cmd.Process.Signal(syscall.SIGCONT))
		exit := (*exec.ExitError)(nil)
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(said.String(), "somebody else has taken over the rewrap of patients") {
			w.Errorf("the frozen process: %v (waited: %t): %s", err, waited, &said)
		}
		known, err := sweep.List(w.Context(), w.db, "patients")
		w.must(err)
		if len(known) != 1 || known[0].State != sweep.Done || known[0].Rows != killRows || !strings.Contains(known[0].Owner, fmt.Sprintf("process %d ", os.Getpid())) {
			w.Errorf("%+v", known)
		}
		w.allOpen(both, killRows)
		if got := w.versions(); got["v2"] != 2*killRows {
			w.Errorf("%v", got)
		}
	})
}

// until waits for something that is to happen.
func (w *world) until(happened func() bool) {
	w.Helper()
	for range 1000 {
		if happened() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Fatal("it has not happened")
}

func TestASweepGoesOnOnlyAsTheSameOne(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 50)
		run := func(step sweep.Step, opts sweep.Options) sweep.Status {
			w.Helper()
			opts.Page = 10
			status, err := sweep.Run(w.Context(), w.db, w.patients(w.both).Rows(), step, &opts)
			w.must(err)
			return status
		}
		if s := run(&sweep.RewrapStep{}, sweep.Options{Limit: 15}); s.State != sweep.Stopped || s.Rows != 15 || s.Position != "15" {
			w.Errorf("%+v", s)
		}
		if s := run(&sweep.RewrapStep{}, sweep.Options{Limit: 5}); !s.Resumed || s.Rows != 20 || s.Begun != 15 || s.Changed != 20 {
			w.Errorf("the same: %+v", s)
		}
		if s := run(&sweep.RewrapStep{}, sweep.Options{Stateless: true, Limit: 10}); s.Resumed || s.Rows != 10 || s.Changed > 10 {
			w.Errorf("without state: %+v", s)
		}
		if s := run(&sweep.RewrapStep{}, sweep.Options{Restart: true, Limit: 5}); s.Resumed || s.Rows != 5 {
			w.Errorf("from the start: %+v", s)
		}
		if s := run(&sweep.RewrapStep{}, sweep.Options{Where: "id <= 30"}); s.Resumed || s.Rows != 30 {
			w.Errorf("other rows: %+v", s)
		}
		if s := run(&sweep.RewrapStep{All: true}, sweep.Options{Limit: 20}); s.Resumed || s.Rows != 20 {
			w.Errorf("another setting: %+v", s)
		}
		if s := run(&sweep.RewrapStep{All: true}, sweep.Options{}); !s.Resumed || s.Rows != 50 || s.State != sweep.Done {
			w.Errorf("to the end: %+v", s)
		}
		if s := run(&sweep.RewrapStep{All: true}, sweep.Options{}); s.Resumed || s.Rows != 50 {
			w.Errorf("after the end: %+v", s)
		}
		w.allOpen(w.both, 50)
	})
}

func TestASweepLeavesNothingBehindWithoutState(t *testing.T) {
	onEach(t, func(w *world) {
		w.admit(w.first, 20)
		w.damage(3)
		status, err := w.rewrap(sweep.Options{Stateless: true})
		w.must(err)
		if status.Changed != 19 || status.Quarantined != 1 {
			w.Errorf("%+v", status)
		}
		if columns, err := w.db.TableColumns(w.Context(), "rowseal_sweeps"); err != nil || columns != nil {
			w.Errorf("%v, %v", columns, err)
		}
	})
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	onEach(t, func(w *world) {
		for want, opts := range map[string]*sweep.Options{
			"part 3 of 2":   {Part: 3, Parts: 2},
			"part 0 of 2":   {Parts: 2},
			"a number in":   {Page: -1},
			"part 2 of 1":   {Part: 2, Parts: 1},
			"is negative: ": {Rate: -0.5},
		} {
			_, err := sweep.Rewrap(w.Context(), w.db, w.patients(w.both), opts)
			wantError(w.T, err, kms.ErrInvalidRequest, want)
		}
		_, err := w.rewrap(sweep.Options{Where: "no_such_column = 1"})
		if err == nil || !strings.Contains(err.Error(), "no_such_column") {
			w.Errorf("%v", err)
		}
		tx, err := w.sql.BeginTx(w.Context(), nil)
		w.must(err)
		defer tx.Rollback()
		_, err = sweep.Rewrap(w.Context(), sqlseal.SQL(w.db.Dialect, tx), w.patients(w.both), nil)
		wantError(w.T, err, kms.ErrInvalidRequest, "a sweep makes transactions of its own")
	})
}
