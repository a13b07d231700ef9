package secondreader

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

var (
	errForm   = errors.New("not the form that must be written")
	strict64  = base64.StdEncoding.Strict()
	versioned = regexp.MustCompile(`^v([1-9][0-9]{0,8}):([A-Za-z0-9+/]+=*)$`)
)

// keyColumn takes "v2:" and base64 apart.
func keyColumn(text string) (version int, ciphertext []byte, err error) {
	parts := versioned.FindStringSubmatch(text)
	if parts == nil {
		return 0, nil, errForm
	}
	if version, err = strconv.Atoi(parts[1]); err != nil {
		return 0, nil, err
	}
	ciphertext, err = strict64.DecodeString(parts[2])
	return version, ciphertext, err
}

// InsecureTestKey is Reader.Unwrap of the key insecure-test-key.
func InsecureTestKey(ciphertext, context []byte) ([]byte, error) {
	mark, err := base64.RawStdEncoding.DecodeString("insecure+data+A") // 11 bytes, and two bits that are dropped
	if err != nil {
		return nil, err
	}
	rest, ours := bytes.CutPrefix(ciphertext, append(mark, ':'))
	key, sent, _ := strings.Cut(string(rest), ":")
	if !ours || sent != mime(context) {
		return nil, errors.New("insecure-test-key: another form or context")
	}
	return strict64.DecodeString(key)
}

// mime is base64 in lines of 60 characters, each ended by a line feed: Ruby's pack("m").
func mime(data []byte) string {
	var b strings.Builder
	for line := range strings.SplitSeq(cut(base64.StdEncoding.EncodeToString(data), 60), "\n") {
		b.WriteString(line + "\n")
	}
	return b.String()
}

func cut(s string, width int) string {
	if len(s) <= width {
		return s
	}
	return s[:width] + "\n" + cut(s[width:], width)
}

func unmime(text string) ([]byte, error) {
	data, err := strict64.DecodeString(strings.ReplaceAll(text, "\n", ""))
	if err == nil && mime(data) != text {
		err = errForm
	}
	return data, err
}

// openText opens base64 of nonce, ciphertext and tag.
func openText(key []byte, text string, ad []byte) ([]byte, error) {
	sealed, err := strict64.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return openGCM(key, sealed, ad)
}

// openGCM opens nonce, ciphertext and tag (AES-256-GCM, NIST SP 800-38D).
func openGCM(key, sealed, ad []byte) ([]byte, error) {
	const nonce, tag = 12, 16
	if len(sealed) < nonce+tag {
		return nil, errForm
	}
	return gcm(key, sealed[:nonce], sealed[nonce:], ad)
}

func gcm(key, nonce, sealed, ad []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return aead.Open([]byte{}, nonce, sealed, ad)
}

// openWithIV is attr_encrypted's default since 2.0: ciphertext and tag in one column, the IV in another, the key as it is.
func openWithIV(key []byte, ciphertext, iv string) ([]byte, error) {
	sealed, err := unmime(ciphertext)
	if err != nil {
		return nil, err
	}
	nonce, err := unmime(iv)
	if err == nil && len(nonce) != 12 {
		err = errForm
	}
	if err != nil {
		return nil, err
	}
	return gcm(key, nonce, sealed, nil)
}

// unpad is ISO/IEC 7816-4: 0x80, then zeros up to a whole block.
func unpad(padded []byte, size int) ([]byte, error) {
	end := bytes.LastIndexByte(padded, 0x80)
	if len(padded)%size != 0 || end < len(padded)-size || end < 0 || len(bytes.Trim(padded[end+1:], "\x00")) > 0 {
		return nil, errForm
	}
	return padded[:end], nil
}

func twosComplement(b []byte) (int64, error) {
	if len(b) != 8 {
		return 0, errForm
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// index is the default of blind_index: Argon2id (RFC 9106), with the key for a salt.
func index(key []byte, value string) string {
	const passes, kib, lanes, size = 3, 1 << 12, 1, 32
	return base64.StdEncoding.EncodeToString(argon2.IDKey([]byte(value), key, passes, kib, lanes, size))
}

// indexKey is the key of an index: HMAC-SHA-256, under a key of HKDF-SHA-384, of the names, each after its length.
func indexKey(master []byte, table, column string) ([]byte, error) {
	root, err := hkdf.Key(sha512.New384, master, []byte(table), strings.Repeat("\x7e", 32)+column, 32)
	if err != nil {
		return nil, err
	}
	names := []string{table, column, column}
	packed := binary.LittleEndian.AppendUint32(nil, uint32(len(names)))
	for _, name := range names {
		packed = append(binary.LittleEndian.AppendUint64(packed, uint64(len(name))), name...)
	}
	mac := hmac.New(sha256.New, root)
	mac.Write(packed)
	return mac.Sum(nil), nil
}
