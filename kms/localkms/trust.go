package localkms

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"syscall"

	"github.com/rowseal/rowseal/kms"
)

// statDir describes a directory that nobody but its owner can change, which this process has reason to trust. Where there is
// none, the error matches fs.ErrNotExist.
func statDir(dir string) (fs.FileInfo, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, syscall.ENOTDIR), err == nil && !info.IsDir():
		return nil, errNotDir(dir)
	case err != nil:
		return nil, ioError(dir, err)
	}
	if err := checkDirMode(dir, info.Mode()); err != nil {
		return nil, err
	}
	uid, _, known := owner(info)
	if self := os.Geteuid(); known && uid != 0 && uid != self && self != 0 {
		return nil, fmt.Errorf("localkms: directory %s belongs to user %d, who can put another key there, and this process runs as "+
			"user %d; run it as that user, or use a directory of your own: %w", dir, uid, self, kms.ErrAccessDenied)
	}
	return info, nil
}

func errNotDir(dir string) error {
	return fmt.Errorf("localkms: %s is not a directory; set $ROWSEAL_LOCAL_KEYS (or Store.Dir) to a directory: %w",
		dir, kms.ErrInvalidRequest)
}

// checkDirMode refuses a directory that others than its owner can write to. The sticky bit does not help: it keeps files from
// being replaced, not from being put there first.
func checkDirMode(dir string, mode fs.FileMode) error {
	if runtime.GOOS == "windows" || mode.Perm()&0o022 == 0 {
		return nil
	}
	remedy := "run: chmod 700 " + dir
	if mode&fs.ModeSticky != 0 {
		remedy = "it is meant to be shared: use a directory of your own, with mode 0700"
	}
	return fmt.Errorf("localkms: directory %s has mode %#o, so that others may put another key there; %s: %w",
		dir, mode.Perm(), remedy, kms.ErrAccessDenied)
}

// checkMode refuses a file that others than its owner may use. Windows has no such bits: there the directory's ACL decides.
func checkMode(path string, mode fs.FileMode) error {
	if runtime.GOOS == "windows" || mode.Perm()&0o077 == 0 {
		return nil
	}
	return fmt.Errorf("localkms: %s has mode %#o, so that others may use the key; run: chmod 600 %s: %w",
		path, mode.Perm(), path, kms.ErrAccessDenied)
}

// checkOwner refuses a file of somebody who can change it and could not have put it there. The owner of the directory could:
// for any process but root's, statDir has made sure that this is the process's user or root.
func checkOwner(path string, file, dir fs.FileInfo) error {
	uid, _, known := owner(file)
	dirUID, _, _ := owner(dir)
	self := os.Geteuid()
	if !known || uid == 0 || uid == self || uid == dirUID {
		return nil
	}
	remedy := fmt.Sprintf("let root run: chown %d %s", self, path)
	if self == 0 {
		remedy = fmt.Sprintf("run: chown 0 %s, or in a container mount its directory, not the file alone", path)
	}
	return fmt.Errorf("localkms: %s belongs to user %d, who can change the key, and this process runs as user %d; "+
		"if the key is the right one, %s: %w", path, uid, self, remedy, kms.ErrAccessDenied)
}

// giveToOwnerOf lets root leave a new file to the owner and group of another, so that the application can still use it.
func giveToOwnerOf(path string, f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if uid, gid, known := owner(info); known {
		return f.Chown(uid, gid)
	}
	return nil
}

// deniedRemedy says who may do what this process may not. It advises chown for files only: a directory may hold other things.
func deniedRemedy(path string) string {
	self := os.Geteuid()
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Sprintf("run this as the user that owns the keys, which user %d is not", self)
	}
	uid, _, known := owner(info)
	switch {
	case !known:
		return "run this as the user that owns the keys"
	case uid == self:
		return fmt.Sprintf("run: chmod u+rwX %s", path)
	case info.IsDir():
		return fmt.Sprintf("it belongs to user %d and this process runs as user %d: run it as that user", uid, self)
	default:
		return fmt.Sprintf("it belongs to user %d and this process runs as user %d: run it as that user, or let root run: chown %d %s",
			uid, self, self, path)
	}
}
