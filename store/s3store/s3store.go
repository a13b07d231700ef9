// Package s3store keeps sealed files in a bucket of Amazon S3 (https://docs.aws.amazon.com/s3/), or of a server that speaks
// its protocol.
//
//	cfg, err := config.LoadDefaultConfig(ctx) // github.com/aws/aws-sdk-go-v2/config
//	files, err := s3store.New(s3.NewFromConfig(cfg), "my-bucket", "sealed/", nil)
//	key := store.NewKey()
//	err = files.Put(ctx, key, sealed)
//
// The object KEY is the bucket's object prefix ‖ KEY, as it stands: no slash is added. Without a prefix that is where Active
// Storage's S3 service has it (activestorage lib/active_storage/service/s3_service.rb), so a Rails app and a Go app can share
// a bucket. The content type is application/octet-stream, since nothing but ciphertext is in it.
//
// # Rights
//
//	Put       s3:PutObject
//	Get       s3:GetObject; s3:ListBucket too, or S3 tells a missing object as denied (store.ErrAccessDenied)
//	Delete    s3:DeleteObject
//
// Who may only put can seal files and read none. For a bucket encrypted by AWS KMS the rights on its key come on top.
//
// # No overwriting
//
// Put sends If-None-Match: *, so the server itself refuses a taken key, in one step with the writing
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html). A server that does not know the header
// either refuses it, which is an error that names Options.NoConditionalWrites, or ignores it and overwrites: run
// store/storetest against a server before you rely on it. With that option Put asks first whether the key is taken, for which
// it needs the rights of Get; two Puts of one key at one moment may then both succeed, which random keys never are.
//
// In a bucket with versioning Delete hides an object and keeps its bytes, until a lifecycle rule removes them.
//
// # Checksums
//
// Put sends the SHA-256 of the content, which the server compares and keeps. Get compares what arrives with the checksum that
// the server has, where it has one. Neither proves who wrote an object: that is what opening it does.
//
// # Time limits and retries
//
// A request is given up when it has no answer within Options.Timeout, and a second more for each 256 KiB of content. What may
// pass (no connection, an answer that breaks off, 500) is tried once more, a throttled request up to 5 times more with growing
// random pauses. A ctx ends all of it. The SDK's own retries are switched off for these requests; everything else of the
// client (credentials, region, endpoint, transport) is the caller's, and it is not changed.
//
// A Put whose answer was lost is put again; if the key is taken then, Put reads the object to see whether it is its own. Without
// the right to read it is store.ErrExists: take another key.
//
// # FIPS
//
// SHA-256 and HMAC-SHA-256 are all that it uses.
package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/rowseal/rowseal/store"
)

const (
	defaultTimeout = 4 * time.Second // 2 to connect and 2 for the answer, as of the clients for KMSs
	maxPrefix      = 1024 - 255      // bytes: S3's limit for an object's key, and store's for the rest of it
)

// Options changes how a bucket is used. The zero value is right for Amazon S3.
type Options struct {
	// Timeout is how long a request may take, beside a second for each 256 KiB of content. 0: 4 seconds.
	Timeout time.Duration
	// NoConditionalWrites is for servers that do not know If-None-Match: Put asks whether the key is taken before it writes.
	NoConditionalWrites bool
}

// Store is a bucket, or those of its objects that have a prefix. It is a store.Store, safe for concurrent use.
type Store struct {
	client *s3.Client
	bucket string
	prefix string
	opts   Options
}

var _ store.Store = (*Store)(nil)

// New returns a store, and makes no request. opts may be nil. The prefix may be empty, and ends with a slash if there is to be
// one; a prefix that clients or servers might read in two ways is refused.
func New(client *s3.Client, bucket, prefix string, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	s := &Store{client: client, bucket: bucket, prefix: prefix, opts: *opts}
	if s.opts.Timeout == 0 {
		s.opts.Timeout = defaultTimeout
	}
	switch {
	case client == nil:
		return nil, errors.New("s3store: no client")
	case bucket == "":
		return nil, errors.New("s3store: no bucket")
	case s.opts.Timeout < 0:
		return nil, fmt.Errorf("s3store: Options.Timeout is %v; it must be positive, or 0 for %v", opts.Timeout, defaultTimeout)
	}
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	return s, nil
}

// checkPrefix refuses what a proxy or a server might take for another path.
func checkPrefix(prefix string) error {
	refused := func(why string) error {
		return fmt.Errorf("s3store: the prefix %.100q %s; take one like \"sealed/\"", prefix, why)
	}
	if len(prefix) > maxPrefix {
		return refused(fmt.Sprintf("has %d bytes, and at most %d are possible", len(prefix), maxPrefix))
	}
	if !utf8.ValidString(prefix) || strings.ContainsFunc(prefix, unicode.IsControl) || strings.Contains(prefix, `\`) {
		return refused("has a backslash, a control character or is not UTF-8")
	}
	folders := strings.Split(prefix, "/")
	for i, folder := range folders {
		last := i == len(folders)-1
		if folder == "." || folder == ".." || folder == "" && !last {
			return refused("has a slash too many, or a folder named . or ..")
		}
	}
	return nil
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, key string, data []byte) error {
	return s.do(ctx, "put", key, func() error { return s.put(ctx, s.prefix+key, data) })
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string, limit int64) (data []byte, err error) {
	err = s.do(ctx, "get", key, func() error {
		data, err = s.get(ctx, s.prefix+key, limit)
		return err
	})
	return data, err
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	return s.do(ctx, "delete", key, func() error { return s.delete(ctx, s.prefix+key) })
}

func (s *Store) do(ctx context.Context, op, key string, f func() error) error {
	if err := store.CheckKey(key); err != nil {
		return fmt.Errorf("s3store: %s in %s: %w", op, s.place(""), err)
	}
	err := ctx.Err()
	if err == nil {
		err = f()
	}
	if err != nil {
		return fmt.Errorf("s3store: %s %s: %w", op, s.place(key), err)
	}
	return nil
}

// place is an object's name as AWS's tools have it.
func (s *Store) place(key string) string { return "s3://" + s.bucket + "/" + s.prefix + key }

// Format prints the bucket and the prefix alone, for every verb: the client has credentials.
func (s *Store) Format(f fmt.State, _ rune) { io.WriteString(f, "s3store.Store("+s.place("")+")") }

// LogValue implements slog.LogValuer.
func (s *Store) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// MarshalText implements encoding.TextMarshaler, for JSON and the like.
func (s *Store) MarshalText() ([]byte, error) { return fmt.Append(nil, s), nil }
