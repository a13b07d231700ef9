package blindindex

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/scrypt"

	"github.com/rowseal/rowseal/internal/errs"
)

// ErrNotFIPS is the answer of New to an algorithm that FIPS 140-3 does not approve, under GODEBUG=fips140=only.
var ErrNotFIPS = errs.ErrNotFIPS

// Algorithm names the function that makes an index of a value, as the gem's option algorithm does.
type Algorithm string

const (
	// Argon2id (RFC 9106) is the default, also for "": T passes over 2^M KiB in one lane; 3 and 2¹² (4 MiB), or 4 and 2¹⁵
	// (32 MiB) when slow. FIPS 140-3 does not approve it.
	Argon2id Algorithm = "argon2id"

	// Argon2i (RFC 9106) has Argon2id's costs, and no slow form. FIPS 140-3 does not approve it.
	Argon2i Algorithm = "argon2i"

	// PBKDF2SHA256 is PBKDF2 with HMAC-SHA-256 (RFC 8018): 10,000 iterations, or 100,000 when slow. It takes no memory, so
	// whoever has the key guesses far faster than with Argon2id, on graphics cards above all. Values that differ only in NULs
	// at their end have the same index, as they do with Scrypt, which is built on it.
	PBKDF2SHA256 Algorithm = "pbkdf2_sha256"

	// Scrypt (RFC 7914) has N 4096, R 8, P 1 (4 MiB), and no slow form. FIPS 140-3 does not approve it.
	Scrypt Algorithm = "scrypt"

	// HMACSHA256 is HMAC-SHA-256 (RFC 2104) of the value under the key, cut to its first Size bytes. It has no costs, is
	// approved by FIPS 140-3, and is not in the gem: a Rails app cannot search such a column.
	//
	// It takes a microsecond, for the owner and for a thief: whoever has the key and the column tries every phone number,
	// date or common name within minutes. It is right for values that nobody can enumerate (tokens, random numbers), and
	// for volumes that nothing slower can carry, where the key is guarded better than the database is. Without the key it
	// is as good as the others.
	HMACSHA256 Algorithm = "hmac_sha256"
)

// hashFunc makes the index of a value, size bytes of it.
type hashFunc func(value string, key []byte, size int) ([]byte, error)

// check refuses what is unknown, and what FIPS 140-3 mode forbids: x/crypto would run it.
func (a Algorithm) check() error {
	switch a {
	case PBKDF2SHA256, HMACSHA256:
		return nil
	case Argon2id, Argon2i, Scrypt:
		return errs.CheckFIPS("blindindex", string(a), string(PBKDF2SHA256)+" or "+string(HMACSHA256))
	default:
		return fmt.Errorf("blindindex: unknown algorithm %.40q: want %s, %s, %s, %s or %s",
			a, Argon2id, Argon2i, PBKDF2SHA256, Scrypt, HMACSHA256)
	}
}

// hash returns the algorithm at complete costs. The size is part of Argon2's input, so an Argon2 index of 16 bytes is no
// part of the one of 32; the others cut.
func (a Algorithm) hash(c Cost) hashFunc {
	switch a {
	case Argon2i:
		return func(value string, key []byte, size int) ([]byte, error) {
			return argon2.Key([]byte(value), key, uint32(c.T), 1<<c.M, 1, uint32(size)), nil
		}
	case PBKDF2SHA256:
		return func(value string, key []byte, size int) ([]byte, error) {
			return pbkdf2SHA256(value, key, c.Iterations, size)
		}
	case Scrypt:
		return func(value string, key []byte, size int) ([]byte, error) {
			return scrypt.Key([]byte(value), key, c.N, c.R, c.P, size)
		}
	case HMACSHA256:
		return hmacSHA256
	default:
		return func(value string, key []byte, size int) ([]byte, error) {
			return argon2.IDKey([]byte(value), key, uint32(c.T), 1<<c.M, 1, uint32(size)), nil
		}
	}
}

// pbkdf2SHA256 cuts by itself: fips140=only refuses to derive less than 14 bytes, because it takes them for a key.
func pbkdf2SHA256(value string, key []byte, iterations, size int) ([]byte, error) {
	index, err := pbkdf2.Key(sha256.New, value, key, iterations, max(size, sha256.Size))
	if err != nil {
		return nil, err
	}
	return index[:size], nil
}

func hmacSHA256(value string, key []byte, size int) ([]byte, error) {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(value))
	return mac.Sum(nil)[:size], nil
}
