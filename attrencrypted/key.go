package attrencrypted

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"slices"
)

// The iteration counts are encryptor's: lib/encryptor.rb, hmac_iterations, and Ruby's default of pkcs5_keyivgen.
const (
	pbkdf2Iterations = 2000
	md5Iterations    = 2048
	saltSize         = 16 // bytes, Ruby's SecureRandom.random_bytes
)

// aesKey is the AES key of a value.
type aesKey struct {
	block cipher.Block
	gcm   cipher.AEAD // nonce, ciphertext and tag in one piece
	iv    []byte      // where it comes with the key: SingleIVAndSalt
}

// keyRule returns the function that finds the key of a value by its salt, nil where it has none. What does not depend
// on the salt is computed once.
func keyRule(o Options, key []byte) (func(salt []byte) (aesKey, error), error) {
	size := o.algorithm().keySize
	if o.Mode == SingleIVAndSalt {
		derived := bytesToKey(key, size+aes.BlockSize)
		single, err := newAESKey(derived[:size])
		single.iv = derived[size:]
		return func([]byte) (aesKey, error) { return single, nil }, err
	}
	plain, err := plainKey(key, size)
	if err != nil {
		return nil, err
	}
	password := string(key)
	return func(salt []byte) (aesKey, error) {
		if len(salt) == 0 {
			return plain()
		}
		derived, err := pbkdf2.Key(sha1.New, password, salt, pbkdf2Iterations, size)
		if err != nil {
			return aesKey{}, err
		}
		return newAESKey(derived)
	}, nil
}

// plainKey is the rule of values that have an IV and no salt: the first bytes of the key.
func plainKey(key []byte, size int) (func() (aesKey, error), error) {
	if len(key) < size { // AllowShortKey: values without a salt cannot be this key's
		return func() (aesKey, error) { return aesKey{}, ErrDecryptionFailed }, nil
	}
	k, err := newAESKey(key[:size])
	return func() (aesKey, error) { return k, nil }, err
}

func newAESKey(key []byte) (aesKey, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return aesKey{}, err
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	return aesKey{block: block, gcm: gcm}, err
}

// bytesToKey is OpenSSL's EVP_BytesToKey with MD5 and no salt, n bytes of key and IV in one stream
// (https://docs.openssl.org/master/man3/EVP_BytesToKey/).
func bytesToKey(password []byte, n int) []byte {
	var stream []byte
	for len(stream) < n {
		last := stream[max(0, len(stream)-md5.Size):]
		sum := md5.Sum(slices.Concat(last, password))
		for range md5Iterations - 1 {
			sum = md5.Sum(sum[:])
		}
		stream = append(stream, sum[:]...)
	}
	return stream[:n]
}
