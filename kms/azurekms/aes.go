package azurekms

import (
	"context"
	"crypto/rand"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"github.com/rowseal/rowseal/kms"
)

// aesForm leaves everything to the Managed HSM.
type aesForm struct{ key }

func (f aesForm) seal(ctx context.Context, plaintext, ec []byte) ([]byte, error) {
	if err := checkSize(plaintext, minAESPlaintext, maxAESPlaintext); err != nil {
		return nil, err
	}
	a, err := f.ask(ctx, encrypt, "", azkeys.KeyOperationParameters{
		Algorithm:                   to.Ptr(azkeys.EncryptionAlgorithmA256GCM),
		Value:                       plaintext,
		AdditionalAuthenticatedData: ec,
	})
	if err != nil {
		return nil, err
	}
	c := aesCiphertext{version: a.version, iv: a.IV, ciphertext: a.Result, tag: a.AuthenticationTag}
	if len(c.iv) < minIV || len(c.iv) > maxIV || len(c.ciphertext) != len(plaintext) || len(c.tag) != tagSize {
		return nil, errWrong(encrypt)
	}
	return c.bytes(), nil
}

// open returns kms.ErrDecryptionFailed for everything that was not sealed under this key, version and context. The version is
// not authenticated and need not be: another version is another key.
func (f aesForm) open(ctx context.Context, ciphertext, ec []byte) ([]byte, error) {
	c, ok := parseAES(ciphertext)
	if !ok {
		return nil, kms.ErrDecryptionFailed
	}
	a, err := f.ask(ctx, decrypt, c.version, azkeys.KeyOperationParameters{
		Algorithm:                   to.Ptr(azkeys.EncryptionAlgorithmA256GCM),
		Value:                       c.ciphertext,
		IV:                          c.iv,
		AuthenticationTag:           c.tag,
		AdditionalAuthenticatedData: ec,
	})
	switch {
	case err != nil:
		return nil, err
	case c.version == "": // else a ciphertext could be written in two ways
		return nil, kms.ErrDecryptionFailed
	case len(a.Result) != len(c.ciphertext):
		return nil, errWrong(decrypt)
	}
	return a.Result, nil
}

func (f aesForm) madeUp() []byte {
	c := aesCiphertext{iv: make([]byte, minIV), ciphertext: make([]byte, 32), tag: make([]byte, tagSize)}
	rand.Read(c.iv)
	rand.Read(c.ciphertext)
	rand.Read(c.tag)
	return c.bytes()
}
