package localkms

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// watchedDisk notes each call and what is on the disk at that moment, then lets it through. Call number fails, if not 0, fails.
type watchedDisk struct {
	t     *testing.T
	root  string // paths are noted relative to it
	calls []string
	fails int
}

var errDisk = errors.New("input/output error")

func (d *watchedDisk) note(format string, a ...any) error {
	d.calls = append(d.calls, fmt.Sprintf(format, a...))
	if len(d.calls) == d.fails {
		return errDisk
	}
	return nil
}

func (d *watchedDisk) rel(path string) string {
	rel, err := filepath.Rel(d.root, path)
	if err != nil {
		d.t.Error(err)
	}
	return filepath.ToSlash(rel)
}

// state is what a reader of the file would go by.
func (d *watchedDisk) state(path string) string {
	f, err := parseKeyFile(readFile(d.t, path), "users")
	if err != nil {
		return err.Error()
	}
	state := fmt.Sprintf("version %d of %d", f.Current, len(f.Versions))
	if f.Disabled {
		state += ", disabled"
	}
	return state
}

func (d *watchedDisk) sync(f *os.File) error {
	if !isDir(f.Name()) {
		return errors.Join(d.note("sync file: %s", d.state(f.Name())), f.Sync())
	}
	entries, err := os.ReadDir(f.Name())
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return errors.Join(err, d.note("sync directory %s: %s", d.rel(f.Name()), strings.Join(names, " ")), f.Sync())
}

func (d *watchedDisk) link(from, to string) error {
	if err := d.note("link %s: %s", d.rel(to), d.state(from)); err != nil {
		return err
	}
	return os.Link(from, to)
}

func (d *watchedDisk) rename(from, to string) error {
	if err := d.note("rename %s: %s", d.rel(to), d.state(from)); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func (d *watchedDisk) want(what string, calls ...string) {
	d.t.Helper()
	if runtime.GOOS == "windows" { // which syncs no directories
		calls = slices.DeleteFunc(calls, func(c string) bool { return strings.HasPrefix(c, "sync directory") })
	}
	if !slices.Equal(d.calls, calls) {
		d.t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(d.calls, "\n"), strings.Join(calls, "\n"))
	}
	d.calls = nil
}

func TestFileAndDirectoryAreSyncedBeforeAVersionIsUsed(t *testing.T) {
	d := &watchedDisk{t: t, root: t.TempDir()}
	s := Store{Dir: filepath.Join(d.root, "a", "keys"), disk: d}
	newKey(t, s, "users")
	d.want("Create",
		"sync directory .: a",
		"sync directory a: keys",
		"sync file: version 1 of 1, disabled",
		"link a/keys/users.json: version 1 of 1, disabled",
		"sync directory a/keys: users.json",
		"sync file: version 1 of 1",
		"rename a/keys/users.json: version 1 of 1",
		"sync directory a/keys: users.json",
	)
	rotate(t, s, "users")
	d.want("Rotate",
		"sync file: version 1 of 2",
		"rename a/keys/users.json: version 1 of 2",
		"sync directory a/keys: users.json",
		"sync file: version 2 of 2",
		"rename a/keys/users.json: version 2 of 2",
		"sync directory a/keys: users.json",
	)
}

func TestWhatTheDiskRefusesEndsAChange(t *testing.T) {
	d := &watchedDisk{t: t, root: t.TempDir()}
	s := Store{Dir: filepath.Join(d.root, "keys"), disk: d}
	newKey(t, s, "users")
	d.calls = nil
	rotate(t, s, "users")
	for d.fails = len(d.calls); d.fails > 0; d.fails-- {
		d.calls = nil
		if v, err := s.Rotate(t.Context(), "users"); v != 0 || !errors.Is(err, errDisk) || !errors.Is(err, kms.ErrUnavailable) {
			t.Errorf("call %d fails: version %d, %v", d.fails, v, err)
		}
		if len(d.calls) != d.fails {
			t.Errorf("call %d fails, and more follow:\n%s", d.fails, strings.Join(d.calls, "\n"))
		}
	}
}
