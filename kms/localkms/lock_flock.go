//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package localkms

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const lockRemedy = ""

// tryLock takes an flock, which the system gives back when the process ends, however it ends. The file itself stays: to remove
// it would let two processes hold locks on two files of one name.
func tryLock(path string) (unlock func() error, err error) {
	f, err := openLock(path)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f.Close, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return nil, errHeld
	}
	return nil, err
}

// openLock makes the file if it must, and gives away only one that it has made: what another user has put under this name may
// be a link to any file of the system.
func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	if err := giveToOwnerOf(filepath.Dir(path), f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
