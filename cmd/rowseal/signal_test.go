//go:build darwin || linux

package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// withKey is a command line with a key directory of its own, in which the key demo is, and a working directory of its own.
func withKey(t *testing.T, args ...string) (cmd *exec.Cmd, keys string) {
	t.Helper()
	keys = filepath.Join(t.TempDir(), "keys")
	t.Setenv("ROWSEAL_LOCAL_KEYS", keys)
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	if out, err := exec.Command("rowseal", "keys", "create", "demo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd = exec.Command("rowseal", args...)
	cmd.Dir = t.TempDir()
	return cmd, keys
}

// lockKeys does what another process does while it changes keys.
func lockKeys(t *testing.T, keys string) {
	t.Helper()
	lock, err := os.Open(filepath.Join(keys, ".lock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestSignalsEndTheWaitForTheLock: while another process changes keys, a change waits, says so, and can be given up.
func TestSignalsEndTheWaitForTheLock(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			cmd, keys := withKey(t, "keys", "rotate", "demo")
			lockKeys(t, keys)
			before := readFile(t, filepath.Join(keys, "demo.json"))
			pipe, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stderr := bufio.NewReader(pipe)
			line, _ := stderr.ReadString('\n')
			if line != "waiting for another process that is changing local keys; Ctrl-C ends the wait\n" {
				t.Errorf("standard error begins with %q", line)
			}
			cmd.Process.Signal(signal)
			rest, _ := io.ReadAll(stderr)
			cmd.Wait()
			told := strings.HasPrefix(string(rest), "error: interrupted: ") && strings.HasSuffix(string(rest), "context canceled\n")
			if code := cmd.ProcessState.ExitCode(); code != 1 || !told { // not that the lock is held: that is the end of a full wait
				t.Errorf("exit code %d, %q", code, rest)
			}
			if !bytes.Equal(readFile(t, filepath.Join(keys, "demo.json")), before) {
				t.Error("the key was changed")
			}
		})
	}
}

// TestAReaderThatWentAwayIsTold: what a command did stands on standard error when nobody reads its standard output.
func TestAReaderThatWentAwayIsTold(t *testing.T) {
	for _, tc := range []struct{ args, begins, ends string }{
		{"keys rotate demo", "error: local/demo now wraps with version 2; earlier ones still open: that was done, ", "broken pipe\n"},
		{"demo", "error: demo, step 1 (A master key and a table): ", "broken pipe; what was made so far stays in the directory rowseal-demo\n"},
	} {
		t.Run(tc.args, func(t *testing.T) {
			cmd, _ := withKey(t, strings.Fields(tc.args)...)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			defer w.Close()
			var stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = w, &stderr
			cmd.Run()
			got := stderr.String()
			if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.HasPrefix(got, tc.begins) || !strings.HasSuffix(got, tc.ends) {
				t.Errorf("exit code %d, %q", code, got)
			}
		})
	}
}
