package azure

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// wrapLocally makes a ciphertext of the form RSZ1 as docs/formats.md describes it, with nothing but a public key.
func wrapLocally(t *testing.T, public *rsa.PublicKey, version string, plaintext []byte, ec kms.Context) []byte {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	header := append([]byte("RSZ1"), byte(len(version)))
	header = append(header, version...)
	context, err := ec.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	associated := append(append(append([]byte(nil), header...), 1), context...)
	b := binary.BigEndian.AppendUint16(append([]byte(nil), header...), uint16(len(wrapped)))
	return aead.Seal(append(b, wrapped...), nil, plaintext, associated)
}
