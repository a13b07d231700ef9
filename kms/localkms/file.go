package localkms

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/rowseal/rowseal/kms"
)

// readKeyFile reads and checks a key's file. A symbolic link is followed, and what it leads to is checked.
func readKeyFile(path, name string) (*keyFile, error) {
	data, err := readPrivate(path, name)
	defer clear(data)
	if err != nil {
		return nil, err
	}
	f, err := parseKeyFile(data, name)
	if err != nil {
		return nil, unusable(path, err)
	}
	return f, nil
}

func readPrivate(path, name string) ([]byte, error) {
	dir, err := keyFileDir(path, name)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path) // before opening: to open a pipe would wait for its writer
	if err != nil {
		return nil, fileError(path, name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, unusable(path, errNotRegular)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fileError(path, name, err)
	}
	defer file.Close()
	if info, err = file.Stat(); err != nil {
		return nil, ioError(path, err)
	}
	if err := checkMode(path, info.Mode()); err != nil {
		return nil, err
	}
	if err := checkOwner(path, info, dir); err != nil {
		return nil, err
	}
	if info.Size() > maxFileSize {
		return nil, unusable(path, errTooLarge)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(file, data); err != nil {
		return data, ioError(path, err)
	}
	return data, nil
}

// keyFileDir checks the directory of a key's file, and if that is a symbolic link also the directory that the file is in. It
// describes the latter.
func keyFileDir(path, name string) (fs.FileInfo, error) {
	dir, err := statDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fileError(path, name, err)
	}
	if err != nil || !isLink(path) {
		return dir, err
	}
	file, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, fileError(path, name, err)
	}
	return statDir(filepath.Dir(file))
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

func fileError(path, name string, err error) error {
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return ioError(path, err)
	case isLink(path):
		return unusable(path, errDangling)
	}
	return fmt.Errorf("localkms: no file %s: create the key with \"rowseal keys create %s\", or set $ROWSEAL_LOCAL_KEYS to "+
		"the directory that has it: %w", path, name, kms.ErrKeyNotFound)
}

func ioError(path string, err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err // path is named already
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("localkms: %s: %w; %s: %w", path, err, deniedRemedy(path), kms.ErrAccessDenied)
	}
	return fmt.Errorf("localkms: %s: %w: %w", path, err, kms.ErrUnavailable)
}

// add writes a new file, and fails where the name is taken.
func (f *keyFile) add(d disk, path string) error { return f.write(d, path, d.link) }

// replace writes the file in place of the one that is there.
func (f *keyFile) replace(d disk, path string) error { return f.write(d, path, d.rename) }

// write puts the file on disk, whole or not at all, through a temporary file beside it that place gives its name. When
// it returns nil, both the content and the name have been synced. It is called with the directory locked.
func (f *keyFile) write(d disk, path string, place func(from, to string) error) error {
	data, err := f.encode()
	if err != nil {
		return fmt.Errorf("localkms: %s: %w: %w", path, err, kms.ErrInvalidRequest)
	}
	defer clear(data)
	if len(data) > maxFileSize {
		return fmt.Errorf("localkms: %s has no room for another version; create another key: %w", path, kms.ErrInvalidRequest)
	}
	if isLink(path) {
		return fmt.Errorf("localkms: %s is a symbolic link, which a change would replace; make the change in the directory that "+
			"it leads to: %w", path, kms.ErrInvalidRequest)
	}
	temporary, err := writeTemporary(d, path, data)
	if err != nil {
		return ioError(filepath.Dir(path), err)
	}
	defer os.Remove(temporary) // of a renamed file nothing is left to remove
	if err := place(temporary, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return existsError{f.Name, path}
		}
		return ioError(path, err)
	}
	if err := syncDir(d, filepath.Dir(path)); err != nil {
		return ioError(path, err)
	}
	return nil
}

// writeTemporary returns the name of a new file beside path with mode 0600 (os.CreateTemp) and data in it, synced. Its leading
// dot keeps it out of List, should a process be killed here. Root makes it the property of path's owner, or the directory's if
// path is new.
func writeTemporary(d disk, path string, data []byte) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", err
	}
	like := path
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		like = filepath.Dir(path)
	}
	_, err = f.Write(data)
	err = errors.Join(err, giveToOwnerOf(like, f), d.sync(f), f.Close())
	if err != nil {
		os.Remove(f.Name())
	}
	return f.Name(), err
}

// syncDir makes the names in a directory durable. Windows has no such call, and needs none on NTFS, which logs names.
func syncDir(d disk, dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.sync(f), f.Close())
}

// makeDir makes the directory and those above it that are missing, for their owner alone, each with its name on disk.
func makeDir(d disk, dir string) error {
	if isDir(dir) {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(d, parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !isDir(dir) { // another process may have made it in the meantime
		if errors.Is(err, fs.ErrExist) {
			return errNotDir(dir)
		}
		return ioError(dir, err)
	}
	if err := syncDir(d, parent); err != nil {
		return ioError(parent, err)
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
