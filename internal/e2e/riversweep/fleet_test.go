package riversweep_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
	"github.com/rowseal/rowseal/sweep/riversweep"
)

// gate lets so many requests through, and then holds them up until it is opened.
type gate struct {
	left atomic.Int64
	held atomic.Bool
	open chan struct{}
}

func newGate(requests int64) *gate {
	g := &gate{open: make(chan struct{})}
	g.left.Store(requests)
	return g
}

func (g *gate) pass(ctx context.Context) error {
	if g.left.Add(-1) >= 0 {
		return nil
	}
	g.held.Store(true)
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// aPage is how many requests a page needs: to open the old data keys, and to wrap the new ones.
const aPage = 2 * page / batch

func TestTheStopButtonFinishesThePageAndStartGoesOn(t *testing.T) {
	g := newGate(aPage + 1) // held in the second page of part 1, while part 2 waits
	w := newWorld(t, 200, setup{before: g.pass, Turn: time.Hour})
	w.run(w.fleet)
	w.start(2, 2)
	w.until("the second page", g.held.Load)
	if n, err := w.Stop(t.Context(), w.client, rekey); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := w.Start(t.Context(), w.client, rekey, 2, nil); n != 0 || !errors.Is(err, sweep.ErrBusy) {
		t.Errorf("Start beside a page that is still being done: %d, %v", n, err)
	}
	<-(*w.job.Load()).Done()
	close(g.open)
	st := w.untilAll(sweep.Stopped)
	if st.State != sweep.Stopped || st.Rows%page != 0 || st.Rows < 2*page {
		t.Errorf("%+v", st)
	}
	w.start(2, 2)
	w.finished(0)
}

func TestAStoppedClientFinishesThePageAndAnotherGoesOn(t *testing.T) {
	g := newGate(aPage + 1)
	w := newWorld(t, 200, setup{before: g.pass, Turn: time.Hour, soft: 10 * time.Millisecond})
	w.must(w.client.Start(context.WithoutCancel(t.Context())))
	w.start(1, 1)
	w.until("the second page", g.held.Load)
	stopped := make(chan error)
	go func() { stopped <- w.client.Stop(t.Context()) }()
	<-(*w.job.Load()).Done() // after which the page at hand has some seconds more
	close(g.open)
	w.must(<-stopped)
	if n := w.number(`SELECT count(*) FROM river_job WHERE state = 'available' AND attempt = 0 AND errors IS NULL`); n != 1 {
		t.Errorf("the job is not back in the queue: %+v", w.status())
	}
	w.run(w.newFleet(setup{Names: []string{rekey}}))
	w.finished(0)
}

func TestStartGoesOnWithWhatIsNotDoneAndBeginsAnewWhenAllIs(t *testing.T) {
	w := newWorld(t, 100, setup{Turn: time.Hour})
	w.start(2, 2)
	jobs := w.number(`SELECT min(id) FROM river_job`)
	_, err := w.client.JobCancel(t.Context(), int64(jobs))
	w.must(err)
	w.run(w.fleet)
	w.until("one part is done", func() bool { return w.number(`SELECT count(*) FROM river_job WHERE state = 'completed'`) == 1 })
	if st := w.status(); st.State != sweep.Stopped || st.Parts[0].State != sweep.Stopped || st.Parts[1].State != sweep.Done {
		t.Errorf("%+v", st)
	}
	w.start(2, 1)
	w.finished(0)
	w.exec(`TRUNCATE written, requests`)
	w.start(2, 2)
	w.finished(0)
	w.exec(`TRUNCATE written, requests`)
	w.start(3, 3) // divided otherwise
	w.finished(0)
}

func TestAJobWhosePartIsDoneDoesNothing(t *testing.T) {
	w := newWorld(t, 40, setup{})
	w.start(1, 1)
	_, err := sweep.Run(t.Context(), w.db, w.plain().Rows(), &sweep.RekeyStep{}, nil)
	w.must(err)
	w.exec(`TRUNCATE written`)
	w.run(w.fleet)
	w.until("the job is completed", func() bool { return w.status().Parts[0].Job == rivertype.JobStateCompleted })
	if n := w.number(`SELECT count(*) FROM written`) + w.number(`SELECT count(*) FROM requests`); n != 0 {
		t.Errorf("%v rows and requests", n)
	}
}

func TestErrorsThatMayPassAreTriedAgain(t *testing.T) {
	var denied atomic.Bool
	denied.Store(true)
	w := newWorld(t, 40, setup{before: func(context.Context) error {
		if denied.Load() {
			return kms.ErrBudget
		}
		return nil
	}})
	w.run(w.fleet)
	w.start(1, 1)
	w.until("an attempt", func() bool { return w.number(`SELECT count(*) FROM river_job WHERE errors IS NOT NULL`) == 1 })
	w.until("it waits", func() bool { return w.status().State == sweep.Waiting })
	if p := w.status().Parts[0]; !strings.Contains(p.Error, kms.ErrBudget.Error()) {
		t.Errorf("%+v", p)
	}
	denied.Store(false)
	w.until("the end", func() bool { return w.status().State == sweep.Done })
	w.allOpen()
}

func TestErrorsThatCannotPassEndThePart(t *testing.T) {
	w := newWorld(t, 40, setup{before: func(context.Context) error { return kms.ErrAccessDenied }})
	w.run(w.fleet)
	w.start(1, 1)
	st := w.untilAll(sweep.Failed)
	if p := st.Parts[0]; p.Job != rivertype.JobStateCancelled || !strings.Contains(p.Error, kms.ErrAccessDenied.Error()) {
		t.Errorf("%+v", p)
	}
	w.allOpen()
	w.start(1, 1) // when it is mended
}

func TestAPageThatTakesTooLongSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40, setup{Timeout: 200 * time.Millisecond, before: newGate(1).pass})
	w.run(w.fleet)
	w.start(1, 1)
	w.until("an error", func() bool {
		return w.number(`SELECT count(*) FROM river_job WHERE errors[1]->>'error' LIKE '%Fleet.Timeout%'`) == 1
	})
	w.allOpen()
}

func TestAStepThatCannotBeMadeEndsThePart(t *testing.T) {
	w := newWorld(t, 40, setup{})
	w.start(1, 1)
	w.exec(`UPDATE river_job SET args = args || '{"settings": {"Refuse": "no such thing"}}'`) // a release whose settings are others
	w.run(w.fleet)
	st := w.untilAll(sweep.Failed)
	if p := st.Parts[0]; p.Job != rivertype.JobStateCancelled || !strings.Contains(p.Error, "no such thing") {
		t.Errorf("%+v", p)
	}
}

func TestAPartThatAnotherProcessIsAtWaits(t *testing.T) {
	g := newGate(1)
	w := newWorld(t, 40, setup{before: g.pass})
	beside := make(chan error)
	go func() { // as the command line would
		_, err := sweep.Run(t.Context(), w.db, w.model.Rows(), &sweep.RekeyStep{}, &sweep.Options{Lease: time.Second})
		beside <- err
	}()
	w.until("a request", g.held.Load)
	w.run(w.fleet)
	w.start(1, 1)
	w.until("a reason", func() bool {
		return w.number(`SELECT count(*) FROM river_job WHERE state = 'scheduled' AND errors IS NULL AND metadata->'output'->>'waits' LIKE '%is being done by%'`) == 1
	})
	if st := w.status(); st.State != sweep.Running || st.Parts[0].Owner == "" {
		t.Errorf("%+v", st)
	}
	close(g.open)
	w.must(<-beside)
}

func TestStartRefuses(t *testing.T) {
	w := newWorld(t, 40, setup{})
	with := func(name string, parts int, settings any) error {
		n, err := w.Start(t.Context(), w.client, name, parts, settings)
		if err != nil && n != 0 {
			t.Errorf("%d jobs, and %v", n, err)
		}
		return err
	}
	entry := w.Sweeps[rekey]
	limited, sqlite := entry, entry
	limited.Options.Limit = 1
	sqlite.DB = sqlseal.SQL(sqlseal.SQLite, nil)
	w.Sweeps["limited"], w.Sweeps["sqlite"] = limited, sqlite
	w.Sweeps["empty"] = riversweep.Sweep{}
	for _, tc := range []struct {
		what string
		err  error
		want error
	}{
		{"a name that nobody knows", with("rekye patients", 2, nil), riversweep.ErrUnknown},
		{"no parts", with(rekey, 0, nil), kms.ErrInvalidRequest},
		{"too many parts", with(rekey, 1001, nil), kms.ErrInvalidRequest},
		{"settings that JSON cannot hold", with(rekey, 2, func() {}), kms.ErrInvalidRequest},
		{"a Limit", with("limited", 2, nil), kms.ErrInvalidRequest},
		{"another database", with("sqlite", 2, nil), kms.ErrInvalidRequest},
		{"a Sweep without anything", with("empty", 2, nil), kms.ErrInvalidRequest},
		{"none of these", with(rekey, 2, map[string]int{"b": 1, "a": 2}), nil},
		{"the same again", with(rekey, 2, map[string]int{"a": 2, "b": 1}), nil},
		{"other parts", with(rekey, 3, map[string]int{"a": 2, "b": 1}), sweep.ErrBusy},
		{"other settings", with(rekey, 2, map[string]int{"a": 2, "b": 2}), sweep.ErrBusy},
		{"no settings", with(rekey, 2, nil), sweep.ErrBusy},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.what, tc.err, tc.want)
		}
	}
	if n := w.number(`SELECT count(*) FROM river_job`); n != 2 {
		t.Errorf("%v jobs", n)
	}
}

func TestASweepThatWasNeverStartedHasNoState(t *testing.T) {
	w := newWorld(t, 10, setup{})
	if st := w.status(); st.State != "" || len(st.Parts) != 0 || st.Table != "patients" {
		t.Errorf("%+v", st)
	}
	if n, err := w.Stop(t.Context(), w.client, rekey); n != 0 || err != nil {
		t.Error(n, err)
	}
}
