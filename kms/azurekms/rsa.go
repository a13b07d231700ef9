package azurekms

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/kms"
)

const aesKeySize = 32

// rsaForm seals in this process, under a fresh AES key that Azure wraps with RSA-OAEP-256.
type rsaForm struct{ key }

func (f rsaForm) seal(ctx context.Context, plaintext, ec []byte) ([]byte, error) {
	if err := checkSize(plaintext, 0, maxRSAPlaintext); err != nil {
		return nil, err
	}
	fresh := make([]byte, aesKeySize)
	defer clear(fresh)
	rand.Read(fresh) // never fails: crypto/rand ends the program instead
	a, err := f.ask(ctx, wrapKey, "", oaep256(fresh))
	if err != nil {
		return nil, err
	}
	if n := len(a.Result); n < minWrapped || n > maxWrapped {
		return nil, errWrong(wrapKey)
	}
	aead, err := newAEAD(fresh)
	if err != nil {
		return nil, err
	}
	c := rsaCiphertext{version: a.version, wrapped: a.Result}
	c.sealed = aead.Seal(nil, nil, plaintext, associatedData(c.version, ec))
	return c.bytes(), nil
}

// open returns kms.ErrDecryptionFailed for everything that was not sealed under this key, version and context.
func (f rsaForm) open(ctx context.Context, ciphertext, ec []byte) ([]byte, error) {
	c, ok := parseRSA(ciphertext)
	if !ok {
		return nil, kms.ErrDecryptionFailed
	}
	a, err := f.ask(ctx, unwrapKey, c.version, oaep256(c.wrapped))
	if err != nil {
		return nil, err
	}
	defer clear(a.Result)
	if c.version == "" || len(a.Result) != aesKeySize {
		return nil, kms.ErrDecryptionFailed
	}
	aead, err := newAEAD(a.Result)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, c.sealed, associatedData(c.version, ec))
	if err != nil {
		return nil, kms.ErrDecryptionFailed
	}
	return plaintext, nil
}

func (f rsaForm) madeUp() []byte {
	c := rsaCiphertext{wrapped: make([]byte, minWrapped), sealed: make([]byte, nonceSize+aesKeySize+tagSize)}
	rand.Read(c.wrapped)
	rand.Read(c.sealed)
	return c.bytes()
}

func oaep256(value []byte) azkeys.KeyOperationParameters {
	return azkeys.KeyOperationParameters{Algorithm: to.Ptr(azkeys.EncryptionAlgorithmRSAOAEP256), Value: value}
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// associatedData binds form, version and context. ec is nil for no context, which is another one than an empty one.
func associatedData(version string, ec []byte) []byte {
	b := header(rsaMagic, version)
	if ec == nil {
		return append(b, 0)
	}
	return append(append(b, 1), ec...)
}
