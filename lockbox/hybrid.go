package lockbox

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/nacl/box"
)

// HybridKeySize is the length in bytes of either key of HybridKeys.
const HybridKeySize = 64

// HybridKeys are the keys of a Hybrid box, as the gem's Lockbox.generate_key_pair makes them. Of two X25519 key pairs, A and
// B, Encryption is B's public key followed by A's secret one, Decryption is B's secret key followed by A's public one; each
// part has 32 bytes. One may be nil: then the box does not encrypt, or does not decrypt. That is a convenience and no
// protection, since either key can open (see Hybrid).
//
// The keys hide from fmt, log/slog and encoding/json as those of Previous do.
type HybridKeys struct {
	Encryption []byte `json:"-"` // HybridKeySize bytes, or nil
	Decryption []byte `json:"-"` // HybridKeySize bytes, or nil
}

// GenerateHybridKeys returns new random keys.
func GenerateHybridKeys() (HybridKeys, error) {
	if err := checkFIPS(Hybrid); err != nil {
		return HybridKeys{}, err
	}
	publicA, secretA, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return HybridKeys{}, fmt.Errorf("lockbox: generating hybrid keys: %w", err)
	}
	publicB, secretB, err := box.GenerateKey(rand.Reader)
	if err != nil {
		return HybridKeys{}, fmt.Errorf("lockbox: generating hybrid keys: %w", err)
	}
	return HybridKeys{
		Encryption: append(publicB[:], secretA[:]...),
		Decryption: append(secretB[:], publicA[:]...),
	}, nil
}

// ParseHybridKeys returns the keys that 128 hex digits each name, as the gem reads and prints them. "" is no key.
func ParseHybridKeys(encryption, decryption string) (HybridKeys, error) {
	e, err := parseHybridKey("encryption", encryption)
	if err != nil {
		return HybridKeys{}, err
	}
	d, err := parseHybridKey("decryption", decryption)
	if err != nil {
		return HybridKeys{}, err
	}
	return HybridKeys{Encryption: e, Decryption: d}, nil
}

func parseHybridKey(name, s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	key, err := hex.DecodeString(s)
	if err != nil || len(key) != HybridKeySize {
		return nil, fmt.Errorf("lockbox: not a hybrid %s key: want %d hex digits", name, 2*HybridKeySize)
	}
	return key, nil
}

// Format prints the type's name and not the keys, whatever the verb.
func (HybridKeys) Format(s fmt.State, _ rune) { io.WriteString(s, "lockbox.HybridKeys") }

// LogValue hides the keys from log/slog.
func (HybridKeys) LogValue() slog.Value { return slog.StringValue("lockbox.HybridKeys") }

// newHybrid returns what seals and what opens under keys; nil for a key that is not there.
func newHybrid(keys *HybridKeys) (seals, opens primitive, err error) {
	if err := checkFIPS(Hybrid); err != nil {
		return nil, nil, err
	}
	if keys == nil || keys.Encryption == nil && keys.Decryption == nil {
		return nil, nil, errors.New("lockbox: a hybrid box has no keys: give at least one of HybridKeys")
	}
	if seals, err = newShared("encryption", keys.Encryption, publicFirst); err != nil {
		return nil, nil, err
	}
	if opens, err = newShared("decryption", keys.Decryption, secretFirst); err != nil {
		return nil, nil, err
	}
	return seals, opens, nil
}

func publicFirst(key []byte) (public, secret []byte) { return key[:32], key[32:] }
func secretFirst(key []byte) (public, secret []byte) { return key[32:], key[:32] }

// newShared returns a secretbox under the key that one side's public and the other's secret key agree on.
func newShared(name string, key []byte, split func(key []byte) (public, secret []byte)) (primitive, error) {
	if key == nil {
		return nil, nil
	}
	if len(key) != HybridKeySize {
		return nil, fmt.Errorf("lockbox: a hybrid %s key of %d bytes: want %d (hex digits go through ParseHybridKeys first)",
			name, len(key), HybridKeySize)
	}
	public, secret := split(key)
	// box.Precompute ignores an exchange that fails, and would seal under a key that everyone knows.
	if _, err := curve25519.X25519(secret, public); err != nil {
		return nil, fmt.Errorf("lockbox: the hybrid %s key holds no usable public key", name)
	}
	shared := &secretBox{}
	box.Precompute(&shared.key, (*[32]byte)(public), (*[32]byte)(secret))
	return shared, nil
}
