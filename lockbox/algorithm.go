package lockbox

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/nacl/secretbox"

	"github.com/rowseal/rowseal/internal/errs"
)

// Algorithm names how a box encrypts, in the gem's words.
type Algorithm string

const (
	// AESGCM is AES-256-GCM (NIST SP 800-38D): a random 12-byte nonce, the ciphertext, a 16-byte tag; 28 bytes more than
	// the message. It is the gem's default, and ours: "" means the same. One key must seal at most 2³² messages (§8.3
	// there), which a key per row never reaches.
	AESGCM Algorithm = "aes-gcm"

	// XChaCha20 is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): a random 24-byte nonce, the ciphertext, a 16-byte tag;
	// 40 bytes more than the message. One key may seal any number of messages. FIPS 140-3 does not approve it.
	XChaCha20 Algorithm = "xchacha20"

	// XSalsa20 is XSalsa20-Poly1305, NaCl's crypto_secretbox (https://nacl.cr.yp.to/secretbox.html): a random 24-byte nonce,
	// a 16-byte tag, the ciphertext; 40 bytes more than the message. One key may seal any number of messages. It takes no
	// associated data, so nothing binds a ciphertext to its column: for reading what exists. FIPS 140-3 does not approve it.
	XSalsa20 Algorithm = "xsalsa20"

	// Hybrid is NaCl's crypto_box (https://nacl.cr.yp.to/box.html), X25519 and then XSalsa20, with the layout of XSalsa20 and
	// no associated data either. It has HybridKeys, and NewHybrid makes its boxes. FIPS 140-3 does not approve it.
	//
	// It is here to read and write what the gem's hybrid boxes have written, and for nothing else: the two keys are the two
	// sides of one static Diffie-Hellman exchange, so either of them opens what the other sealed. A server that holds the
	// encryption key alone can open everything. Where sealing and opening must be separate rights, use a KMS.
	Hybrid Algorithm = "hybrid"
)

// KeySize is the length in bytes of a key, for all algorithms but Hybrid.
const KeySize = 32

// ErrNotFIPS is the answer of New, NewHybrid and GenerateHybridKeys to algorithms other than AESGCM under
// GODEBUG=fips140=only. It is the same value as rowseal's.
var ErrNotFIPS = errs.ErrNotFIPS

func (a Algorithm) takesAssociatedData() bool { return a != XSalsa20 && a != Hybrid }

// primitive is an algorithm under a key, a part of cipher.AEAD. It draws its own nonces and writes each before its
// ciphertext: nonce is always nil. dst is empty and may be the start of the input's memory, else the two do not overlap.
type primitive interface {
	Overhead() int // nonce and tag
	Seal(dst, nonce, plaintext, associatedData []byte) []byte
	Open(dst, nonce, ciphertext, associatedData []byte) ([]byte, error)
}

// newPrimitive returns an algorithm under a key of KeySize bytes.
func newPrimitive(algorithm Algorithm, key []byte) (primitive, error) {
	switch algorithm {
	case "", AESGCM, XChaCha20, XSalsa20:
	case Hybrid:
		return nil, fmt.Errorf("lockbox: algorithm %q has a pair of keys: use NewHybrid", string(Hybrid))
	default:
		return nil, fmt.Errorf("lockbox: algorithm %q is not known: use %q, or %q, %q or %q for what they have sealed",
			string(algorithm), string(AESGCM), string(XChaCha20), string(XSalsa20), string(Hybrid))
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("lockbox: a key of %d bytes: want %d (hex digits go through ParseKey first)", len(key), KeySize)
	}
	switch algorithm {
	case XChaCha20:
		return newXChaCha(key)
	case XSalsa20:
		if err := checkFIPS(XSalsa20); err != nil {
			return nil, err
		}
		return &secretBox{[KeySize]byte(key)}, nil
	}
	return newGCM(key)
}

func checkFIPS(algorithm Algorithm) error {
	return errs.CheckFIPS("lockbox", "algorithm "+string(algorithm), "algorithm "+string(AESGCM))
}

func newGCM(key []byte) (primitive, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("lockbox: %w", err)
	}
	// Not cipher.NewGCM, which FIPS 140-3 mode refuses, since it lets the caller choose nonces.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("lockbox: %w", err)
	}
	return aead, nil
}

// longNonce is the length of a random nonce, in bytes, of XChaCha20 and XSalsa20.
const longNonce = chacha20poly1305.NonceSizeX

type xChaCha struct{ aead cipher.AEAD }

func newXChaCha(key []byte) (primitive, error) {
	if err := checkFIPS(XChaCha20); err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("lockbox: %w", err)
	}
	return &xChaCha{aead}, nil
}

func (x *xChaCha) Overhead() int { return longNonce + x.aead.Overhead() }

func (x *xChaCha) Seal(dst, _, plaintext, associatedData []byte) []byte {
	sealed := dst[:longNonce+len(plaintext)]
	nonce, body := sealed[:longNonce], sealed[longNonce:]
	copy(body, plaintext) // which may lie under the nonce, and chacha20poly1305 works in place or not at all
	rand.Read(nonce)
	return sealed[:longNonce+len(x.aead.Seal(body[:0], nonce, body, associatedData))]
}

func (x *xChaCha) Open(dst, _, ciphertext, associatedData []byte) ([]byte, error) {
	if len(ciphertext) < longNonce {
		return nil, ErrDecryptionFailed
	}
	nonce, body := ciphertext[:longNonce], ciphertext[longNonce:]
	if sameStart(dst, ciphertext) {
		dst = body[:0]
	}
	return x.aead.Open(dst, nonce, body, associatedData)
}

type secretBox struct{ key [KeySize]byte }

func (s *secretBox) Overhead() int { return longNonce + secretbox.Overhead }

func (s *secretBox) Seal(dst, _, plaintext, _ []byte) []byte {
	if sameStart(dst, plaintext) {
		plaintext = bytes.Clone(plaintext) // secretbox never works in place
	}
	var nonce [longNonce]byte
	rand.Read(nonce[:])
	return secretbox.Seal(append(dst, nonce[:]...), plaintext, &nonce, &s.key)
}

func (s *secretBox) Open(dst, _, ciphertext, _ []byte) ([]byte, error) {
	if len(ciphertext) < longNonce {
		return nil, ErrDecryptionFailed
	}
	if sameStart(dst, ciphertext) {
		dst = []byte{}
	}
	plaintext, ok := secretbox.Open(dst, ciphertext[longNonce:], (*[longNonce]byte)(ciphertext), &s.key)
	if !ok {
		return nil, ErrDecryptionFailed
	}
	return plaintext, nil
}

// sameStart reports whether dst, which is empty, is the start of src's memory.
func sameStart(dst, src []byte) bool {
	return cap(dst) > 0 && len(src) > 0 && &dst[:1][0] == &src[0]
}
