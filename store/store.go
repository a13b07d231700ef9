// Package store keeps sealed files outside the database: whole ciphertexts, each under a random key that a row names.
//
//	files := store.Dir{Path: "/srv/app/storage"}
//	key := store.NewKey()
//	err := files.Put(ctx, key, sealed)
//	sealed, err = files.Get(ctx, key, 64<<20)
//
// A store knows nothing of encryption: it gives back the bytes that it was given, and what opens them notices any other.
// Objects are held in memory whole, because a sealed file delivers nothing before its last byte has been checked.
//
// # Stores
//
//	store.Dir                    a directory, laid out as Active Storage's disk service lays it out
//	store/s3store                a bucket of Amazon S3 or of a server that speaks its protocol (a module of its own)
//	store/storetest.Memory       a map, for tests
//
// Another one has three methods, and store/storetest tells whether they hold what [Store] promises.
//
// # Order of writes
//
// An object never changes. A row gets a new file so: Put under a [NewKey], then the statement that sets the row's reference
// to that key, and last Delete of the object that the row named before. A program that is killed in between leaves an object
// that no row names, and never a row whose object is missing or sealed under another data key.
package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/rowseal/rowseal/internal/errs"
)

// Store keeps objects by key. All methods are safe for concurrent use, by any number of processes.
//
// An error matches one of the sentinels below with errors.Is, or is the ctx's error: context.Canceled or
// context.DeadlineExceeded. It names the operation, the key and the place, and never has content in it.
type Store interface {
	// Put stores data, which may be empty, under a key that is free. When it returns nil, the object outlives the process and
	// a power cut, and every Get finds it whole. A key that is taken is ErrExists, even if the content is the same, and its
	// object stays as it is; another error may leave the object stored or not, never a part of it. data is neither changed nor
	// kept.
	Put(ctx context.Context, key string, data []byte) error

	// Get returns the object, which belongs to the caller. A key with no object is ErrNotFound. An object of more than limit
	// bytes is a *TooLargeError, before it has been read or memory taken for it. With an error there is no data.
	Get(ctx context.Context, key string, limit int64) ([]byte, error)

	// Delete removes the object. A key with no object is no error.
	Delete(ctx context.Context, key string) error
}

// The errors of every store.
var (
	// ErrNotFound: there is no object under the key. A store that cannot be reached or that may not tell is another error.
	ErrNotFound = errors.New("no such object")
	// ErrExists: the key is taken. With NewKey that does not happen by chance.
	ErrExists = errors.New("the key is taken, and objects are never overwritten")
	// ErrTooLarge is matched by *TooLargeError.
	ErrTooLarge = errs.ErrTooLarge
	// ErrInvalidKey: the text is not a key; see CheckKey. Nothing was asked of the store.
	ErrInvalidKey = errors.New("invalid key")
	// ErrAccessDenied: the process or its credentials lack the right.
	ErrAccessDenied = errors.New("access denied")
	// ErrUnavailable: the store could not do it, now or as it is set up: no space, no network, no such bucket.
	ErrUnavailable = errors.New("unavailable")
)

// TooLargeError says how large an object is that is larger than Get's limit. It matches ErrTooLarge.
type TooLargeError struct {
	Size  int64 // bytes; -1: the store did not tell
	Limit int64 // bytes
}

func (e *TooLargeError) Error() string {
	if e.Size < 0 {
		return fmt.Sprintf("the object has more than the %d bytes allowed; raise the limit if files may be that large", e.Limit)
	}
	return fmt.Sprintf("the object has %d bytes, and %d are allowed; raise the limit if files may be that large", e.Size, e.Limit)
}

// Unwrap returns ErrTooLarge.
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }
