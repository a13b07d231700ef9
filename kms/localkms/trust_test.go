package localkms

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// refusedEverywhere holds every method to an error that says want.
func refusedEverywhere(t *testing.T, what string, s Store, name, want string) {
	t.Helper()
	for method, call := range everyMethod(s, name) {
		if err := call(); !errors.Is(err, kms.ErrAccessDenied) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s: %v\nwant %q", what, method, err, want)
		}
	}
}

func TestADirectoryThatOthersCanWriteToIsRefused(t *testing.T) {
	s := newStore(t)
	key := newKey(t, s, "users")
	if err := os.Remove(filepath.Join(s.Dir, lockName)); err != nil {
		t.Fatal(err)
	}
	before := readFile(t, key.path)
	for _, mode := range []fs.FileMode{0o720, 0o702, 0o770, 0o775, 0o777} {
		chmod(t, s.Dir, mode)
		for _, name := range []string{"users", "new"} {
			refusedEverywhere(t, mode.String(), s, name, "chmod 700 "+s.Dir)
		}
		if _, err := s.List(); !errors.Is(err, kms.ErrAccessDenied) {
			t.Errorf("%v: List: %v", mode, err)
		}
	}
	chmod(t, s.Dir, 0o777|fs.ModeSticky)
	refusedEverywhere(t, "sticky", s, "users", "use a directory of your own")

	chmod(t, s.Dir, 0o755)
	encrypt(t, key, []byte("x"), row)
	if entries, _ := os.ReadDir(s.Dir); len(entries) != 1 || string(readFile(t, key.path)) != string(before) {
		t.Errorf("something changed: %v", entries)
	}
}

func TestALinkIntoADirectoryThatOthersCanWriteToIsRefused(t *testing.T) {
	real, linked := newStore(t), newStore(t)
	if err := os.Symlink(newKey(t, real, "users").path, keyPath(linked.Dir, "users")); err != nil {
		t.Skip("this system makes no symbolic links here: ", err)
	}
	encrypt(t, openKey(t, linked, "users"), []byte("x"), row)
	chmod(t, real.Dir, 0o770)
	refusedEverywhere(t, "link", linked, "users", "chmod 700 "+real.Dir)
}
