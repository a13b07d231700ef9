package localkms

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rowseal/rowseal/kms"
)

const (
	lockName = ".lock"
	// A change under the lock takes a few synced writes: milliseconds, or seconds on a disk that is in trouble.
	lockTimeout = 30 * time.Second
	// acquire looks again after the least, then after twice as long each time, up to the most.
	leastLockPoll = 5 * time.Millisecond
	mostLockPoll  = 100 * time.Millisecond
)

// errHeld is what a tryLock returns while another process has the lock.
var errHeld = errors.New("lock held")

// locked calls change with the directory's lock held, against other processes and goroutines alike. Readers take no lock: a
// file is replaced whole.
func locked(ctx context.Context, dir string, change func() error) error {
	unlock, err := acquire(ctx, filepath.Join(dir, lockName), tryLock, lockTimeout)
	if err != nil {
		return err
	}
	return errors.Join(change(), unlock())
}

// acquire polls, because neither kind of lock can wait with a time limit. It ends when ctx does.
func acquire(
	ctx context.Context, path string, try func(path string) (unlock func() error, err error), limit time.Duration,
) (func() error, error) {
	deadline := time.Now().Add(limit)
	for poll := leastLockPoll; ; poll = min(2*poll, mostLockPoll) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("localkms: waiting for %s: %w", path, err)
		}
		unlock, err := try(path)
		switch {
		case err == nil:
			return unlock, nil
		case !errors.Is(err, errHeld):
			return nil, ioError(path, err)
		case time.Now().After(deadline):
			return nil, fmt.Errorf("localkms: %s is held by another process for more than %v; try again%s: %w",
				path, limit, lockRemedy, kms.ErrUnavailable)
		}
		select {
		case <-ctx.Done():
		case <-time.After(poll):
		}
	}
}

// tryExclusive locks by making the file, for systems without flock. A killed process leaves it behind.
func tryExclusive(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, errHeld
	}
	if err != nil {
		return nil, err
	}
	return func() error { return os.Remove(path) }, f.Close()
}
