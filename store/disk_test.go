package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// watchedDisk notes each call and what is on the disk at that moment, then lets it through. Call number fails, if not 0, fails.
type watchedDisk struct {
	t     *testing.T
	dir   string
	calls []string
	fails int
	with  error
}

func (d *watchedDisk) note(format string, a ...any) error {
	d.calls = append(d.calls, fmt.Sprintf(format, a...))
	if len(d.calls) == d.fails {
		return d.with
	}
	return nil
}

func (d *watchedDisk) write(f *os.File, data []byte) error {
	if err := d.note("write %d bytes", len(data)); err != nil {
		_, half := f.Write(data[:len(data)/2]) // as a full disk does it
		return errors.Join(err, half)
	}
	return osDisk{}.write(f, data)
}

func (d *watchedDisk) sync(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		d.t.Error(err)
	}
	if !info.IsDir() {
		return errors.Join(d.note("sync %d bytes", info.Size()), f.Sync())
	}
	rel, err := filepath.Rel(d.dir, f.Name())
	if err != nil {
		d.t.Error(err)
	}
	entries, err := os.ReadDir(f.Name())
	if err != nil {
		d.t.Error(err)
	}
	call := "sync folder " + filepath.ToSlash(rel) + ":"
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporary) {
			call += " " + e.Name()
		}
	}
	return errors.Join(d.note("%s", call), f.Sync())
}

func (d *watchedDisk) link(root *os.Root, from, to string) error {
	if err := d.note("link %s", to); err != nil {
		return err
	}
	return osDisk{}.link(root, from, to)
}

// wanted leaves out what Windows does not do.
func wanted(calls ...string) []string {
	if runtime.GOOS == "windows" {
		calls = slices.DeleteFunc(calls, func(c string) bool { return strings.HasPrefix(c, "sync folder") })
	}
	return calls
}

func (d *watchedDisk) want(what string, calls ...string) {
	d.t.Helper()
	if calls = wanted(calls...); !slices.Equal(d.calls, calls) {
		d.t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(d.calls, "\n"), strings.Join(calls, "\n"))
	}
	d.calls = nil
}

const someKey = "rg27wufiakeyw65qzsy068mu6h1c"

func TestContentIsSyncedBeforeItsNameAndTheNameBeforePutReturns(t *testing.T) {
	d := &watchedDisk{t: t, dir: t.TempDir()}
	s := Dir{Path: d.dir, disk: d}
	if err := s.Put(t.Context(), someKey, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	d.want("the first Put",
		"write 1000 bytes",
		"sync 1000 bytes",
		"link rg/27/"+someKey,
		"sync folder rg/27: "+someKey,
		"sync folder rg: 27",
		"sync folder .: rg",
	)
	if err := s.Put(t.Context(), "rg27", nil); err != nil {
		t.Fatal(err)
	}
	d.want("a Put beside it, whose folders another process may just have made",
		"write 0 bytes",
		"sync 0 bytes",
		"link rg/27/rg27",
		"sync folder rg/27: rg27 "+someKey,
		"sync folder rg: 27",
		"sync folder .: rg",
	)
	if err := s.Delete(t.Context(), someKey); err != nil {
		t.Fatal(err)
	}
	d.want("Delete", "sync folder rg/27: rg27")
}

func TestAFailingDiskLeavesNoHalfObject(t *testing.T) {
	data := bytes.Repeat([]byte("sealed"), 1000)
	for n, call := range wanted("write", "sync content", "link", "sync folder KEY[0:2]/KEY[2:4]", "sync folder KEY[0:2]", "sync folder .") {
		t.Run(call, func(t *testing.T) {
			d := &watchedDisk{t: t, dir: t.TempDir(), fails: n + 1, with: errors.New("input/output error")}
			s := Dir{Path: d.dir, disk: d}
			err := s.Put(t.Context(), someKey, data)
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "input/output error") {
				t.Errorf("Put: %v", err)
			}
			got, err := s.Get(t.Context(), someKey, 1<<20)
			if linked := n+1 > 3; linked && !bytes.Equal(got, data) {
				t.Errorf("after the link: %d bytes, %v", len(got), err)
			} else if !linked && !errors.Is(err, ErrNotFound) {
				t.Errorf("before the link: %d bytes, %v", len(got), err)
			}
			if left := filesBelow(t, d.dir, temporary); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestAFailedDeleteSaysSo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no call that syncs a folder")
	}
	d := &watchedDisk{t: t, dir: t.TempDir()}
	s := Dir{Path: d.dir, disk: d}
	if err := s.Put(t.Context(), someKey, nil); err != nil {
		t.Fatal(err)
	}
	d.fails, d.with = len(d.calls)+1, syscall.EIO
	if err := s.Delete(t.Context(), someKey); !errors.Is(err, ErrUnavailable) || !errors.Is(err, syscall.EIO) {
		t.Errorf("Delete: %v", err)
	}
}

func TestErrorsOfTheDiskMatchASentinelAndSayWhatToDo(t *testing.T) {
	for cause, want := range map[error]struct {
		is   error
		text string
	}{
		syscall.ENOSPC:          {ErrUnavailable, "no space left on device: unavailable"},
		fs.ErrPermission:        {ErrAccessDenied, "hard links, which the file system must have: permission denied: access denied"},
		errors.ErrUnsupported:   {ErrUnavailable, "hard links, which the file system must have: unsupported operation: unavailable"},
		errors.New("timed out"): {ErrUnavailable, "timed out: unavailable"},
		// of a temporary file that someone cleaned away
		&os.LinkError{Op: "linkat", Old: "a", New: "b", Err: fs.ErrNotExist}: {ErrUnavailable, "linkat a b: file does not exist: unavailable"},
	} {
		d := &watchedDisk{t: t, dir: t.TempDir(), fails: 3, with: cause} // 3: link
		err := Dir{Path: d.dir, disk: d}.Put(t.Context(), someKey, nil)
		text := fmt.Sprintf("store: put %s in %q: %s", someKey, d.dir, want.text)
		if !errors.Is(err, want.is) || !errors.Is(err, cause) || err.Error() != text {
			t.Errorf("%v\nwant\n%s", err, text)
		}
		for _, other := range []error{ErrNotFound, ErrExists, ErrAccessDenied, ErrUnavailable} {
			if errors.Is(err, other) && other != want.is {
				t.Errorf("%v matches %q too", err, other)
			}
		}
	}
}

// filesBelow returns the paths of the files whose names begin so.
func filesBelow(t *testing.T, dir, prefix string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}
