package localkms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/rowseal/rowseal/kms"
)

const (
	magic    = "RSL1"
	hkdfInfo = "rowseal local v1"

	saltSize     = 32
	headerSize   = len(magic) + 4 + saltSize
	overhead     = headerSize + 12 + 16 // nonce and tag
	maxPlaintext = 64 << 10
)

// seal wraps plaintext under the current version.
func (f *keyFile) seal(plaintext, ec []byte) ([]byte, error) {
	if len(plaintext) > maxPlaintext {
		return nil, fmt.Errorf("localkms: plaintext of %d bytes, and the most is %d: %w",
			len(plaintext), maxPlaintext, kms.ErrInvalidRequest)
	}
	master, _ := f.version(f.Current) // parseKeyFile has checked that it is there
	out := make([]byte, headerSize, overhead+len(plaintext))
	copy(out, magic)
	binary.BigEndian.PutUint32(out[len(magic):], f.Current)
	salt := out[headerSize-saltSize:]
	rand.Read(salt) // never fails: crypto/rand ends the program instead
	aead, err := master.derive(salt)
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nil, plaintext, f.associatedData(f.Current, ec)), nil
}

// open returns kms.ErrDecryptionFailed for everything that seal did not make under this key and context. For a version that
// the file does not have, the error matches kms.ErrKeyNotFound too: an operator who restored an old backup must learn of it,
// and an attacker learns only what the ciphertexts and their numbers show anyway.
func (f *keyFile) open(ciphertext, ec []byte) ([]byte, error) {
	c, ok := parseCiphertext(ciphertext)
	if !ok {
		return nil, kms.ErrDecryptionFailed
	}
	master, ok := f.version(c.version)
	if !ok {
		return nil, fmt.Errorf("%w: the key has no version %d; was its file restored from an old backup? (%w)",
			kms.ErrDecryptionFailed, c.version, kms.ErrKeyNotFound)
	}
	aead, err := master.derive(c.salt)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, c.sealed, f.associatedData(c.version, ec))
	if err != nil {
		return nil, kms.ErrDecryptionFailed
	}
	return plaintext, nil
}

// ciphertext is a ciphertext in its parts.
type ciphertext struct {
	version uint32
	salt    []byte
	sealed  []byte // nonce ‖ ciphertext ‖ tag
}

func parseCiphertext(b []byte) (c ciphertext, ok bool) {
	if len(b) < overhead || len(b) > overhead+maxPlaintext || string(b[:len(magic)]) != magic {
		return ciphertext{}, false
	}
	return ciphertext{
		version: binary.BigEndian.Uint32(b[len(magic):]),
		salt:    b[headerSize-saltSize : headerSize],
		sealed:  b[headerSize:],
	}, true
}

// derive returns the AEAD of one ciphertext.
func (k masterKey) derive(salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, k.bytes(), salt, hkdfInfo, 32)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// associatedData binds name, version and context. ec is nil for no context, which is another one than an empty one.
func (f *keyFile) associatedData(version uint32, ec []byte) []byte {
	b := make([]byte, 0, 4+len(f.Name)+4+1+len(ec))
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Name)))
	b = append(b, f.Name...)
	b = binary.BigEndian.AppendUint32(b, version)
	if ec == nil {
		return append(b, 0)
	}
	return append(append(b, 1), ec...)
}
