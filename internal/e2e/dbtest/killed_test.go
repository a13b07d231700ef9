package dbtest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const heldServers = "ROWSEAL_HELD_SERVERS"

func TestNothingOfAServerSurvivesItsProcess(t *testing.T) {
	if os.Getenv(heldServers) != "" {
		holdServers(t)
		return
	}
	for _, d := range []Database{PostgreSQL, MariaDB} {
		d.New(t) // or skip
	}
	for _, c := range []struct {
		name      string
		end       func(process *os.Process, stdin io.Closer) error
		byItsMain bool
	}{
		{"when Main returns", func(_ *os.Process, stdin io.Closer) error { return stdin.Close() }, true},
		{"when it is killed", func(p *os.Process, _ io.Closer) error { return p.Kill() }, false},
		{"when it takes too long", func(p *os.Process, _ io.Closer) error { return p.Signal(syscall.SIGQUIT) }, false},
		{"when its terminal goes", func(p *os.Process, _ io.Closer) error { return syscall.Kill(-p.Pid, hangup()) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			other := exec.Command(os.Args[0], "-test.run=^TestNothingOfAServerSurvivesItsProcess$")
			other.Env = append(os.Environ(), heldServers+"=1")
			other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			stdin, err := other.StdinPipe()
			must(t, err)
			stdout, err := other.StdoutPipe()
			must(t, err)
			must(t, other.Start())
			line, err := bufio.NewReader(stdout).ReadBytes('\n')
			must(t, err)
			var servers []*held
			must(t, json.Unmarshal(line, &servers))
			for _, s := range servers {
				s.keepSocket(t)
				if !s.exists() || !s.listens(t) {
					t.Errorf("there is no %s in %s", s.Name, s.Dir)
				}
			}

			must(t, c.end(other.Process, stdin))
			other.Wait()
			for _, s := range servers {
				if !c.byItsMain {
					s.awaitEnd()
				}
				if s.exists() || s.listens(t) {
					t.Errorf("%s: a folder: %t, a server: %t", s.Name, s.exists(), s.listens(t))
				}
			}
		})
	}
}

// hangup is the signal of a terminal that goes, or another one where that is ignored, as under nohup.
func hangup() syscall.Signal {
	if signal.Ignored(syscall.SIGHUP) {
		return syscall.SIGTERM
	}
	return syscall.SIGHUP
}

// holdServers is the test of the process that ends.
func holdServers(t *testing.T) {
	var servers []held
	for _, d := range []Database{PostgreSQL, MariaDB} {
		must(t, d.Open(t).PingContext(t.Context()))
		servers = append(servers, held{Name: d.Name, Dir: d.server.dir, Socket: filepath.Join(d.server.dir, d.server.socket)})
	}
	line, err := json.Marshal(servers)
	must(t, err)
	fmt.Printf("%s\n", line)
	io.Copy(io.Discard, os.Stdin)
}

// held is a server of another test process.
type held struct{ Name, Dir, Socket string }

// keepSocket gives the socket a name that remains when the folder is removed: a server that lives on would listen there.
func (h *held) keepSocket(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "rowseal-socket-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	kept := filepath.Join(dir, "socket")
	must(t, os.Link(h.Socket, kept))
	h.Socket = kept
}

func (h *held) listens(t *testing.T) bool {
	t.Helper()
	c, err := net.Dial("unix", h.Socket)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return false
	}
	must(t, err)
	must(t, c.Close())
	return true
}

func (h *held) exists() bool {
	_, err := os.Stat(h.Dir)
	return !errors.Is(err, fs.ErrNotExist)
}

// awaitEnd waits until the folder is removed, or for long.
func (h *held) awaitEnd() {
	for deadline := time.Now().Add(patience); h.exists() && time.Now().Before(deadline); {
		time.Sleep(pause)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
