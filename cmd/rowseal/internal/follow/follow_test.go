package follow_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rowseal/rowseal/cmd/rowseal/internal/follow"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// lines reads a file that grows, from its end or its beginning.
func lines(t *testing.T, path string, fromStart bool) func() string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of a test that waits for what does not come
	t.Cleanup(cancel)
	r, err := follow.Open(ctx, path, fromStart)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	b := bufio.NewReader(r)
	return func() string {
		t.Helper()
		line, err := b.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatIsAddedIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "before\n")
	fromEnd, fromStart := lines(t, path, false), lines(t, path, true)
	write(t, path, "hal")
	write(t, path, "f\nnext\n")
	want(t, fromEnd(), "half\n")
	want(t, fromEnd(), "next\n")
	want(t, fromStart(), "before\n")
	want(t, fromStart(), "half\n")
}

func TestRotationLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	next := lines(t, path, false) // it is not there yet
	for round := range 3 {
		write(t, path, "one\n")
		want(t, next(), "one\n")
		write(t, path, "last\n")
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		write(t, path+".old", "after it was renamed\n") // the writer did not know yet
		if round < 2 {
			want(t, next(), "last\n")
			want(t, next(), "after it was renamed\n")
		}
	}
	write(t, path, "new\n")
	want(t, next(), "last\n")
	want(t, next(), "after it was renamed\n")
	want(t, next(), "new\n")
	if err := os.Truncate(path, 0); err != nil { // copytruncate
		t.Fatal(err)
	}
	time.Sleep(time.Second) // so that it is seen to be shorter
	write(t, path, "x\n")
	want(t, next(), "x\n")
}

func TestItEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, err := follow.Open(ctx, filepath.Join(t.TempDir(), "log"), true)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	if _, err := follow.Open(ctx, string([]byte{0}), true); err == nil {
		t.Error("a name that no file can have is followed")
	}
}
