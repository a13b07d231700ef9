package lockbox

import (
	"crypto/cipher"
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
	Algorithm Algorithm // "" is AESGCM
	Format

	// Previous versions are tried in their order when the current one does not open a ciphertext. They never encrypt.
	Previous []Previous
}

// Previous is an earlier version of a box, the gem's previous_versions. The encoding, base64 or raw, is that of the box.
// Its key hides from fmt, log/slog and encoding/json where they ask a value how to print it; in unexported fields and
// behind wrong verbs, fmt does not ask. So keep the Box that New makes, which has nothing to show, and not this.
type Previous struct {
	Key       []byte    `json:"-"` // KeySize bytes; nil is the key of the box
	Algorithm Algorithm // "" is AESGCM
	Padding   int       // in bytes, 0 for none; not inherited from the box
}

// Format prints the type's name and not the key, whatever the verb.
func (Previous) Format(s fmt.State, _ rune) { io.WriteString(s, "lockbox.Previous") }

// LogValue hides the key from log/slog.
func (Previous) LogValue() slog.Value { return slog.StringValue("lockbox.Previous") }

// Box seals and opens messages under one key. It is safe for concurrent use, and may be copied. Its key does not show
// through fmt, log/slog, encoding/json, or what follows its fields by reflection.
type Box struct {
	// ciphers is a closure because printers, test diffs and dumpers follow fields, unexported ones too.
	ciphers func() (current cipher.AEAD, previous []version)
	format  Format
}

type version struct {
	aead    cipher.AEAD
	padding int
}

// New returns a box under a key of KeySize bytes, which it copies. nil options are the zero Options.
func New(key []byte, opts *Options) (*Box, error) {
	// Small enough to be inlined, so that a box which its caller does not keep costs no allocation of its own.
	b, err := newBox(key, opts)
	if err != nil {
		return nil, err
	}
	return &b, nil
}

func newBox(key []byte, opts *Options) (Box, error) {
	if opts == nil {
		opts = &Options{}
	}
	if err := opts.Format.Validate(); err != nil {
		return Box{}, err
	}
	current, err := newAEAD(opts.Algorithm, key)
	if err != nil {
		return Box{}, err
	}
	previous, err := newVersions(key, opts.Previous)
	if err != nil {
		return Box{}, err
	}
	ciphers := func() (cipher.AEAD, []version) { return current, previous }
	return Box{ciphers, opts.Format}, nil
}

func newVersions(key []byte, previous []Previous) ([]version, error) {
	var versions []version
	for i, p := range previous {
		if err := (Format{Padding: p.Padding}).Validate(); err != nil {
			return nil, fmt.Errorf("%w (previous version %d)", err, i)
		}
		own := p.Key
		if own == nil {
			own = key
		}
		aead, err := newAEAD(p.Algorithm, own)
		if err != nil {
			return nil, fmt.Errorf("%w (previous version %d)", err, i)
		}
		versions = append(versions, version{aead, p.Padding})
	}
	return versions, nil
}

// WithFormat returns a box with the same key and previous versions, and another format: one row's data key makes one box,
// and each field of the row writes in its own format. It costs next to nothing.
func (b *Box) WithFormat(f Format) *Box { return &Box{b.ciphers, f} }

// Encrypt seals plaintext under a fresh random nonce, and authenticates associatedData with it (nil and empty are the
// same). The result is nonce, ciphertext and tag, in strict base64 unless the format is raw.
//
// "" is sealed like any message. That the gem leaves "" as it is in a model's attribute is the model's rule, not the
// box's.
func (b *Box) Encrypt(plaintext, associatedData []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	aead, _ := b.ciphers()
	size := len(plaintext)
	if b.format.Padding > 0 {
		size = paddedLen(size, b.format.Padding)
	}
	size += aead.Overhead()
	if b.format.Raw {
		return b.seal(aead, make([]byte, 0, size), plaintext, associatedData), nil
	}
	text := make([]byte, base64.StdEncoding.EncodedLen(size))
	tail := len(text) - size
	b.seal(aead, text[tail:tail], plaintext, associatedData)
	encodeTail(text, size)
	return text, nil
}

// seal appends the sealed plaintext to dst, which is empty and has room for it, all zeros.
func (b *Box) seal(aead cipher.AEAD, dst, plaintext, associatedData []byte) []byte {
	if b.format.Padding > 0 {
		padded := dst[:paddedLen(len(plaintext), b.format.Padding)] // where the AEAD may seal in place
		pad(padded, plaintext)
		plaintext = padded
	}
	return aead.Seal(dst, nil, plaintext, associatedData)
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
// reads it: bytes outside the alphabet, line ends for one, are skipped, and padding may be missing. Whatever does not
// open is ErrDecryptionFailed. It takes no more memory than the ciphertext has, and as much for each previous version
// tried.
func (b *Box) Decrypt(ciphertext, associatedData []byte) ([]byte, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	aead, previous := b.ciphers()
	if !b.format.Raw {
		ciphertext = mime64.AppendDecode(nil, ciphertext)
	}
	for v := (version{aead, b.format.Padding}); ; v, previous = previous[0], previous[1:] {
		last := len(previous) == 0
		dst := []byte{} // so that "" opens to an empty slice, not to nil
		if last && !b.format.Raw {
			dst = ciphertext[:0] // our own copy, and nobody needs it again: open in place
		}
		if plaintext, err := v.open(dst, ciphertext, associatedData); err == nil {
			return plaintext, nil
		}
		if last {
			return nil, ErrDecryptionFailed
		}
	}
}

func (v version) open(dst, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := v.aead.Open(dst, nil, ciphertext, associatedData)
	if err != nil {
		return nil, err
	}
	if v.padding > 0 {
		return Unpad(plaintext, v.padding)
	}
	return plaintext, nil
}

func (b *Box) check() error {
	if b.ciphers == nil {
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
