package activestorage

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/rowseal/rowseal/internal/errs"
	"github.com/rowseal/rowseal/store"
)

// The errors of this package, beside those of the store (store.ErrNotFound, store.ErrTooLarge and their siblings), the
// box and the database, which pass through.
var (
	// ErrDecryptionFailed: the object is not what was sealed, or not under this key. It is rowseal.ErrDecryptionFailed.
	ErrDecryptionFailed = errs.ErrDecryptionFailed
	// ErrNotEncrypted: the object does not open, and the blob's metadata does not say that it is encrypted. Rails may
	// have stored it in plain: see Options.Migrating. It comes with ErrDecryptionFailed.
	ErrNotEncrypted = errors.New("not marked as encrypted")
	// ErrConflict: a row is no longer as it was loaded, or does not have the data key of the box. Roll back, load again
	// and try again; a new key is saved before files are attached.
	ErrConflict = errors.New("changed by someone else since it was loaded")
)

// Box seals and opens whole files: rowseal's Model.Box returns one. It must be ready, with its key opened, because its
// methods take no ctx. What does not open is ErrDecryptionFailed; with an error there are no bytes.
//
// A Box whose key is in a row of the database tells where by the method KeyColumn of *rowseal.FileBox, which Attach,
// Replace and Reseal call. In a Box of your own that wraps one, embed *rowseal.FileBox itself, which keeps the method;
// without it they cannot notice that the row has another key by now.
type Box interface {
	Seal(r io.Reader) ([]byte, error)
	Open(ciphertext []byte) ([]byte, error)
}

// DB is what rows are read from: *sql.DB, *sql.Conn, *sql.Tx.
type DB interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Tx is a transaction, as a rule a *sql.Tx. Its Commit and Rollback are never called: they are here so that *sql.DB
// does not fit, whose statements would be committed one by one.
type Tx interface {
	DB
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	Commit() error
	Rollback() error
}

// DefaultLimit is the largest object in bytes where Options.Limit is 0: a file of 64 MiB, which is also where rowseal's
// Options.FileLimit ends, and what a box adds to it.
const DefaultLimit = 64<<20 + 64

// Options of a Storage. The zero value is right for most.
type Options struct {
	// Limit is the largest object in bytes, read or written; 0 is DefaultLimit. An object is a little larger than its
	// file, which rowseal's Options.FileLimit counts: by 28 bytes with Lockbox's AES-GCM, 40 with its XChaCha20-Poly1305,
	// and by the padding. Writing takes about twice as much memory, and reading too. What is larger is
	// store.ErrTooLarge.
	Limit int64

	// Others are the app's further services by their names. Blobs that name them are read, replaced and purged there;
	// what is written goes to the Storage's own service, so Reseal moves files.
	Others map[string]store.Store

	// Migrating reads a file that the box does not open as it is, if its metadata does not say that it is encrypted,
	// and lets Reseal encrypt it (the gem's `migrating: true`). Nothing authenticates such a file. Who can write to the
	// database and the store can then have a file of his own delivered, and one without the mark, as Lockbox made them
	// before version 0.6.0, is delivered sealed if the box has the wrong key. So set it for the time of the move alone.
	Migrating bool

	// NewID makes the ids of new rows. nil leaves that to the database: autoincrement, or a default such as
	// PostgreSQL's gen_random_uuid(). MySQL and SQLite need it where ids are UUIDs that the app makes.
	NewID func() string

	// Now is the clock of created_at; nil is time.Now.
	Now func() time.Time
}

// Storage is one of an app's Active Storage services, and the rows that name its objects. It is safe for concurrent
// use.
type Storage struct {
	service string
	stores  map[string]store.Store // by service name
	dialect Dialect
	opts    Options
}

// New returns the Storage that writes to st, which the Rails app calls service (config/storage.yml): "local", "amazon".
func New(service string, st store.Store, dialect Dialect, opts *Options) (*Storage, error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Storage{service: service, stores: map[string]store.Store{}, dialect: dialect, opts: *opts}
	maps.Copy(s.stores, opts.Others)
	s.stores[service] = st
	s.opts.Limit = cmp.Or(opts.Limit, DefaultLimit)
	if opts.Now == nil {
		s.opts.Now = time.Now
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Storage) check() error {
	if err := s.dialect.check(); err != nil {
		return err
	}
	if s.opts.Limit < 0 {
		return fmt.Errorf("activestorage: a limit of %d bytes: want a positive number, or 0 for %d", s.opts.Limit, DefaultLimit)
	}
	for service, st := range s.stores {
		if service == "" {
			return errors.New("activestorage: a service without a name: use the one in the Rails app's config/storage.yml")
		}
		if st == nil {
			return fmt.Errorf("activestorage: service %q has no store", service)
		}
	}
	return nil
}

// storeOf returns where a blob's object is.
func (s *Storage) storeOf(b Blob) (store.Store, error) {
	st, ok := s.stores[b.ServiceName]
	if !ok {
		return nil, fmt.Errorf("it is on the service %q: add its store to Options.Others", b.ServiceName)
	}
	return st, nil
}
