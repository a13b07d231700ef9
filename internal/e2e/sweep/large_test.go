package sweep_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/internal/e2e/dbtest"
	"github.com/rowseal/rowseal/kms/localkms"
	"github.com/rowseal/rowseal/sqlseal"
	"github.com/rowseal/rowseal/sweep"
)

// tenth is what a sweep used for a tenth of the table.
type tenth struct {
	rows  int64
	took  time.Duration
	alive uint64 // bytes of the heap
}

// TestALargeTableNeedsNoMoreMemoryThanASmallOne rewraps a table with a local key: of 1,000,000 rows in the long form. The memory is
// measured at each tenth of the table, and so is the rate, which the log states: no test measures time.
func TestALargeTableNeedsNoMoreMemoryThanASmallOne(t *testing.T) {
	rows := 20_000
	if os.Getenv("ROWSEAL_SOAK") != "" {
		rows = 1_000_000
	}
	keys := filepath.Join(t.TempDir(), "keys")
	t.Setenv("ROWSEAL_LOCAL_KEYS", keys)
	for _, name := range []string{"old", "new"} {
		if err := (localkms.Store{Dir: keys}).Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []dbtest.Database{dbtest.SQLite, dbtest.PostgreSQL} {
		t.Run(d.Name, func(t *testing.T) {
			w := newWorld(t, d)
			var err error
			w.first, err = localRing(t.Context(), false)
			w.must(err)
			w.both, err = localRing(t.Context(), true)
			w.must(err)
			w.house(rows)
			tenths := w.rewrapInTenths(rows)
			least, most := tenths[0].alive, tenths[0].alive
			for i, part := range tenths {
				least, most = min(least, part.alive), max(most, part.alive)
				t.Logf("tenth %d: %.0f rows/s, heap %.1f MB", i+1, float64(part.rows)/part.took.Seconds(), float64(part.alive)/1e6)
			}
			if most-least > 10<<20 {
				t.Errorf("the heap was between %d and %d bytes", least, most)
			}
		})
	}
}

// house makes a table of guests.
func (w *world) house(rows int) {
	w.Helper()
	w.exec(`CREATE TABLE guests (id BIGINT PRIMARY KEY, encrypted_kms_key TEXT, email_ciphertext TEXT)`)
	guests, err := rowseal.NewModel[guest]("guests", w.first, nil)
	w.must(err)
	table := sqlseal.New(guests, nil)
	const chunk = 10_000
	for start := 0; start < rows; start += chunk {
		all := make([]*guest, min(chunk, rows-start))
		for i := range all {
			all[i] = &guest{ID: int64(start + i + 1)}
			all[i].Email.Set(email(start + i + 1))
		}
		w.must(table.Insert(w.Context(), w.db, all...))
	}
}

func (w *world) rewrapInTenths(rows int) (tenths []tenth) {
	w.Helper()
	guests, err := rowseal.NewModel[guest]("guests", w.both, nil)
	w.must(err)
	var s *sweep.Sweep
	begun, last := time.Now(), int64(0)
	step := &acting{Step: &sweep.RewrapStep{}, act: func(int) {
		done := s.Status().Rows
		if done < int64((len(tenths)+1)*rows/10) {
			return
		}
		took := time.Since(begun)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		tenths = append(tenths, tenth{done - last, took, m.HeapAlloc})
		begun, last = time.Now(), done
	}}
	s, err = sweep.New(w.db, guests.Rows(), step, nil)
	w.must(err)
	status, err := s.Run(w.Context())
	w.must(err)
	if status.Changed != int64(rows) || len(tenths) != 9 { // the last one ends with the sweep
		w.Errorf("%d tenths: %+v", len(tenths), status)
	}
	w.Logf("%d rows in %s: reading %s, working %s, writing %s", rows, time.Since(status.Started), status.Reading, status.Working, status.Writing)
	return tenths
}
