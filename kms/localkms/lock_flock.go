//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package localkms

import (
	"errors"
	"os"
	"syscall"
)

const lockRemedy = ""

// tryLock takes an flock, which the system gives back when the process ends, however it ends. The file itself stays: to remove
// it would let two processes hold locks on two files of one name.
func tryLock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
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
