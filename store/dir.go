package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
)

// Dir is a Store in a directory of the local machine, laid out as Active Storage's disk service does it: the object KEY is the
// file Path/KEY[0:2]/KEY[2:4]/KEY (activestorage lib/active_storage/service/disk_service.rb), so a Rails app and a Go app can
// share it.
//
// Path must exist: a mistyped path, or a disk that is not mounted, is an error and not an empty store. Below it Dir makes
// folders with mode 0700 and files with mode 0600, so both apps must run as the same user.
//
// Put writes a temporary file in the object's folder, syncs it, gives it its name with a hard link, which never replaces a
// file, and syncs the folders up to Path. Folders are not removed. A process that is killed within Put leaves at most a file
// named .put-*, which no key leads to; such files may be deleted when they are old:
//
//	find PATH -name '.put-*' -mmin +60 -delete
//
// Active Storage itself writes in place: an object that Rails is just writing may be read in part, and will not open.
//
// Nothing outside of Path is touched, wherever symbolic links below it lead (os.Root); Path itself may be one. What is no
// regular file is not read. Windows has no call that syncs a folder.
type Dir struct {
	Path string

	disk disk // nil: the operating system's
}

var _ Store = Dir{}

// temporary begins the names of files that are being written. No key has a dot in it.
const temporary = ".put-"

// Put implements Store.
func (d Dir) Put(ctx context.Context, key string, data []byte) error {
	return d.do(ctx, "put", key, func(root *os.Root) error { return d.put(ctx, root, key, data) })
}

// Get implements Store.
func (d Dir) Get(ctx context.Context, key string, limit int64) (data []byte, err error) {
	err = d.do(ctx, "get", key, func(root *os.Root) error {
		data, err = get(root, fileOf(key), limit)
		return err
	})
	return data, err
}

// Delete implements Store. The file's name is gone from the disk when it returns; its blocks are not overwritten.
func (d Dir) Delete(ctx context.Context, key string) error {
	return d.do(ctx, "delete", key, func(root *os.Root) error {
		err := root.Remove(fileOf(key))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return d.syncFolder(root, path.Dir(fileOf(key)))
	})
}

// fileOf returns the path of an object's file, seen from the store's directory.
func fileOf(key string) string { return path.Join(key[0:2], key[2:4], key) }

func (d Dir) do(ctx context.Context, op, key string, f func(*os.Root) error) error {
	if err := CheckKey(key); err != nil {
		return fmt.Errorf("store: %s in %q: %w", op, d.Path, err)
	}
	err := ctx.Err()
	if err == nil {
		err = d.inRoot(f)
	}
	if err != nil {
		return fmt.Errorf("store: %s %s in %q: %w", op, key, d.Path, err)
	}
	return nil
}

func (d Dir) inRoot(f func(*os.Root) error) error {
	root, err := os.OpenRoot(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no such directory; mount it, or make it with mode 0700: %w", ErrUnavailable)
	}
	if err != nil {
		return sentinel(err)
	}
	defer root.Close()
	return sentinel(f(root))
}

func (d Dir) put(ctx context.Context, root *os.Root, key string, data []byte) error {
	file := fileOf(key)
	folder := path.Dir(file)
	if err := makeFolders(root, path.Dir(folder), folder); err != nil {
		return err
	}
	temp := path.Join(folder, temporary+NewKey())
	defer root.Remove(temp)
	if err := d.writeFile(root, temp, data); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := d.link(root, temp, file); err != nil {
		return err
	}
	// All of them, each time: another process may have made a folder a moment ago, and not have synced it yet.
	for _, name := range []string{folder, path.Dir(folder), "."} {
		if err := d.syncFolder(root, name); err != nil {
			return err
		}
	}
	return nil
}

func makeFolders(root *os.Root, names ...string) error {
	for _, name := range names {
		if err := root.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func (d Dir) writeFile(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := d.diskOrOS().write(f, data); err != nil {
		f.Close()
		return err
	}
	return errors.Join(d.diskOrOS().sync(f), f.Close())
}

func (d Dir) link(root *os.Root, from, to string) error {
	err := d.diskOrOS().link(root, from, to)
	switch {
	case errors.Is(err, fs.ErrExist):
		return ErrExists
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("hard links, which the file system must have: %w", err)
	default:
		return err
	}
}

// syncFolder makes the names in a folder durable. Windows has no such call, and needs none on NTFS, which logs names.
func (d Dir) syncFolder(root *os.Root, name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.diskOrOS().sync(f), f.Close())
}

func (d Dir) diskOrOS() disk {
	if d.disk == nil {
		return osDisk{}
	}
	return d.disk
}

func get(root *os.Root, name string, limit int64) ([]byte, error) {
	info, err := root.Lstat(name) // before opening: to open a pipe would wait for its writer
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound // deleted in the meantime
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readFile(f, limit)
}

func readFile(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &TooLargeError{Size: info.Size(), Limit: limit}
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, err
	}
	return data, nil
}

// sentinel gives an error of the operating system one of ours to match.
func sentinel(err error) error {
	if err == nil {
		return nil
	}
	for _, is := range []error{ErrNotFound, ErrExists, ErrTooLarge, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, is) {
			return err
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %w", err, ErrAccessDenied)
	}
	return fmt.Errorf("%w: %w", err, ErrUnavailable)
}
