package store

import (
	"crypto/rand"
	"fmt"
)

const (
	newKeyLength = 28 // of Active Storage's keys: activestorage app/models/active_storage/blob.rb, MINIMUM_TOKEN_LENGTH
	base36       = "0123456789abcdefghijklmnopqrstuvwxyz"

	minKeyLength = 4   // Dir's folders are named after the first four
	maxKeyLength = 255 // the longest name of a file, and of Active Storage's key column in MySQL
)

// NewKey returns a random key as Active Storage makes them: 28 of the characters 0-9 and a-z, each as likely as the others,
// so 144 bits. They survive file systems and databases that ignore case.
func NewKey() string {
	key := make([]byte, 0, newKeyLength)
	for {
		var random [2 * newKeyLength]byte
		rand.Read(random[:]) // never fails: crypto/rand ends the program instead
		for _, b := range random {
			c, ok := base36Of(b)
			if !ok {
				continue
			}
			if key = append(key, c); len(key) == newKeyLength {
				return string(key)
			}
		}
	}
}

// base36Of refuses the bytes from 252 = 7 × 36 on: the remainders of a division of all 256 would favour four characters.
func base36Of(b byte) (c byte, ok bool) {
	if int(b) >= 256/len(base36)*len(base36) {
		return 0, false
	}
	return base36[int(b)%len(base36)], true
}

// CheckKey returns an error that matches ErrInvalidKey and says what is wrong and where, unless key has 4 to 255 of the
// characters a-z, A-Z, 0-9, _ and -. So no key leads out of a directory or a bucket's prefix. Every store refuses the others.
//
// Keys that differ only in case are different, but on file systems that ignore it.
func CheckKey(key string) error {
	for i, c := range []byte(key) {
		if !isKeyByte(c) {
			return fmt.Errorf("key %q: %q at byte %d, where only a-z, A-Z, 0-9, _ and - may be: %w",
				shortened(key), c, i, ErrInvalidKey)
		}
	}
	if n := len(key); n < minKeyLength || n > maxKeyLength {
		return fmt.Errorf("key %q: %d characters, where %d to %d may be: %w",
			shortened(key), n, minKeyLength, maxKeyLength, ErrInvalidKey)
	}
	return nil
}

func isKeyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-'
}

// shortened keeps an error readable when someone passes a file's content as its key.
func shortened(key string) string {
	const enough = 40
	if len(key) <= enough {
		return key
	}
	return key[:enough] + "…"
}
