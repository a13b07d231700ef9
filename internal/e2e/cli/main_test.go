// Package cli tests the command line against key services: a real Vault, and AWS KMS's protocol in this process.
//
// The tests build the program, which the go command's cache of test results does not see: use -count=1 after a change of it.
package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var rowseal string // the program

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "rowseal")
	if err == nil {
		rowseal = filepath.Join(dir, "rowseal")
		err = build(rowseal)
	}
	code := 1
	if err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(to string) error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", to, ".")
	cmd.Dir = "../../../cmd/rowseal"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// shell is a place to run the program in, which has its own directory and environment.
type shell struct {
	dir string
	env []string
}

// newShell returns one without anything of the machine's own environment but the PATH, on which the program is.
func newShell(t *testing.T, env ...string) shell {
	t.Helper()
	home := t.TempDir()
	path := filepath.Dir(rowseal) + string(os.PathListSeparator) + os.Getenv("PATH")
	return shell{home, append([]string{"HOME=" + home, "PATH=" + path}, env...)}
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
}

func (s shell) rowseal(t *testing.T, args ...string) result {
	t.Helper()
	return s.run(t, rowseal, args...)
}

func (s shell) run(t *testing.T, program string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ok fails the test unless the program did what it should.
func (r result) ok(t *testing.T) string {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	return r.stdout
}

// fails expects an exit code of 1, these words on standard error, and nothing on standard output.
func (r result) fails(t *testing.T, words ...string) {
	t.Helper()
	if r.code != 1 || r.stdout != "" {
		t.Errorf("exit code %d, %q", r.code, r.stdout)
	}
	contains(t, r.stderr, words...)
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

// answers are the lines of keys check, by their names.
func (r result) answers() map[string]string {
	answers := make(map[string]string)
	for line := range strings.Lines(r.stdout) {
		name, answer, _ := strings.Cut(line, "  ")
		answers[name] = strings.TrimSpace(answer)
	}
	return answers
}

// expect compares the beginnings of what keys check answers, and its exit code.
func (r result) expect(t *testing.T, code int, seal, open, context string) {
	t.Helper()
	got := r.answers()
	for name, want := range map[string]string{"seal": seal, "open": open, "context enforced": context} {
		if !strings.HasPrefix(got[name], want) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	if r.code != code {
		t.Errorf("exit code %d, want %d: %s", r.code, code, r.stderr)
	}
}
