package blindindex

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the length of master keys and index keys in bytes.
const KeySize = 32

// indexInfo separates index keys from other derived keys, as CipherSweet does: 32 times 0x7E.
var indexInfo = strings.Repeat("\x7e", 32)

// KeyOf derives the key of one index from a master key of KeySize bytes, as the gem's BlindIndex.index_key does
// (blind_index lib/blind_index/key_generator.rb): a root key, HKDF-SHA-384 (RFC 5869) with the table as salt and 32 bytes
// 0x7E followed by column as info, KeySize bytes long; under it HMAC-SHA-256 of table, column and column, packed. The
// result has KeySize bytes. column is the column of the index ("email_bidx"). Where a table or column was renamed, give
// its first name, the gem's key_table and key_attribute. lockbox.ParseKey reads a master key from hex.
//
// Packed is: the number of strings in 4 bytes, then each string after its length in 8 bytes; all little-endian.
func KeyOf(masterKey []byte, table, column string) ([]byte, error) {
	if len(masterKey) != KeySize {
		return nil, fmt.Errorf("blindindex: a master key of %d bytes: want %d", len(masterKey), KeySize)
	}
	if table == "" || column == "" {
		return nil, errors.New("blindindex: an index key needs the names of table and column")
	}
	root, err := hkdf.Key(sha512.New384, masterKey, []byte(table), indexInfo+column, KeySize)
	if err != nil {
		return nil, fmt.Errorf("blindindex: deriving the key of %s.%s: %w", table, column, err)
	}
	mac := hmac.New(sha256.New, root)
	mac.Write(pack(table, column, column))
	return mac.Sum(nil), nil
}

func pack(pieces ...string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(pieces)))
	for _, p := range pieces {
		b = binary.LittleEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}
