package cli

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"

	"github.com/rowseal/rowseal/sweep"
)

// screen is what was written to a terminal.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// until waits for what is drawn in the background.
func (s *screen) until(t *testing.T, want string) {
	t.Helper()
	for range 1000 {
		if regexp.MustCompile(want).MatchString(s.String()) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("there is no %q in\n%s", want, s)
}

// TestTheBarGoesOn: the number of rows is not known when it is drawn first, and what is written above it stays.
func TestTheBarGoesOn(t *testing.T) {
	var mu sync.Mutex
	at := sweep.Status{Table: "users", Step: "rewrap", State: sweep.Running, Started: time.Now()}
	set := func(rows, estimate int64) {
		mu.Lock()
		defer mu.Unlock()
		at.Rows, at.Estimate = rows, estimate
	}
	s, done, ended := &screen{}, make(chan struct{}), make(chan struct{})
	p := mpb.New(mpb.WithOutput(s), mpb.WithAutoRefresh(), mpb.WithWidth(100), mpb.WithRefreshRate(time.Millisecond))
	go func() {
		defer close(ended)
		bar(p, func() sweep.Status { mu.Lock(); defer mu.Unlock(); return at }, done)
	}()
	set(10, 1000)
	s.until(t, `users rewrap 10 of about 1,000 rows .*\[>?-{9,}\]`)
	set(500, 1000)
	s.until(t, `users rewrap 500 of about 1,000 rows .*\[={3,}>-{3,}\]`)
	if _, err := p.Write([]byte("finishing\n")); err != nil {
		t.Fatal(err)
	}
	set(900, 1000)
	s.until(t, `users rewrap 900 of about 1,000 rows`)
	close(done)
	<-ended
	if text := s.String(); strings.Count(text, "finishing\n") != 1 {
		t.Errorf("it draws\n%s", text)
	}
}
