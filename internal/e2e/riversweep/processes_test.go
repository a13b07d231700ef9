package riversweep_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/rowseal/rowseal/sweep"
)

// workerEnv holds the setup of a process that is a worker of the fleet: this test binary, started again.
const workerEnv = "ROWSEAL_RIVERSWEEP_WORKER"

// workerMain works until its standard input ends.
func workerMain(text string) (code int) {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var s setup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fail(err)
	}
	ctx := context.Background()
	f, err := newFleet(ctx, s)
	if err != nil {
		return fail(err)
	}
	defer f.pool.Close()
	if err := f.client.Start(ctx); err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := f.client.Stop(ctx); err != nil {
		return fail(err)
	}
	return 0
}

// process is a worker process.
type process struct {
	*exec.Cmd
	stdin io.Closer
}

// processes starts worker processes, which are ended with the test.
func (w *world) processes(n int, s setup) (all []*process) {
	w.Helper()
	s.DSN = w.setup.DSN
	if s.Names == nil {
		s.Names = w.setup.Names
	}
	text, err := json.Marshal(s)
	w.must(err)
	for range n {
		p := &process{Cmd: exec.Command(os.Args[0])}
		p.Env = append(os.Environ(), workerEnv+"="+string(text))
		p.Stderr = os.Stderr
		p.stdin, err = p.StdinPipe()
		w.must(err)
		out, err := p.StdoutPipe()
		w.must(err)
		w.must(p.Start())
		w.Cleanup(func() { _ = p.Process.Kill(); _ = p.Wait() })
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			w.Fatalf("a worker says %q: %v", line, err)
		}
		all = append(all, p)
	}
	return all
}

func TestProcessesShareASweepAndNoRowIsDoneTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 600, setup{})
	w.processes(3, setup{Turn: 100 * time.Millisecond, Together: 3})
	w.start(6, 6)
	w.start(6, 0)
	w.finished(0)
	if st := w.status(); st.Table != "patients" || st.Step != "rekey" || len(st.Parts) != 6 {
		t.Errorf("%+v", st)
	}
	if n := w.number(`SELECT count(DISTINCT pid) FROM requests`); n != 3 {
		t.Errorf("%v processes have worked", n)
	}
	if n := w.number(`SELECT count(*) FROM river_job`); n != 6 {
		t.Errorf("%v jobs", n)
	}
}

// A job that is running is taken for dead after a time that is River's Config.RescueStuckJobsAfter, which is short here.
func TestThePartOfAKilledProcessGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 600, setup{})
	quick := setup{Turn: time.Hour, Timeout: 8 * time.Second, Rescue: 8 * time.Second, Latency: 20 * time.Millisecond}
	victims := w.processes(1, quick)
	w.start(2, 2)
	w.until("the middle of a part", func() bool { return w.number(`SELECT count(*) FROM written`) >= 3*page })
	w.must(victims[0].Process.Kill()) // SIGKILL
	_ = victims[0].Wait()

	w.processes(2, quick)
	w.until("the dead part is done", func() bool {
		_ = w.client.Notify().RequestResign(w.Context()) // a new leader rescues at once, an old one every half a minute
		for range 150 {
			if w.status().State == sweep.Done {
				return true
			}
			time.Sleep(20 * time.Millisecond)
		}
		return false
	})
	w.finished(1)
	if n := w.number(`SELECT count(*) FROM river_job WHERE attempt = 2 AND state = $1`, rivertype.JobStateCompleted); n != 1 {
		t.Errorf("%v jobs were rescued", n)
	}
}

func TestAllProcessesTogetherKeepTheRate(t *testing.T) {
	t.Parallel()
	const rate = 30
	w := newWorld(t, 600, setup{})
	w.processes(3, setup{Turn: 500 * time.Millisecond, Workers: 2, Rate: rate})
	begin := w.number(`SELECT extract(epoch FROM clock_timestamp())`)
	w.start(6, 6)
	w.finished(0)
	rows, err := w.pool.Query(t.Context(), `SELECT at FROM requests ORDER BY at`)
	w.must(err)
	defer rows.Close()
	for n := 1; rows.Next(); n++ { // request n has the nth moment or a later one, and may be later than that
		var at float64
		w.must(rows.Scan(&at))
		if float64(n) > rate*(at-begin)+1 {
			t.Fatalf("request %d after %.3f s: more than %d a second", n, at-begin, rate)
		}
	}
	w.must(rows.Err())
}

func TestAProcessThatDoesNotKnowTheSweepLeavesItToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 40, setup{})
	w.processes(1, setup{Names: []string{"another"}})
	w.start(1, 1)
	w.until("a reason", func() bool {
		return len(w.status().Parts) == 1 && strings.Contains(w.status().Parts[0].Error, `no sweep "rekey patients"`)
	})
	if st := w.status(); st.State != sweep.Waiting {
		t.Errorf("%+v", st)
	}
	w.processes(1, setup{})
	w.finished(0)
	if n := w.number(`SELECT count(*) FROM river_job WHERE errors IS NOT NULL`); n != 0 {
		t.Errorf("%v jobs have errors", n)
	}
	if n := w.number(`SELECT count(*) FROM river_job WHERE metadata->'output'->>'waits' <> ''`); n != 0 {
		t.Errorf("%v jobs that are done still say why they wait", n)
	}
}
