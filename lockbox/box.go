package lockbox

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rowseal/rowseal/internal/errs"
	"github.com/rowseal/rowseal/internal/mime64"
)

// ErrDecryptionFailed is the one answer to whatever does not open: a wrong key, other associated data, a changed or
// truncated ciphertext, wrong padding. It is the same value as kms.ErrDecryptionFailed and rowseal.ErrDecryptionFailed.
var ErrDecryptionFailed = errs.ErrDecryptionFailed

// Options say how a box writes, and what else it reads. The zero value is the gem's default for a model's attribute.
type Options struct {
	Algorithm Algorithm // "" is AESGCM for New, and Hybrid for NewHybrid
	Format

	// AssociatedData is used where Encrypt and Decrypt are given nil. It is no secret.
	AssociatedData []byte

	// Previous versions are tried in their order when the current one does not open a ciphertext. They never encrypt.
	Previous []Previous
}

// Previous is an earlier version of a box, the gem's previous_versions. The encoding, base64 or raw, is that of the box.
// Its key hides from fmt, log/slog and encoding/json where they ask a value how to print it; in unexported fields and
// behind wrong verbs, fmt does not ask. So keep the Box that New makes, which has nothing to show, and not this.
type Previous struct {
	Key       []byte      `json:"-"` // KeySize bytes; nil is the key of the box
	Hybrid    *HybridKeys `json:"-"` // of the algorithm Hybrid, which then need not be named; nil: those of the box
	Algorithm Algorithm   // "" is AESGCM
	Padding   int         // in bytes, 0 for none; not inherited from the box

	// AssociatedData is what this version was sealed with, whatever Decrypt is given. nil is what Decrypt is given, or the
	// box's own; empty and not nil is none.
	AssociatedData []byte
}

// Format prints the type's name and not the key, whatever the verb.
func (Previous) Format(s fmt.State, _ rune) { io.WriteString(s, "lockbox.Previous") }

// LogValue hides the key from log/slog.
func (Previous) LogValue() slog.Value { return slog.StringValue("lockbox.Previous") }

// Box seals and opens messages under one key. It is safe for concurrent use, and may be copied. Its key does not show
// through fmt, log/slog, encoding/json, or what follows its fields by reflection.
type Box struct {
	// versions is a closure because printers, test diffs and dumpers follow fields, unexported ones too.
	versions func() (current version, previous []version)
	format   Format
}

// New returns a box under a key of KeySize bytes, which it copies. nil options are the zero Options.
func New(key []byte, opts *Options) (*Box, error) {
	// Small enough to be inlined, so that a box which its caller does not keep costs no allocation of its own.
	b, err := newBox(key, nil, opts)
	if err != nil {
		return nil, err
	}
	return &b, nil
}

// NewHybrid returns a box of the algorithm Hybrid, whose caveat it shares. nil options are the zero Options.
func NewHybrid(keys HybridKeys, opts *Options) (*Box, error) {
	b, err := newBox(nil, &keys, opts)
	if err != nil {
		return nil, err
	}
	return &b, nil
}

// newBox has a key, or else hybrid keys.
func newBox(key []byte, hybrid *HybridKeys, opts *Options) (Box, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := opts.Format.Validate(); err != nil {
		return Box{}, err
	}
	current, err := newVersion(opts.Algorithm, key, hybrid, opts.AssociatedData)
	if err != nil {
		return Box{}, err
	}
	previous, err := newPrevious(key, hybrid, opts.Previous)
	if err != nil {
		return Box{}, err
	}
	if err := checkAssociated(previous, opts.AssociatedData); err != nil {
		return Box{}, err
	}
	return Box{func() (version, []version) { return current, previous }, opts.Format}, nil
}

// WithFormat returns a box with the same key and previous versions, and another format: one row's data key makes one box,
// and each field of the row writes in its own format. It costs next to nothing.
func (b *Box) WithFormat(f Format) *Box { return &Box{b.versions, f} }

// Encrypt seals plaintext under a fresh random nonce, and authenticates associatedData with it. nil stands for
// Options.AssociatedData, empty and not nil for none. The result is nonce, ciphertext and tag in the order of the algorithm,
// in strict base64 unless the format is raw.
//
// "" is sealed like any message. That the gem leaves "" as it is in a model's attribute is the model's rule, not the
// box's.
func (b *Box) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	return b.encrypt(nil, plaintext, associatedData)
}

// encrypt works in place where the format is raw, dst is the start of plaintext's memory, and there is room.
func (b *Box) encrypt(dst, plaintext, associatedData []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	v, _ := b.versions()
	if v.seals == nil {
		return nil, errors.New("lockbox: this hybrid box has no encryption key: it only decrypts")
	}
	associatedData, err := v.associated(associatedData)
	if err != nil {
		return nil, err
	}
	size := b.sealedLen(v, len(plaintext))
	if b.format.Raw {
		if cap(dst) < size {
			dst = make([]byte, 0, size)
		}
		return b.seal(v.seals, dst, plaintext, associatedData), nil
	}
	text := make([]byte, base64.StdEncoding.EncodedLen(size))
	tail := len(text) - size
	b.seal(v.seals, text[tail:tail], plaintext, associatedData)
	encodeTail(text, size)
	return text, nil
}

// sealedLen is the length of n bytes once padded and sealed, before base64.
func (b *Box) sealedLen(v version, n int) int {
	if b.format.Padding > 0 {
		n = paddedLen(n, b.format.Padding)
	}
	return n + v.seals.Overhead()
}

// seal appends the sealed plaintext to dst, which is empty and has room for it.
func (b *Box) seal(p primitive, dst, plaintext, associatedData []byte) []byte {
	if b.format.Padding > 0 {
		padded := dst[:paddedLen(len(plaintext), b.format.Padding)]
		pad(padded, plaintext)
		plaintext = padded
	}
	return p.Seal(dst, nil, plaintext, associatedData)
}

// encodeTail turns the last n bytes of text into the base64 that fills it. Each chunk is copied first, because
// encoding/base64 does not promise to work in place.
func encodeTail(text []byte, n int) {
	var buf [384]byte // a multiple of 3, so that only the last chunk is padded
	raw := text[len(text)-n:]
	for len(raw) > 0 {
		chunk := buf[:copy(buf[:], raw)]
		base64.StdEncoding.Encode(text, chunk)
		raw, text = raw[len(chunk):], text[base64.StdEncoding.EncodedLen(len(chunk)):]
	}
}

// Decrypt opens what Encrypt or the gem has sealed, under the current version or a previous one. Base64 is read as Ruby
// reads it: bytes outside the alphabet, line ends for one, are skipped, and padding may be missing. nil associated data
// stands for Options.AssociatedData, empty and not nil for none. Whatever does not open is ErrDecryptionFailed. It takes
// no more memory than the ciphertext has, and as much for each previous version tried; XSalsa20 and Hybrid take it twice.
func (b *Box) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	return b.decrypt(ciphertext, associatedData, false)
}

// decrypt may overwrite a ciphertext that is disposable.
func (b *Box) decrypt(ciphertext, associatedData []byte, disposable bool) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	v, previous := b.versions()
	if v.opens == nil {
		return nil, errors.New("lockbox: this hybrid box has no decryption key: it only encrypts")
	}
	associatedData, err := v.associated(associatedData)
	if err != nil {
		return nil, err
	}
	if err := checkAssociated(previous, associatedData); err != nil {
		return nil, err
	}
	if !b.format.Raw {
		ciphertext, disposable = mime64.AppendDecode(nil, ciphertext), true
	}
	v.padding, v.associatedData = b.format.Padding, associatedData
	for ; ; v, previous = previous[0], previous[1:] {
		last := len(previous) == 0
		dst := []byte{} // so that "" opens to an empty slice, not to nil
		if last && disposable {
			dst = ciphertext[:0] // nobody needs it again: open in place
		}
		if plaintext, err := v.open(dst, ciphertext, associatedData); err == nil {
			return plaintext, nil
		}
		if last {
			return nil, ErrDecryptionFailed
		}
	}
}

func (b *Box) check() error {
	if b.versions == nil {
		return errors.New("lockbox: the zero Box has no key: make one with New")
	}
	return b.format.Validate()
}

// String says that this is a box, and no more.
func (Box) String() string { return "lockbox.Box" }

// GoString says the same.
func (Box) GoString() string { return "lockbox.Box" }

// LogValue says the same to log/slog.
func (Box) LogValue() slog.Value { return slog.StringValue("lockbox.Box") }
