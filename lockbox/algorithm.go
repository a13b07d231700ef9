package lockbox

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
)

// Algorithm names how a box encrypts, in the gem's words.
type Algorithm string

// AESGCM is AES-256-GCM (NIST SP 800-38D): a random 12-byte nonce, the ciphertext, a 16-byte tag; 28 bytes more than the
// message. It is the gem's default, and ours: "" means the same. One key must seal at most 2³² messages (§8.3 there),
// which a key per row never reaches.
const AESGCM Algorithm = "aes-gcm"

// KeySize is the length of a key in bytes.
const KeySize = 32

// newAEAD returns the cipher of an algorithm. It draws its own nonces and writes each before its ciphertext: NonceSize
// is 0.
func newAEAD(algorithm Algorithm, key []byte) (cipher.AEAD, error) {
	if algorithm != "" && algorithm != AESGCM {
		return nil, fmt.Errorf("lockbox: algorithm %q is not supported: use %q", string(algorithm), string(AESGCM))
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("lockbox: a key of %d bytes: want %d (hex digits go through ParseKey first)", len(key), KeySize)
	}
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
