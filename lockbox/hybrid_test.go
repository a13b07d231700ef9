package lockbox_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"github.com/rowseal/rowseal/lockbox"
)

func TestAHybridBoxOpensWhatTheGemSealed(t *testing.T) {
	for i, row := range gemBoxes.Hybrid {
		keys := lockbox.HybridKeys{Encryption: row.Encryption, Decryption: row.Decryption}
		format := lockbox.Format{Padding: row.Padding, Raw: !row.Encode}
		b, err := lockbox.NewHybrid(keys, &lockbox.Options{Algorithm: row.Algorithm, Format: format})
		if refusedByFIPS(t, lockbox.Hybrid, err) {
			continue
		}
		got, err := must(b, err).Decrypt(row.sealed(), nil)
		if err != nil || !bytes.Equal(got, row.Plaintext) {
			t.Errorf("row %d opens to %q, %v; want %q", i, got, err, row.Plaintext)
		}
		if ours := must(b.Encrypt(row.Plaintext, nil)); len(ours) != len(row.sealed()) {
			t.Errorf("row %d: we write %d bytes, the gem wrote %d", i, len(ours), len(row.sealed()))
		}
	}
	if len(gemBoxes.Hybrid) != 6 {
		t.Errorf("%d rows, want 6", len(gemBoxes.Hybrid))
	}
}

func TestGeneratedHybridKeysAreLaidOutAsTheGems(t *testing.T) {
	keys, err := lockbox.GenerateHybridKeys()
	if refusedByFIPS(t, lockbox.Hybrid, err) {
		return
	}
	if err != nil || len(keys.Encryption) != lockbox.HybridKeySize || len(keys.Decryption) != lockbox.HybridKeySize {
		t.Fatalf("keys of %d and %d bytes, %v", len(keys.Encryption), len(keys.Decryption), err)
	}
	publicB, secretA := (*[32]byte)(keys.Encryption), (*[32]byte)(keys.Encryption[32:])
	secretB, publicA := (*[32]byte)(keys.Decryption), (*[32]byte)(keys.Decryption[32:])
	raw := &lockbox.Options{Format: lockbox.Format{Raw: true}}
	b := must(lockbox.NewHybrid(keys, raw))

	sealed := must(b.Encrypt([]byte("to NaCl"), nil))
	if got, ok := box.Open(nil, sealed[24:], (*[24]byte)(sealed), publicA, secretB); !ok || string(got) != "to NaCl" {
		t.Errorf("NaCl opens it to %q, %v", got, ok)
	}
	var nonce [24]byte
	rand.Read(nonce[:])
	sealed = box.Seal(nonce[:], []byte("from NaCl"), &nonce, publicB, secretA)
	if got, err := b.Decrypt(sealed, nil); err != nil || string(got) != "from NaCl" {
		t.Errorf("what NaCl sealed opens to %q, %v", got, err)
	}
	if other := must(lockbox.GenerateHybridKeys()); bytes.Equal(other.Encryption[32:], keys.Encryption[32:]) ||
		bytes.Equal(other.Decryption[:32], keys.Decryption[:32]) {
		t.Error("two calls gave the same keys")
	}
}

// The documentation's warning, which must not be forgotten while it is true.
func TestEitherHybridKeyOpens(t *testing.T) {
	b, err := lockbox.NewHybrid(lockbox.HybridKeys{Encryption: naclHybridKeys.Encryption}, nil)
	if refusedByFIPS(t, lockbox.Hybrid, err) {
		return
	}
	sealed := must(must(b, err).Encrypt([]byte("a secret"), nil))
	swapped := append(slices.Clone(naclHybridKeys.Encryption[32:]), naclHybridKeys.Encryption[:32]...)
	got, err := must(lockbox.NewHybrid(lockbox.HybridKeys{Decryption: swapped}, nil)).Decrypt(sealed, nil)
	if err != nil || string(got) != "a secret" {
		t.Errorf("the encryption key opens %q, %v: then say so in the documentation", got, err)
	}
}

func TestOneHybridKeyMakesABoxThatDoesHalf(t *testing.T) {
	encrypts, err := lockbox.NewHybrid(lockbox.HybridKeys{Encryption: naclHybridKeys.Encryption}, nil)
	if refusedByFIPS(t, lockbox.Hybrid, err) {
		return
	}
	decrypts := must(lockbox.NewHybrid(lockbox.HybridKeys{Decryption: naclHybridKeys.Decryption}, nil))
	sealed := must(must(encrypts, err).Encrypt([]byte("hi"), nil))
	if got, err := decrypts.Decrypt(sealed, nil); err != nil || string(got) != "hi" {
		t.Errorf("opens to %q, %v", got, err)
	}
	if got, err := encrypts.Decrypt(sealed, nil); err == nil || !strings.Contains(err.Error(), "no decryption key") {
		t.Errorf("without a decryption key: %q, %v", got, err)
	}
	if got, err := decrypts.Encrypt([]byte("hi"), nil); err == nil || !strings.Contains(err.Error(), "no encryption key") {
		t.Errorf("without an encryption key: %q, %v", got, err)
	}
}

func TestHybridKeysThatCannotWorkAreRefused(t *testing.T) {
	_, err := lockbox.NewHybrid(naclHybridKeys, nil)
	if refusedByFIPS(t, lockbox.Hybrid, err) {
		return
	}
	// x/crypto's nacl/box would take these public keys, and agree on a key that everyone knows.
	zero := make([]byte, 64)
	lowOrder := append([]byte{1}, zero[1:]...)
	old := &lockbox.HybridKeys{Decryption: zero}
	for _, c := range []struct {
		name string
		keys lockbox.HybridKeys
		opts *lockbox.Options
		want string
	}{
		{"no keys", lockbox.HybridKeys{}, nil, "no keys"},
		{"a short encryption key", lockbox.HybridKeys{Encryption: testKey}, nil, "encryption key of 32 bytes: want 64"},
		{"a short decryption key", lockbox.HybridKeys{Decryption: testKey}, nil, "decryption key of 32 bytes: want 64"},
		{"an empty encryption key", lockbox.HybridKeys{Encryption: []byte{}}, nil, "encryption key of 0 bytes: want 64"},
		{"a zero public key to encrypt", lockbox.HybridKeys{Encryption: zero}, nil, "encryption key holds no usable public key"},
		{"a zero public key to decrypt", lockbox.HybridKeys{Decryption: zero}, nil, "decryption key holds no usable public key"},
		{"a public key of low order", lockbox.HybridKeys{Encryption: lowOrder}, nil, "no usable public key"},
		{
			"another algorithm", naclHybridKeys,
			&lockbox.Options{Algorithm: lockbox.XSalsa20}, `"xsalsa20" with hybrid keys: want "hybrid"`,
		},
		{
			"a previous key that is not there", naclHybridKeys,
			&lockbox.Options{Previous: []lockbox.Previous{{}}}, "a key of 0 bytes: want 32",
		},
		{
			"a bad previous key", naclHybridKeys,
			&lockbox.Options{Previous: []lockbox.Previous{{Hybrid: old}}}, "usable public key (previous version 0)",
		},
		{
			"a previous version that cannot decrypt", naclHybridKeys,
			&lockbox.Options{Previous: []lockbox.Previous{{Hybrid: &lockbox.HybridKeys{Encryption: naclHybridKeys.Encryption}}}},
			"no hybrid decryption key (previous version 0)",
		},
		{
			"a previous version with two kinds of keys", naclHybridKeys,
			&lockbox.Options{Previous: []lockbox.Previous{{Key: testKey, Hybrid: &naclHybridKeys}}}, "give one of them",
		},
	} {
		b, err := lockbox.NewHybrid(c.keys, c.opts)
		if b != nil || err == nil || !strings.HasPrefix(err.Error(), "lockbox: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want it to say %q", c.name, err, c.want)
		}
	}
	_, err = lockbox.New(testKey, &lockbox.Options{Algorithm: lockbox.Hybrid})
	if err == nil || !strings.Contains(err.Error(), "NewHybrid") {
		t.Errorf("New with hybrid: %v, want it to name NewHybrid", err)
	}
	if _, err := lockbox.New(testKey, &lockbox.Options{Previous: []lockbox.Previous{{Algorithm: lockbox.Hybrid}}}); err == nil {
		t.Error("a previous hybrid version has no keys, and nobody minds")
	}
}

func TestAPreviousHybridVersionHasTheKeysOfItsBoxWhereItHasNone(t *testing.T) {
	format := lockbox.Format{Padding: 64}
	old, err := lockbox.NewHybrid(naclHybridKeys, &lockbox.Options{Format: format})
	if refusedByFIPS(t, lockbox.Hybrid, err) {
		return
	}
	b := must(lockbox.NewHybrid(naclHybridKeys, &lockbox.Options{
		Format:   lockbox.Format{Padding: 16},
		Previous: []lockbox.Previous{{Algorithm: lockbox.Hybrid, Padding: 64}},
	}))
	if got, err := b.Decrypt(must(must(old, err).Encrypt([]byte("hi"), nil)), nil); err != nil || string(got) != "hi" {
		t.Errorf("opens to %q, %v", got, err)
	}
}

func TestParseHybridKeysReads128HexDigitsEach(t *testing.T) {
	keys := naclHybridKeys
	encryption, decryption := hex.EncodeToString(keys.Encryption), strings.ToUpper(hex.EncodeToString(keys.Decryption))
	got, err := lockbox.ParseHybridKeys(encryption, decryption)
	if err != nil || !bytes.Equal(got.Encryption, keys.Encryption) || !bytes.Equal(got.Decryption, keys.Decryption) {
		t.Errorf("128 digits each are not read: %v", err)
	}
	if got, err := lockbox.ParseHybridKeys("", decryption); err != nil || got.Encryption != nil || got.Decryption == nil {
		t.Errorf("a key alone is not read: %v", err)
	}
	for _, c := range [][2]string{
		{encryption[2:], ""}, {"", decryption + "00"}, {"g" + encryption[1:], ""}, {encryption, decryption[1:]},
	} {
		_, err := lockbox.ParseHybridKeys(c[0], c[1])
		if err == nil || !strings.Contains(err.Error(), "want 128 hex digits") || strings.Contains(err.Error(), "2b4f") {
			t.Errorf("%d and %d digits: %v", len(c[0]), len(c[1]), err)
		}
	}
}
