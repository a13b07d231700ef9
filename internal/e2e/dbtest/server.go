package dbtest

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// server is a database server that runs from the first test that needs it to the end of the process.
type server struct {
	name, driver string
	install      string  // Debian's package
	prepare      program // makes the server's files
	serve        program
	dsn          func(dir, database string) string
	socket       string // its file in dir
	home         string // a database that there is from the start
	drop         string // the statement; %s is a database
	end          string // the signal that ends it at once

	start     sync.Once
	err       error // why it does not run
	version   string
	dir       string
	admin     *sql.DB
	databases atomic.Int64

	lifeline io.Closer // closed, it ends the server
	janitor  *exec.Cmd // ends when the server has, and dir is no more
}

// program is a program of a server that has its files in dir.
type program struct {
	name string
	args func(dir string) []string
}

const (
	patience = time.Minute // for a server to start
	pause    = 20 * time.Millisecond
)

// newDatabase makes a database for t.
func (s *server) newDatabase(t testing.TB) (dsn string) {
	t.Helper()
	s.need(t)
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	if _, err := s.admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	t.Cleanup(func() {
		if _, err := s.admin.Exec(fmt.Sprintf(s.drop, name)); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	})
	return s.dsn(s.dir, name)
}

// need starts the server unless it runs.
func (s *server) need(t testing.TB) {
	t.Helper()
	s.start.Do(func() {
		if s.err = s.run(); s.err != nil {
			return
		}
		t.Logf("RUNS AGAINST %s", s.version) // which has the name
	})
	if errors.Is(s.err, exec.ErrNotFound) && os.Getenv("CI") == "" {
		t.Skip(s.err)
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
}

func (s *server) run() error {
	prepare, missing := find(s.prepare.name)
	serve, alsoMissing := find(s.serve.name)
	if err := errors.Join(missing, alsoMissing); err != nil {
		return fmt.Errorf("%s is not installed: install %s (make setup does, for root of a Debian): %w", s.name, s.install, err)
	}
	if err := s.live(prepare, serve); err != nil {
		return fmt.Errorf("%s does not start: %w", s.name, err)
	}
	return nil
}

// live makes the server's folder and starts it there.
func (s *server) live(prepare, serve string) error {
	f, err := newFolder()
	if err != nil {
		return err
	}
	defer f.leave()
	s.dir, s.janitor = f.path, f.janitor
	if err := f.command(prepare, s.prepare.args(f.path)...).Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", prepare, err, f.said())
	}
	cmd := f.command("sh", append([]string{"-c", untilEOF, s.end, serve}, s.serve.args(f.path)...)...)
	if s.lifeline, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	if err := s.answers(ended); err != nil {
		s.lifeline.Close()
		return fmt.Errorf("%s: %w\n%s", serve, err, f.said())
	}
	return nil
}

// answers waits until the server does.
func (s *server) answers(ended <-chan struct{}) (err error) {
	if s.admin, err = sql.Open(s.driver, s.dsn(s.dir, s.home)); err != nil {
		return err
	}
	for late := time.After(patience); ; {
		if err = s.admin.QueryRow("SELECT version()").Scan(&s.version); err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("it ended")
		case <-late:
			return fmt.Errorf("after %v: %w", patience, err)
		case <-time.After(pause):
		}
	}
}

// stop ends the server, if it runs, and waits until nothing of it is left.
func (s *server) stop() {
	if s.admin != nil {
		s.admin.Close()
	}
	if s.lifeline != nil {
		s.lifeline.Close()
	}
	if s.janitor != nil {
		s.janitor.Wait()
	}
}
