package rowseal

import (
	"sync"
	"time"
)

// cleanupTimeout is how long tidying up may take after a call that failed or was cancelled.
const cleanupTimeout = 10 * time.Second

// atOnce calls f for 0 to n-1, limit of them at a time.
func atOnce(n, limit int, f func(i int)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, limit)
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			f(i)
		})
	}
}
