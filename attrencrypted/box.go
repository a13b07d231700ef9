package attrencrypted

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/rowseal/rowseal/internal/errs"
)

// ErrDecryptionFailed is the one answer to whatever does not open: a wrong key, IV or salt, a changed or truncated
// ciphertext, wrong padding, a form that the Options do not allow. It is the same value as lockbox.ErrDecryptionFailed,
// kms.ErrDecryptionFailed and rowseal.ErrDecryptionFailed.
var ErrDecryptionFailed = errs.ErrDecryptionFailed

// ErrNotFIPS is wrapped by what New returns under GODEBUG=fips140=only for Options that need an algorithm which FIPS 140-3
// does not approve.
var ErrNotFIPS = errs.ErrNotFIPS

// Box seals and opens the values of one attribute under one key. It is safe for concurrent use, and may be copied. Its key
// does not show through fmt, log/slog, encoding/json, or what follows its fields by reflection.
type Box struct {
	// keyOf is a closure because printers, test diffs and dumpers follow fields, unexported ones too.
	keyOf func(salt []byte) (aesKey, error)
	opts  Options
}

// New returns a box under key, which it copies. nil options are the zero Options. The key has the algorithm's length or
// more; PerAttributeIV uses no more of it than that length.
func New(key []byte, opts *Options) (*Box, error) {
	if opts == nil {
		opts = &Options{}
	}
	o, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if err := o.checkKey(len(key)); err != nil {
		return nil, err
	}
	keyOf, err := keyRule(o, key)
	if err != nil {
		return nil, fmt.Errorf("attrencrypted: %w", err)
	}
	return &Box{keyOf, o}, nil
}

// Encrypt seals plaintext in the form of the box's mode and algorithm, under a fresh random IV and salt where the mode has
// them. "" is not sealed unless AllowEmpty says so: it is stored as "", and IV and salt are NULL.
func (b *Box) Encrypt(plaintext []byte) (Value, error) {
	if err := b.check(); err != nil {
		return Value{}, err
	}
	if len(plaintext) == 0 && !b.opts.AllowEmpty {
		return Value{}, nil
	}
	if err := b.opts.Marshal.check(plaintext); err != nil {
		return Value{}, err
	}
	cbc, single := b.opts.algorithm().cbc, b.opts.Mode == SingleIVAndSalt
	if single && !cbc {
		return Value{}, fmt.Errorf("attrencrypted: mode %s with %s is only read, since its nonce is the same for every value: "+
			"encrypt in mode %s", b.opts.Mode, b.opts.Algorithm, PerAttributeIV)
	}
	var v Value
	var salt []byte
	if b.opts.Mode == PerAttributeIVAndSalt {
		salt = make([]byte, saltSize)
		rand.Read(salt)
		v.Salt, v.HasSalt = b.opts.EncodeSalt.encodeSalt(salt), true
	}
	key, err := b.keyOf(salt)
	if err != nil {
		return Value{}, err
	}
	iv, sealed := key.seal(cbc, plaintext)
	v.Ciphertext = b.opts.Encode.encode(sealed)
	if !single {
		v.IV, v.HasIV = b.opts.EncodeIV.encode(iv), true
	}
	return v, nil
}

// Decrypt opens what Encrypt or the gem has sealed, and tells in what form. Where the Options allow several, those that are
// authenticated are tried first. Whatever does not open is ErrDecryptionFailed; what opens to something else than Marshal
// says is ErrRubyMarshal or ErrNotJSON, and its form is told. "" is Empty, and opens to itself under every Marshal.
func (b *Box) Decrypt(v Value) (plaintext []byte, form Form, err error) {
	plaintext, form, err = b.open(v)
	if err != nil || form == Empty {
		return plaintext, form, err
	}
	if err := b.opts.Marshal.check(plaintext); err != nil {
		if form&CBC != 0 && !errors.Is(err, ErrRubyMarshal) { // a wrong key opens one CBC value in 256
			return nil, 0, ErrDecryptionFailed
		}
		return nil, form, err
	}
	return plaintext, form, nil
}

// Detect tells which form a value has, by opening it, and drops the plaintext, whose Marshal does not matter. Only forms
// that the Options allow are found. A wrong key opens one value of CBC in 256, so one such answer proves little.
func (b *Box) Detect(v Value) (Form, error) {
	_, form, err := b.open(v)
	return form, err
}

func (b *Box) open(v Value) ([]byte, Form, error) {
	if err := b.check(); err != nil {
		return nil, 0, err
	}
	if v.Ciphertext == "" {
		return []byte{}, Empty, nil
	}
	p := b.opts.decode(v.in(b.opts.Mode))
	key, err := b.keyOf(p.salt)
	if err != nil {
		return nil, 0, err
	}
	rule := p.rule()
	if rule == Single {
		p.iv = key.iv
	}
	for _, form := range kinds {
		form |= rule
		if !b.opts.reads(form) || !p.mayBe(form) {
			continue
		}
		if plaintext, err := key.open(form, p); err == nil {
			return plaintext, form, nil
		}
	}
	return nil, 0, ErrDecryptionFailed
}

func (o Options) reads(f Form) bool {
	switch {
	case f&Single != 0 && o.Mode != SingleIVAndSalt:
		return false
	case f&CBC != 0:
		return o.AllowCBC
	default:
		return !o.algorithm().cbc && (!f.Insecure() || o.AllowIgnoredIV)
	}
}

func (b *Box) check() error {
	if b.keyOf == nil {
		return errors.New("attrencrypted: the zero Box has no key: make one with New")
	}
	return nil
}

// String says that this is a box, and no more.
func (Box) String() string { return "attrencrypted.Box" }

// GoString says the same.
func (Box) GoString() string { return "attrencrypted.Box" }

// LogValue says the same to log/slog.
func (Box) LogValue() slog.Value { return slog.StringValue("attrencrypted.Box") }
