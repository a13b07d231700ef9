package examples

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build builds a program of examples and returns its file.
func build(t *testing.T, program string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(program))
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", file, "./"+program)
	cmd.Dir = "../../../examples"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build %s: %v\n%s", program, err, out)
	}
	return file
}

// command is a program with nothing in its environment but this.
func command(t *testing.T, file string, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), file, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	return cmd
}

// service is a program that listens.
type service struct {
	t       *testing.T
	address string
	cmd     *exec.Cmd
	log     *log
	ended   chan error
}

// start starts a service and waits until it listens.
func start(t *testing.T, file string, env []string) *service {
	t.Helper()
	s := &service{t: t, cmd: command(t, file, append(env, "LISTEN=127.0.0.1:0")), log: &log{listens: make(chan string, 1)}, ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	select {
	case s.address = <-s.log.listens:
	case err := <-s.ended:
		t.Fatalf("%s ended: %v\n%s", file, err, s.log)
	case <-time.After(time.Minute):
		t.Fatalf("%s does not listen\n%s", file, s.log)
	}
	return s
}

// kill lets the service do nothing more.
func (s *service) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.ended
}

// stop asks the service to end, which is no failure.
func (s *service) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		s.t.Errorf("the service was asked to end: %v\n%s", err, s.log)
	}
}

// log is what a service prints: lines of JSON, one of which says where it listens.
type log struct {
	mu      sync.Mutex
	text    bytes.Buffer
	listens chan string
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	for line := range strings.Lines(string(p)) {
		var entry struct{ Msg, Address string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "listening" {
			l.listens <- entry.Address
		}
	}
	return len(p), nil
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
