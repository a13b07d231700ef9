package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/rowseal/rowseal/store"
	"github.com/rowseal/rowseal/store/storetest"
	"github.com/rowseal/rowseal/vectors"
)

const (
	key   = "rg27wufiakeyw65qzsy068mu6h1c"
	limit = 1 << 20
)

var sealed = []byte("a sealed file")

func TestDirKeepsThePromisesOfAStore(t *testing.T) {
	dir := t.TempDir()
	storetest.Run(t, func(*testing.T) store.Store { return store.Dir{Path: dir} })
	if left := files(t, dir); len(left) > 0 {
		t.Errorf("the suite left %q behind", left)
	}
}

func TestDirReadsWhatActiveStorageWrote(t *testing.T) {
	dir := t.TempDir()
	storage, err := fs.Sub(vectors.FS, "activestorage/storage")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, storage); err != nil {
		t.Fatal(err)
	}
	text, err := vectors.FS.ReadFile("activestorage/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected struct {
		Rows []struct {
			Attachments []struct {
				Key      string
				ByteSize int `json:"byte_size"`
			}
		}
	}
	if err := json.Unmarshal(text, &expected); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range expected.Rows {
		for _, a := range row.Attachments {
			n++
			if data, err := (store.Dir{Path: dir}).Get(t.Context(), a.Key, limit); err != nil || len(data) != a.ByteSize {
				t.Errorf("%d bytes of %d, %v", len(data), a.ByteSize, err)
			}
			if err := store.CheckKey(a.Key); err != nil || len(a.Key) != len(store.NewKey()) {
				t.Errorf("Active Storage's key %s is not of the form of ours: %v", a.Key, err)
			}
		}
	}
	if all := files(t, dir); n == 0 || n != len(all) {
		t.Errorf("%d attachments, and %d files", n, len(all))
	}
}

func TestDirWritesActiveStoragesLayoutForItsOwnerAlone(t *testing.T) {
	s := newDir(t)
	put(t, s, key, sealed)
	file := filepath.Join(s.Path, "rg", "27", key)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, sealed) {
		t.Errorf("%q, %v", got, err)
	}
	if runtime.GOOS == "windows" {
		return // which has no modes
	}
	for name, want := range map[string]fs.FileMode{
		file:                           0o600,
		filepath.Dir(file):             0o700 | fs.ModeDir,
		filepath.Join(s.Path, key[:2]): 0o700 | fs.ModeDir,
	} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

func TestDirSharesFoldersThatRailsMade(t *testing.T) {
	s := newDir(t)
	mkdir(t, filepath.Join(s.Path, "rg", "27"))
	put(t, s, key, sealed)
	wantObject(t, s, key)
}

func TestAMissingDirectoryIsNotAnEmptyStore(t *testing.T) {
	for _, s := range []store.Dir{{Path: filepath.Join(t.TempDir(), "not-mounted")}, {}} {
		wantErrors(t, s, store.ErrUnavailable)
		if _, err := os.Stat(s.Path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q was made: %v", s.Path, err)
		}
	}
}

func TestAFileInPlaceOfAFolderIsUnavailable(t *testing.T) {
	s := newDir(t)
	write(t, filepath.Join(s.Path, "rg"), sealed)
	wantErrors(t, s, store.ErrUnavailable)
	wantErrors(t, store.Dir{Path: filepath.Join(s.Path, "rg")}, store.ErrUnavailable)
}

func TestSymbolicLinksDoNotLeadOutside(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "27", key)
	mkdir(t, filepath.Dir(victim))
	write(t, victim, sealed)

	s := newDir(t)
	symlink(t, outside, filepath.Join(s.Path, "rg"))
	wantErrors(t, s, store.ErrUnavailable)
	if err := s.Put(t.Context(), "rg27other", sealed); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Put of another: %v", err)
	}

	s = newDir(t)
	mkdir(t, filepath.Join(s.Path, "rg", "27"))
	symlink(t, victim, filepath.Join(s.Path, "rg", "27", key))
	if got, err := s.Get(t.Context(), key, limit); got != nil || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Get: %q, %v", got, err)
	}
	if err := s.Put(t.Context(), key, nil); !errors.Is(err, store.ErrExists) {
		t.Errorf("Put: %v", err)
	}
	if err := s.Delete(t.Context(), key); err != nil { // the link itself
		t.Errorf("Delete: %v", err)
	}

	if got, err := os.ReadFile(victim); err != nil || !bytes.Equal(got, sealed) {
		t.Errorf("the file outside: %q, %v", got, err)
	}
	if all := files(t, outside); len(all) != 1 {
		t.Errorf("outside: %q", all)
	}
}

func TestTheDirectoryItselfMayBeALink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "current")
	symlink(t, t.TempDir(), link)
	s := store.Dir{Path: link}
	put(t, s, key, sealed)
	wantObject(t, s, key)
}

func TestOnlyRegularFilesAreObjects(t *testing.T) {
	s := newDir(t)
	mkdir(t, filepath.Join(s.Path, "rg", "27", key))
	if got, err := s.Get(t.Context(), key, limit); got != nil || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Get of a folder: %q, %v", got, err)
	}
	if err := s.Put(t.Context(), key, sealed); !errors.Is(err, store.ErrExists) {
		t.Errorf("Put in place of a folder: %v", err)
	}
}

// The file has a size that no machine's memory has, and takes no space on the disk.
func TestTheLimitIsHeldBeforeMemoryIsTaken(t *testing.T) {
	const size = 1 << 42
	s := newDir(t)
	put(t, s, key, nil)
	if err := os.Truncate(filepath.Join(s.Path, "rg", "27", key), size); err != nil {
		t.Skipf("the file system has no files of 4 TiB: %v", err)
	}
	data, err := s.Get(t.Context(), key, limit)
	var large *store.TooLargeError
	if !errors.As(err, &large) || *large != (store.TooLargeError{Size: size, Limit: limit}) || data != nil {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestWhatOthersMayNotReadIsAccessDenied(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("root and Windows may read files of any mode")
	}
	s := newDir(t)
	put(t, s, key, sealed)
	if err := os.Chmod(filepath.Join(s.Path, "rg"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(s.Path, "rg"), 0o700) })
	wantErrors(t, s, store.ErrAccessDenied)
}

func newDir(t *testing.T) store.Dir { return store.Dir{Path: t.TempDir()} }

func put(t *testing.T, s store.Store, key string, data []byte) {
	t.Helper()
	if err := s.Put(t.Context(), key, data); err != nil {
		t.Fatal(err)
	}
}

func wantObject(t *testing.T, s store.Store, key string) {
	t.Helper()
	if got, err := s.Get(t.Context(), key, limit); err != nil || !bytes.Equal(got, sealed) {
		t.Errorf("Get: %q, %v", got, err)
	}
}

// wantErrors wants the same error of every method: what cannot be reached is neither missing nor deleted.
func wantErrors(t *testing.T, s store.Store, want error) {
	t.Helper()
	if err := s.Put(t.Context(), key, sealed); !errors.Is(err, want) {
		t.Errorf("Put: %v, want %q", err, want)
	}
	if got, err := s.Get(t.Context(), key, limit); !errors.Is(err, want) || errors.Is(err, store.ErrNotFound) || got != nil {
		t.Errorf("Get: %q, %v, want %q", got, err, want)
	}
	if err := s.Delete(t.Context(), key); !errors.Is(err, want) {
		t.Errorf("Delete: %v, want %q", err, want)
	}
}

func mkdir(t *testing.T, name string) {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, to, name string) {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Skipf("no symbolic links here: %v", err)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
