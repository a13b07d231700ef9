package attrencrypted

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
)

// Sizes in bytes.
const (
	nonceSize = 12 // GCM's IV
	tagSize   = 16 // GCM's tag, the last bytes of the ciphertext column
)

// kinds are the forms that a value can have beside the rule of its key, the better ones first.
var kinds = [...]Form{GCM, GCM | IgnoredIV, CBC}

// mayBe tells whether columns of such lengths can have the form f. The IV may be longer than the algorithm's: before 2.4,
// Ruby cut it.
func (p parts) mayBe(f Form) bool {
	n, iv := len(p.sealed()), len(p.iv)
	if f&Single != 0 {
		iv = aes.BlockSize // it comes with the key
	}
	switch {
	case f&CBC != 0:
		return n > 0 && n%aes.BlockSize == 0 && iv >= aes.BlockSize
	case f&IgnoredIV != 0 && f&Single != 0:
		return false // pkcs5_keyivgen sets key and IV together, and encryptor 2.0 was right there
	default:
		return n >= tagSize && iv >= nonceSize
	}
}

// open opens what may be of the form f.
func (k aesKey) open(f Form, p parts) ([]byte, error) {
	switch {
	case f&CBC != 0:
		return k.openCBC(p.iv[:aes.BlockSize], p.sealed())
	case f&IgnoredIV != 0:
		clear(p.room[:nonceSize])
	default:
		copy(p.room[:nonceSize], p.iv)
	}
	return k.gcm.Open([]byte{}, nil, p.room, nil)
}

// seal returns a fresh IV, or that of SingleIVAndSalt, and the sealed plaintext.
func (k aesKey) seal(cbc bool, plaintext []byte) (iv, sealed []byte) {
	if cbc {
		return k.sealCBC(plaintext)
	}
	out := k.gcm.Seal(nil, nil, plaintext, nil)
	return out[:nonceSize], out[nonceSize:]
}

func (k aesKey) sealCBC(plaintext []byte) (iv, sealed []byte) {
	iv = k.iv
	if iv == nil {
		iv = make([]byte, aes.BlockSize)
		rand.Read(iv)
	}
	fill := aes.BlockSize - len(plaintext)%aes.BlockSize
	sealed = append(bytes.Clone(plaintext), bytes.Repeat([]byte{byte(fill)}, fill)...)
	cipher.NewCBCEncrypter(k.block, iv).CryptBlocks(sealed, sealed)
	return iv, sealed
}

// openCBC opens whole blocks padded by PKCS #7 (RFC 5652 §6.3).
func (k aesKey) openCBC(iv, sealed []byte) ([]byte, error) {
	padded := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(k.block, iv).CryptBlocks(padded, sealed)
	fill := int(padded[len(padded)-1])
	if fill == 0 || fill > aes.BlockSize {
		return nil, ErrDecryptionFailed
	}
	message, padding := padded[:len(padded)-fill], padded[len(padded)-fill:]
	if subtle.ConstantTimeCompare(padding, bytes.Repeat([]byte{byte(fill)}, fill)) == 0 {
		return nil, ErrDecryptionFailed
	}
	return message, nil
}
