package localkms

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rowseal/rowseal/kms"
)

// Create makes a key with one version. A key that is there already is left alone, and the error matches fs.ErrExist too.
// A process killed here leaves no key or a disabled one.
func (s Store) Create(ctx context.Context, name string) error {
	dir, err := s.keyDir(name)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("localkms: create %s: %w", name, err)
	}
	d := s.diskOrOS()
	if err := makeDir(d, dir); err != nil {
		return err
	}
	if _, err := statDir(dir); err != nil {
		return err
	}
	return locked(ctx, dir, func() error {
		path := keyPath(dir, name)
		if err := checkAbsent(path, name); err != nil {
			return err
		}
		f := &keyFile{Format: format, Name: name, Current: 1, Versions: []version{newVersion(1)}}
		defer f.wipe()
		return f.create(func() error { return f.add(d, path) }, func() error { return f.replace(d, path) })
	})
}

// create adds the file disabled, until its name is on disk: what was wrapped under a key that a power cut takes away would be
// lost.
func (f *keyFile) create(add, replace func() error) error {
	f.Disabled = true
	if err := add(); err != nil {
		return err
	}
	f.Disabled = false
	return replace()
}

func checkAbsent(path, name string) error {
	f, err := readKeyFile(path, name)
	switch {
	case errors.Is(err, kms.ErrKeyNotFound):
		return nil
	case err != nil:
		return err
	}
	f.wipe()
	return existsError{name, path}
}

// existsError matches two sentinels without repeating what they say.
type existsError struct{ name, path string }

func (e existsError) Error() string {
	return fmt.Sprintf("localkms: the key is there already, in %s; to add a version: rowseal keys rotate %s", e.path, e.name)
}

func (e existsError) Unwrap() []error { return []error{fs.ErrExist, kms.ErrInvalidRequest} }

// Rotate adds a version, which seals from then on, and returns its number. Earlier versions stay and open what they sealed. A
// number is not used twice; a process killed here may leave one that never seals. A disabled key can be rotated and stays
// disabled.
func (s Store) Rotate(ctx context.Context, name string) (uint32, error) {
	var number uint32
	err := s.update(ctx, name, func(f *keyFile, write func() error) (err error) {
		number, err = f.rotate(write)
		return err
	})
	return number, err
}

// rotate writes the new version once before it is current: no process may seal under a version that a power cut could still
// take away.
func (f *keyFile) rotate(write func() error) (uint32, error) {
	newest := f.Versions[len(f.Versions)-1].Number
	if newest == math.MaxUint32 {
		return 0, fmt.Errorf("localkms: key %s has no version numbers left; create another key: %w", f.Name, kms.ErrInvalidRequest)
	}
	f.Versions = append(f.Versions, newVersion(newest+1))
	if err := write(); err != nil {
		return 0, err
	}
	f.Current = newest + 1
	if err := write(); err != nil {
		return 0, err
	}
	return f.Current, nil
}

// Disable makes the key refuse to seal and to open, from each process's next request on. Nothing is deleted.
func (s Store) Disable(ctx context.Context, name string) error { return s.setDisabled(ctx, name, true) }

// Enable undoes Disable.
func (s Store) Enable(ctx context.Context, name string) error { return s.setDisabled(ctx, name, false) }

func (s Store) setDisabled(ctx context.Context, name string, disabled bool) error {
	return s.update(ctx, name, func(f *keyFile, write func() error) error {
		if f.Disabled == disabled {
			return nil
		}
		f.Disabled = disabled
		return write()
	})
}

// update reads a key's file and lets change alter and write it, all under the directory's lock.
func (s Store) update(ctx context.Context, name string, change func(f *keyFile, write func() error) error) error {
	dir, err := s.keyDir(name)
	if err != nil {
		return err
	}
	path := keyPath(dir, name)
	if _, err := keyFileDir(path, name); err != nil {
		return err // no lock file in a directory that is not there or not to be trusted
	}
	return locked(ctx, dir, func() error {
		f, err := readKeyFile(path, name)
		if err != nil {
			return err
		}
		defer f.wipe()
		return change(f, func() error { return f.replace(s.diskOrOS(), path) })
	})
}

func newVersion(number uint32) version {
	key := make([]byte, masterKeySize)
	rand.Read(key) // never fails: crypto/rand ends the program instead
	return version{Number: number, Created: time.Now().UTC().Truncate(time.Second), Key: newMasterKey(key)}
}

// KeyInfo describes a key, without its key material.
type KeyInfo struct {
	Name     string
	File     string // path
	Disabled bool
	Current  uint32 // the version that seals
	Versions []VersionInfo
	Err      error // why the file cannot be used; then only Name and File are set
}

// ID returns the id for kms.Open.
func (k KeyInfo) ID() string { return idPrefix + k.Name }

// VersionInfo describes a version of a key.
type VersionInfo struct {
	Number  uint32
	Created time.Time
}

// List describes the keys in the order of their names. A file that cannot be used is listed with its error. A directory that
// does not exist has no keys.
func (s Store) List() ([]KeyInfo, error) {
	dir, err := s.Directory()
	if err != nil {
		return nil, err
	}
	if _, err := statDir(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, ioError(dir, err)
	}
	var keys []KeyInfo
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), extension)
		if ok && !strings.HasPrefix(name, ".") {
			keys = append(keys, describe(name, filepath.Join(dir, e.Name())))
		}
	}
	return keys, nil
}

func describe(name, path string) KeyInfo {
	info := KeyInfo{Name: name, File: path}
	if info.Err = checkName(name); info.Err != nil {
		return info
	}
	f, err := readKeyFile(path, name)
	if err != nil {
		info.Err = err
		return info
	}
	defer f.wipe()
	info.Disabled, info.Current = f.Disabled, f.Current
	for _, v := range f.Versions {
		info.Versions = append(info.Versions, VersionInfo{Number: v.Number, Created: v.Created})
	}
	return info
}
