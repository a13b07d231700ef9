//go:build unix

package store_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rowseal/rowseal/store"
)

// To open a pipe for reading waits until someone writes, with no regard to any ctx.
func TestAPipeDoesNotHoldUpGet(t *testing.T) {
	s := newDir(t)
	mkdir(t, filepath.Join(s.Path, "rg", "27"))
	if err := syscall.Mkfifo(filepath.Join(s.Path, "rg", "27", key), 0o600); err != nil {
		t.Skipf("the file system has no pipes: %v", err)
	}
	if got, err := s.Get(t.Context(), key, limit); got != nil || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("%q, %v", got, err)
	}
}
