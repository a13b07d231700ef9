package sweep_test

import (
	"sync"
	"testing"

	"github.com/rowseal/rowseal/sweep"
)

func TestSweepsThatBeginAtTheSameMomentMakeTheirTables(t *testing.T) {
	const parts = 8
	onEach(t, func(w *world) {
		w.admit(w.first, 40)
		users := w.patients(w.both)
		results := make([]error, parts)
		var wg sync.WaitGroup
		for i := range parts {
			wg.Go(func() {
				_, results[i] = sweep.Rewrap(w.Context(), w.db, users, &sweep.Options{Part: i + 1, Parts: parts})
			})
		}
		wg.Wait()
		for _, err := range results {
			w.must(err)
		}
		w.allOpen(w.both, 40)
	})
}
