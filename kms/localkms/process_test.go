package localkms

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// This file runs the test binary as other processes, which change one key at once and are killed while they do.

const childEnv = "ROWSEAL_LOCALKMS_TEST_CHILD"

func TestMain(m *testing.M) {
	if rounds := os.Getenv(childEnv); rounds != "" {
		if err := child(os.Args[1], rounds); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child creates the key if it is the first to, then rotates it. It prints "created", and after each rotation the new version and
// something sealed under exactly that version.
func child(dir, rounds string) error {
	n, err := strconv.Atoi(rounds)
	if err != nil {
		return err
	}
	ctx, s := context.Background(), Store{Dir: dir}
	switch err := s.Create(ctx, "users"); {
	case err == nil:
		fmt.Println("created")
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	for range n {
		v, err := s.Rotate(ctx, "users")
		if err != nil {
			return err
		}
		f, err := readKeyFile(keyPath(dir, "users"), "users")
		if err != nil {
			return err
		}
		f.Current = v
		sealed, err := f.seal([]byte("data key"), nil)
		if err != nil {
			return err
		}
		fmt.Println(v, base64.StdEncoding.EncodeToString(sealed))
	}
	return nil
}

// reports is what the children have printed, in whole lines.
type reports struct {
	mu      sync.Mutex
	created int
	sealed  map[uint64][]byte // by version
	wrong   []string
}

func (r *reports) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	number, sealed, _ := strings.Cut(line, " ")
	v, numberErr := strconv.ParseUint(number, 10, 32)
	b, sealedErr := base64.StdEncoding.DecodeString(sealed)
	switch {
	case line == "created":
		r.created++
	case numberErr != nil || sealedErr != nil:
		r.wrong = append(r.wrong, line)
	case r.sealed[v] != nil:
		r.wrong = append(r.wrong, fmt.Sprintf("version %d was reported twice", v))
	default:
		r.sealed[v] = b
	}
}

// read adds the whole lines of a child's output; a killed one may end within a line.
func (r *reports) read(out io.Reader) {
	for b := bufio.NewReader(out); ; {
		line, err := b.ReadString('\n')
		if err != nil {
			return
		}
		r.add(strings.TrimSuffix(line, "\n"))
	}
}

// check holds the file to what was reported.
func (r *reports) check(t *testing.T, s Store) {
	t.Helper()
	for _, w := range r.wrong {
		t.Error(w)
	}
	key := openKey(t, s, "users")
	for v, sealed := range r.sealed {
		if uint64(versionOf(sealed)) != v {
			t.Errorf("version %d sealed as version %d", v, versionOf(sealed))
		}
		if opened, err := decrypt(key, sealed, nil); err != nil || string(opened) != "data key" {
			t.Errorf("version %d does not open what it sealed: %v", v, err)
		}
	}
	keys, err := s.List()
	if err != nil || len(keys) != 1 || keys[0].Err != nil {
		t.Fatalf("List: %+v, %v", keys, err)
	}
	newest := keys[0].Versions[len(keys[0].Versions)-1].Number
	if v := rotate(t, s, "users"); v != newest+1 {
		t.Errorf("the next rotation makes version %d after %d", v, newest)
	}
}

func startChild(t *testing.T, dir string, rounds int) (*exec.Cmd, io.Reader) {
	t.Helper()
	c := exec.Command(os.Args[0], dir)
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childEnv, rounds))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Error(err)
		return nil, nil
	}
	return c, out
}

// times returns short, or long with ROWSEAL_SOAK=1.
func times(short, long int) int {
	if os.Getenv("ROWSEAL_SOAK") == "1" {
		return long
	}
	return short
}

func TestProcessesThatRotateAtOnceLoseNoVersion(t *testing.T) {
	processes, rounds := times(4, 6), times(8, 150)
	s := newStore(t)
	r := &reports{sealed: make(map[uint64][]byte)}
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			c, out := startChild(t, s.Dir, rounds)
			if c == nil {
				return
			}
			r.read(out)
			if err := c.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r.created != 1 {
		t.Errorf("%d processes created the key", r.created)
	}
	if len(r.sealed) != processes*rounds {
		t.Errorf("%d versions reported, want %d", len(r.sealed), processes*rounds)
	}
	keys, err := s.List()
	if err != nil || len(keys) != 1 || keys[0].Current != uint32(1+processes*rounds) {
		t.Errorf("List: %+v, %v", keys, err)
	}
	r.check(t, s)
}

func TestProcessesKilledWhileTheyRotateLoseNothing(t *testing.T) {
	if lockRemedy != "" {
		t.Skip("without flock, a killed process leaves its lock behind, and a person must remove it")
	}
	s := newStore(t)
	newKey(t, s, "users")
	r := &reports{sealed: make(map[uint64][]byte)}
	var wg sync.WaitGroup
	for range times(3, 4) {
		wg.Go(func() {
			for range times(6, 150) {
				c, out := startChild(t, s.Dir, 1<<30)
				if c == nil {
					return
				}
				first := make(chan struct{})
				go killAfter(c, first)
				r.readTelling(out, first)
				c.Wait() // killed: the error says so
			}
		})
	}
	wg.Wait()
	if len(r.sealed) == 0 {
		t.Error("no child was alive long enough to rotate")
	}
	t.Logf("%d versions reported", len(r.sealed))
	r.check(t, s)
}

// killAfter kills a child at a random moment of the rotations that follow its first output.
func killAfter(c *exec.Cmd, first <-chan struct{}) {
	<-first
	time.Sleep(rand.N(50 * time.Millisecond))
	c.Process.Kill()
}

// readTelling is read, and closes first at the first output or at the end.
func (r *reports) readTelling(out io.Reader, first chan<- struct{}) {
	b := bufio.NewReader(out)
	_, _ = b.Peek(1)
	close(first)
	r.read(b)
}
