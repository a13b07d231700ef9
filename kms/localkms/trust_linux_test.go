package localkms

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// The application's user and group, and those of a stranger. They need no entry in /etc/passwd.
const appUser, appGroup, stranger = 41001, 41002, 41003

// ownedStore is a directory that belongs to uid, beneath one that every user can pass.
func ownedStore(t *testing.T, uid, gid int) Store {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to other users; run the tests as root to see this one")
	}
	parent, err := os.MkdirTemp("", "localkms")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(parent) })
	s := Store{Dir: filepath.Join(parent, "keys")}
	if err := os.Mkdir(s.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	chmod(t, parent, 0o755)
	chown(t, s.Dir, uid, gid)
	return s
}

func chown(t *testing.T, path string, uid, gid int) {
	t.Helper()
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}

// as runs f as another user, of the whole process: no test here runs in parallel.
func as(t *testing.T, uid int, f func()) {
	t.Helper()
	if err := syscall.Seteuid(uid); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Seteuid(0); err != nil {
			panic(err)
		}
	}()
	f()
}

func wantOwner(t *testing.T, path string, uid, gid int) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if u, g, known := owner(info); u != uid || g != gid || !known {
		t.Errorf("%s belongs to %d:%d, want %d:%d", path, u, g, uid, gid)
	}
}

func TestAFileOfAStrangerIsRefused(t *testing.T) {
	roots := ownedStore(t, 0, 0)
	key := newKey(t, roots, "users")
	chown(t, key.path, stranger, 0)
	refusedEverywhere(t, "to root", roots, "users", fmt.Sprintf("belongs to user %d", stranger))
	refusedEverywhere(t, "to root", roots, "users", "or in a container mount its directory, not the file alone")
	keys, err := roots.List()
	if err != nil || len(keys) != 1 || !errors.Is(keys[0].Err, kms.ErrAccessDenied) {
		t.Errorf("List: %v, %v", keys, err)
	}

	app := ownedStore(t, appUser, appGroup)
	key = newKey(t, app, "users")
	chown(t, key.path, stranger, 0)
	refusedEverywhere(t, "in the application's directory", app, "users", fmt.Sprintf("belongs to user %d", stranger))
}

func TestADirectoryOfAStrangerIsRefused(t *testing.T) {
	s := ownedStore(t, stranger, stranger)
	key := newKey(t, s, "users")
	chmod(t, s.Dir, 0o755)
	chown(t, key.path, appUser, appGroup)
	as(t, appUser, func() {
		refusedEverywhere(t, "file of the application", s, "users", fmt.Sprintf("directory %s belongs to user %d", s.Dir, stranger))
	})
}

func TestWhatRootChangesStaysTheApplications(t *testing.T) {
	s := ownedStore(t, appUser, appGroup)
	key := newKey(t, s, "made-by-root")
	wantOwner(t, filepath.Join(s.Dir, lockName), appUser, appGroup)
	wantOwner(t, key.path, appUser, appGroup)
	as(t, appUser, func() { newKey(t, s, "users") })
	chown(t, keyPath(s.Dir, "users"), appUser, stranger) // its own group, not the directory's
	for _, method := range []string{"Rotate", "Disable", "Enable"} {
		if err := everyMethod(s, "users")[method](); err != nil {
			t.Fatal(method, err)
		}
		wantOwner(t, keyPath(s.Dir, "users"), appUser, stranger)
	}
	as(t, appUser, func() {
		for _, name := range []string{"users", "made-by-root"} {
			encrypt(t, openKey(t, s, name), []byte("x"), row)
			rotate(t, s, name)
		}
	})
}

func TestRootKeepsItsOwnFileInTheApplicationsDirectory(t *testing.T) {
	s := ownedStore(t, 0, 0)
	key := newKey(t, s, "users")
	chown(t, s.Dir, appUser, appGroup)
	rotate(t, s, "users")
	wantOwner(t, key.path, 0, 0)
}

// The application's user may be an intruder, who hopes that root gives him a file of the system or makes one.
func TestRootGivesAwayNothingThatALockLeadsTo(t *testing.T) {
	s := ownedStore(t, appUser, appGroup)
	outside := t.TempDir()
	there, missing := filepath.Join(outside, "there"), filepath.Join(outside, "missing")
	writeFile(t, there, []byte("root's"))
	lock := filepath.Join(s.Dir, lockName)
	if err := os.Symlink(there, lock); err != nil {
		t.Fatal(err)
	}
	newKey(t, s, "users")
	wantOwner(t, there, 0, 0)
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(missing, lock); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Rotate(t.Context(), "users"); err == nil {
		t.Error("a lock that leads to nothing was taken")
	}
	if _, err := os.Lstat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the lock was made outside of the directory")
	}
}

func TestADeniedUserLearnsWhoMay(t *testing.T) {
	s := ownedStore(t, 0, 0)
	key := newKey(t, s, "users")
	refused := func(what, want string) {
		t.Helper()
		as(t, appUser, func() {
			err := openKey(t, s, "users").Encrypt(t.Context(), []kms.Item{{Data: []byte("x")}})[0].Err
			if !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nwant %q", what, err, want)
			}
		})
	}
	refused("a directory of root's", fmt.Sprintf("run this as the user that owns the keys, which user %d is not", appUser))
	chmod(t, s.Dir, 0o755)
	refused("a file of root's", fmt.Sprintf(
		"it belongs to user 0 and this process runs as user %d: run it as that user, or let root run: chown %d %s",
		appUser, appUser, key.path))
	chown(t, key.path, appUser, appGroup)
	as(t, appUser, func() {
		if _, err := s.Rotate(t.Context(), "users"); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("a change in root's directory: %v", err)
		}
	})
	chmod(t, key.path, 0)
	refused("a file without bits", "run: chmod u+rwX "+key.path)
}
