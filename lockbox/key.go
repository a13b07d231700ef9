package lockbox

import (
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ParseKey returns the 32 bytes that 64 hex digits of either case name, as the gem reads keys from text.
func ParseKey(s string) ([]byte, error) {
	key, err := hex.DecodeString(s)
	if err != nil || len(key) != KeySize {
		return nil, fmt.Errorf("lockbox: not a key: want %d hex digits", 2*KeySize)
	}
	return key, nil
}

// attributeInfo separates Lockbox's derived keys from those of others, as CipherSweet does: 32 times 0xB4.
var attributeInfo = strings.Repeat("\xb4", 32)

// AttributeKey derives the key of one attribute from a master key of KeySize bytes: HKDF-SHA-384 (RFC 5869) with the
// table as salt and 32 bytes 0xB4 followed by attribute as info, KeySize bytes long. table is the table's name;
// attribute is the name of the ciphertext column ("email_ciphertext"), and for files the attachment's own name
// ("license"). It is the gem's Lockbox.attribute_key (lockbox lib/lockbox/key_generator.rb).
func AttributeKey(masterKey []byte, table, attribute string) ([]byte, error) {
	if len(masterKey) != KeySize {
		return nil, fmt.Errorf("lockbox: a master key of %d bytes: want %d", len(masterKey), KeySize)
	}
	if table == "" || attribute == "" {
		return nil, errors.New("lockbox: an attribute key needs the names of table and attribute")
	}
	key, err := hkdf.Key(sha512.New384, masterKey, []byte(table), attributeInfo+attribute, KeySize)
	if err != nil {
		return nil, fmt.Errorf("lockbox: deriving the key of %s.%s: %w", table, attribute, err)
	}
	return key, nil
}
