package blindindex

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/rowseal/rowseal/internal/errs"
)

// Options say how an index is made. The zero value is the gem's default: Argon2id, 32 bytes, base64. Both sides, whoever
// writes the column and whoever searches it, need the same options.
type Options struct {
	Algorithm Algorithm // "" is Argon2id
	Size      int       // of the index in bytes, 1 to 32; 0 is 32. Plan tells what a shorter one is good for
	Slow      bool      // the gem's slow: true. Only Argon2id and PBKDF2SHA256 have it; Cost overrides
	Cost      Cost      // the zero value is the algorithm's default

	// Normalize names what is done to a value before it is indexed, several in their order: "strip+lower". "" is nothing.
	// The package's documentation lists the names; Normalizers adds to them.
	Normalize string

	// Normalizers are your own, by name; they must be safe for concurrent use, and need no care to keep the value out of
	// their errors, which are never printed. One that returns ErrNull leaves the value out of the index.
	Normalizers map[string]func(string) (string, error)

	// Raw leaves the index as bytes, the gem's encode: false, instead of strict base64 (RFC 4648 §4).
	Raw bool

	// Legacy is the gem's legacy: true, the form before its version 1.0: the base64 ends in a line end, and Algorithm "" is
	// PBKDF2SHA256. The gem also names the column encrypted_email_bidx then.
	Legacy bool

	// InsecureKey is the gem's insecure_key: true, for indexes from before its version 0.3: a key of any length goes into
	// PBKDF2SHA256 as it is, 64 hex digits for one as 64 bytes. Other algorithms do not have it.
	InsecureKey bool
}

// maxSize is the length of the longest index in bytes, the gem's limit.
const maxSize = 32

func (o Options) withDefaults() Options {
	if o.Algorithm == "" {
		o.Algorithm = Argon2id
		if o.Legacy {
			o.Algorithm = PBKDF2SHA256
		}
	}
	if o.Size == 0 {
		o.Size = maxSize
	}
	return o
}

func (o Options) check(key []byte) error {
	if err := o.Algorithm.check(); err != nil {
		return err
	}
	if o.Size < 1 || o.Size > maxSize {
		return fmt.Errorf("blindindex: an index of %d bytes: want 1 to %d", o.Size, maxSize)
	}
	switch {
	case o.InsecureKey && o.Algorithm != PBKDF2SHA256:
		return fmt.Errorf("blindindex: %s takes no insecure key: leave InsecureKey out", o.Algorithm)
	case o.InsecureKey && len(key) > 0 && len(key) < minApprovedSalt:
		return errs.CheckFIPS("blindindex", "a key of less than 16 bytes", "the key of KeyOf")
	case !o.InsecureKey && len(key) != KeySize, len(key) == 0:
		return fmt.Errorf("blindindex: an index key of %d bytes: want %d", len(key), KeySize)
	}
	return nil
}

// minApprovedSalt is the shortest salt of PBKDF2 in NIST SP 800-132 §5.1, in bytes; the index key is the salt.
const minApprovedSalt = 16

func (o Options) encode(index []byte) string {
	switch {
	case o.Raw:
		return string(index)
	case o.Legacy:
		return base64.StdEncoding.EncodeToString(index) + "\n"
	default:
		return base64.StdEncoding.EncodeToString(index)
	}
}

// Indexer makes the indexes of one column. It is safe for concurrent use, and may be copied. Its key does not show through
// fmt, log/slog, encoding/json, or what follows its fields by reflection.
type Indexer struct {
	// compute is a closure around the key, because printers, test diffs and dumpers follow fields, unexported ones too.
	compute   func(normalized string) (string, error)
	normalize normalizer
	raw       bool
	cheap     bool // an index costs less than handing it to another goroutine
}

// New returns an Indexer under a key of KeySize bytes, which it copies: one from KeyOf, or a random one. nil options are
// the zero Options. Under GODEBUG=fips140=only, Argon2id, Argon2i and Scrypt are ErrNotFIPS.
func New(key []byte, opts *Options) (*Indexer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	o = o.withDefaults()
	if err := o.check(key); err != nil {
		return nil, err
	}
	cost, err := costs(o.Algorithm, o.Cost, o.Slow)
	if err != nil {
		return nil, err
	}
	normalize, err := newNormalizer(o.Normalize, o.Normalizers)
	if err != nil {
		return nil, err
	}
	hash, key := o.Algorithm.hash(cost), slices.Clone(key)
	compute := func(normalized string) (string, error) {
		index, err := hash(normalized, key, o.Size)
		if err != nil {
			return "", fmt.Errorf("blindindex: %s: %w", o.Algorithm, err)
		}
		return o.encode(index), nil
	}
	return &Indexer{compute, normalize, o.Raw, o.Algorithm == HMACSHA256}, nil
}

// Compute returns the index of a value: base64, or bytes where the index is raw; "" means NULL, which only a normalizer
// that returns ErrNull makes. The gem's index of a number or a date is that of its text in Ruby ("12345").
//
// It works on the caller's goroutine and takes the memory of one index (Argon2id: 4 MiB, 32 MiB when slow). It does not
// wait for a ComputeAll elsewhere, so that one search is not held up by a backfill: who calls it from many goroutines at
// once bounds their number.
func (x *Indexer) Compute(value string) (string, error) {
	if x.compute == nil {
		return "", errNoKey
	}
	normalized, err := x.normalize(value)
	if errors.Is(err, ErrNull) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return x.compute(normalized)
}

// Normalize returns what Compute makes the index of: the value after the Indexer's normalizers. Where the value has no
// index, it returns ErrNull.
func (x *Indexer) Normalize(value string) (string, error) {
	if x.normalize == nil {
		return "", errNoKey
	}
	return x.normalize(value)
}

// Index returns the index of a value as its column takes it: to be stored, or to be searched for
// ("WHERE email_bidx = ?"). It works as Compute does.
func (x *Indexer) Index(value string) (Index, error) {
	text, err := x.Compute(value)
	if err != nil {
		return Index{}, err
	}
	return x.column(text), nil
}

// IndexNormalized is Index for a value that Normalize has returned.
func (x *Indexer) IndexNormalized(normalized string) (Index, error) {
	if x.compute == nil {
		return Index{}, errNoKey
	}
	text, err := x.compute(normalized)
	if err != nil {
		return Index{}, err
	}
	return x.column(text), nil
}

func (x *Indexer) column(text string) (i Index) {
	if x.raw {
		i.SetRaw(text)
	} else {
		i.Set(text)
	}
	return i
}

var errNoKey = errors.New("blindindex: the zero Indexer has no key: make one with New")

// String says that this is an Indexer, and no more.
func (Indexer) String() string { return "blindindex.Indexer" }

// GoString says the same.
func (Indexer) GoString() string { return "blindindex.Indexer" }

// LogValue says the same to log/slog.
func (Indexer) LogValue() slog.Value { return slog.StringValue("blindindex.Indexer") }
