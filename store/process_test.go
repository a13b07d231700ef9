package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// This file runs the test binary as other processes, which are killed while they put objects.

const (
	childEnv  = "ROWSEAL_STORE_TEST_DIR"     // the directory to put objects in
	killAtEnv = "ROWSEAL_STORE_TEST_KILL_AT" // the call of the disk at which the process kills itself; "": none
	keyEnv    = "ROWSEAL_STORE_TEST_KEY"     // the one key to put; "": new ones without end
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(Dir{Path: dir}); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child prints the key of each object after Put has returned.
func child(s Dir) error {
	if at, err := strconv.Atoi(os.Getenv(killAtEnv)); err == nil {
		s.disk = &deadlyDisk{at: at}
	}
	for only := os.Getenv(keyEnv); ; {
		key := only
		if key == "" {
			key = NewKey()
		}
		if err := s.Put(context.Background(), key, contentOf(key)); err != nil {
			return err
		}
		fmt.Println(key)
		if only != "" {
			return nil
		}
	}
}

// contentOf is what the children put under a key: large enough for a write of it to be interrupted.
func contentOf(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return bytes.Repeat(sum[:], 1<<20/len(sum))
}

// deadlyDisk kills its process at a call: at an odd number in the midst or in front of it, at an even one behind it.
type deadlyDisk struct{ n, at int }

func (d *deadlyDisk) step() {
	if d.n++; d.n == d.at {
		self, _ := os.FindProcess(os.Getpid())
		self.Kill()
		select {} // until it takes effect
	}
}

func (d *deadlyDisk) write(f *os.File, data []byte) error {
	if _, err := f.Write(data[:len(data)/2]); err != nil {
		return err
	}
	d.step()
	defer d.step()
	_, err := f.Write(data[len(data)/2:])
	return err
}

func (d *deadlyDisk) sync(f *os.File) error {
	d.step()
	defer d.step()
	return f.Sync()
}

func (d *deadlyDisk) link(root *os.Root, from, to string) error {
	d.step()
	defer d.step()
	return root.Link(from, to)
}

func TestAProcessKilledAtAnyStepOfAPutLeavesAWholeObjectOrNone(t *testing.T) {
	const linked = 6 // the step behind the link
	steps := 2 * len(wanted("write", "sync content", "link", "sync folder", "sync folder", "sync folder"))
	for at := 1; at <= steps+1; at++ {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			s, key := Dir{Path: t.TempDir()}, NewKey()
			c, out := startChild(t, s.Path, killAtEnv+"="+strconv.Itoa(at), keyEnv+"="+key)
			if c == nil {
				return
			}
			reported, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Wait(); (err == nil) != (at > steps) || strings.HasPrefix(string(reported), "error") {
				t.Fatalf("the child was to be killed at %d of %d steps: %v, %q", at, steps, err, reported)
			}

			got, err := s.Get(t.Context(), key, 1<<30)
			if at < linked && !errors.Is(err, ErrNotFound) {
				t.Errorf("%d bytes and %v, want ErrNotFound", len(got), err)
			}
			if at >= linked && !bytes.Equal(got, contentOf(key)) {
				t.Errorf("%d bytes and %v, want the object", len(got), err)
			}
			checkDir(t, s, nil)
			if err := s.Put(t.Context(), key, contentOf(key)); (err == nil) != (at < linked) {
				t.Errorf("the next Put: %v", err)
			}
		})
	}
}

func TestProcessesKilledAtAnyMomentLeaveWholeObjectsAndEachThatWasReported(t *testing.T) {
	s := Dir{Path: t.TempDir()}
	var mu sync.Mutex
	var reported []string
	var wg sync.WaitGroup
	for range times(2, 4) {
		wg.Go(func() {
			for range times(6, 200) {
				keys := killedChild(t, s.Path)
				mu.Lock()
				reported = append(reported, keys...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(reported) == 0 {
		t.Error("no child was alive long enough to put an object")
	}
	t.Logf("%d objects reported", len(reported))
	checkDir(t, s, reported)
}

// checkDir holds all files of a directory to what the children put, and looks for each key that they reported.
func checkDir(t *testing.T, s Dir, reported []string) {
	t.Helper()
	for _, file := range filesBelow(t, s.Path, "") {
		key := filepath.Base(file)
		if strings.HasPrefix(key, temporary) {
			continue
		}
		if got, err := s.Get(t.Context(), key, 1<<30); err != nil || !bytes.Equal(got, contentOf(key)) {
			t.Errorf("half an object: %d bytes, %v", len(got), err)
		}
	}
	for _, key := range reported {
		if got, err := s.Get(t.Context(), key, 1<<30); err != nil || !bytes.Equal(got, contentOf(key)) {
			t.Errorf("of a reported object %d bytes are left, %v", len(got), err)
		}
	}
}

// killedChild returns the keys that a child reported before it was killed at a random moment.
func killedChild(t *testing.T, dir string) (keys []string) {
	c, out := startChild(t, dir)
	if c == nil {
		return nil
	}
	lines := bufio.NewReader(out)
	lines.Peek(1) // the first object is there
	go func() {
		time.Sleep(rand.N(20 * time.Millisecond))
		c.Process.Kill()
	}()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // the last line may not be whole
		}
		if text, failed := strings.CutPrefix(line, "error "); failed {
			t.Errorf("a child: %s", text)
			break
		}
		keys = append(keys, strings.TrimSuffix(line, "\n"))
	}
	c.Wait() // killed: the error says so
	return keys
}

func startChild(t *testing.T, dir string, env ...string) (*exec.Cmd, io.Reader) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(append(os.Environ(), childEnv+"="+dir), env...)
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
