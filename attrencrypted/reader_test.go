package attrencrypted_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/attrencrypted"
)

// secondReader opens what the gems write, straight from their formats, sharing no code with the package.
type secondReader struct {
	algorithm string // "aes-256-gcm"
	ignoresIV bool   // encryptor 2.0
}

// columns are the bytes in the columns, nil where a column is NULL.
type columns struct{ encrypted, iv, salt []byte }

func (r secondReader) open(key []byte, c columns) ([]byte, error) {
	size, gcm := 32, true
	if r.algorithm != "" {
		bits, err := strconv.Atoi(r.algorithm[4:7])
		if err != nil {
			return nil, err
		}
		size, gcm = bits/8, strings.HasSuffix(r.algorithm, "gcm")
	}
	iv := c.iv
	switch {
	case c.iv == nil:
		stream := md5Stream(key)
		key, iv = stream[:size], stream[size:]
	case c.salt != nil:
		key = pbkdf2SHA1(key, c.salt)[:size]
	default:
		key = key[:size]
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if !gcm {
		return openCBC(block, iv[:16], c.encrypted)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	nonce := iv[:12]
	if r.ignoresIV {
		nonce = make([]byte, 12)
	}
	return aead.Open(nil, nonce, c.encrypted, nil)
}

func openCBC(block cipher.Block, iv, encrypted []byte) ([]byte, error) {
	if len(encrypted) == 0 || len(encrypted)%16 != 0 {
		return nil, errors.New("not whole blocks")
	}
	var out []byte
	for ; len(encrypted) > 0; encrypted = encrypted[16:] {
		var b [16]byte
		block.Decrypt(b[:], encrypted[:16])
		for i := range b {
			b[i] ^= iv[i]
		}
		out, iv = append(out, b[:]...), encrypted[:16]
	}
	last := int(out[len(out)-1])
	if last < 1 || last > 16 || !bytes.HasSuffix(out, bytes.Repeat([]byte{byte(last)}, last)) {
		return nil, errors.New("wrong padding")
	}
	return out[:len(out)-last], nil
}

// md5Stream is three blocks of EVP_BytesToKey: Dᵢ is MD5, 2,048 times, of Dᵢ₋₁ and the password.
func md5Stream(password []byte) (stream []byte) {
	var d []byte
	for range 3 {
		d = append(d, password...)
		for range 2048 {
			h := md5.New()
			h.Write(d)
			d = h.Sum(nil)
		}
		stream = append(stream, d...)
	}
	return stream
}

// pbkdf2SHA1 is RFC 8018 §5.2: two blocks, 40 bytes.
func pbkdf2SHA1(password, salt []byte) (key []byte) {
	prf := hmac.New(sha1.New, password)
	for block := range 2 {
		prf.Reset()
		prf.Write(salt)
		prf.Write([]byte{0, 0, 0, byte(block + 1)})
		u := prf.Sum(nil)
		sum := bytes.Clone(u)
		for range 1999 {
			prf.Reset()
			prf.Write(u)
			u = prf.Sum(nil)
			for i := range sum {
				sum[i] ^= u[i]
			}
		}
		key = append(key, sum...)
	}
	return key
}

// columnsOf reads the text of columns strictly: MIME base64 with its line ends where they belong or none at all, and salts
// with their mark or none.
func columnsOf(t *testing.T, opts attrencrypted.Options, v attrencrypted.Value) (c columns) {
	t.Helper()
	decode := func(e attrencrypted.Encoding, text string) []byte {
		if e == attrencrypted.Raw {
			return []byte(text)
		}
		return must(base64.StdEncoding.DecodeString(text)) // skips line ends
	}
	c.encrypted = decode(opts.Encode, v.Ciphertext)
	if v.HasIV {
		c.iv = decode(opts.EncodeIV, v.IV)
	}
	if v.HasSalt {
		c.salt = []byte(v.Salt)
		if encoded, ok := strings.CutPrefix(v.Salt, "_"); ok && opts.EncodeSalt != attrencrypted.Raw {
			c.salt = decode(opts.EncodeSalt, encoded)
		}
	}
	return c
}

func needSecondReader(t *testing.T) {
	t.Helper()
	if inFIPSMode() {
		t.Skip("the second reader needs cipher.NewGCM, MD5 and SHA-1, which FIPS 140-3 mode refuses")
	}
}

// Every mode, algorithm, encoding and length.
func TestTheSecondReaderOpensWhatABoxSeals(t *testing.T) {
	for _, c := range writable() {
		t.Run(c.name, func(t *testing.T) {
			needSecondReader(t)
			box := newBox(t, testKey, c.opts)
			for _, n := range []int{0, 1, 15, 16, 17, 28, 29, 30, 100} {
				message := bytes.Repeat([]byte("m"), n)
				v := must(box.Encrypt(message))
				wantLooks(t, c.opts, v, n)
				got, err := secondReader{algorithm: c.opts.Algorithm}.open(testKey, columnsOf(t, c.opts, v))
				if err != nil || !bytes.Equal(got, message) {
					t.Errorf("%d bytes: %+v opens to %q, %v", n, v, got, err)
				}
			}
		})
	}
}

// wantLooks checks the columns that are filled, the length of each, and how they are spelled.
func wantLooks(t *testing.T, opts attrencrypted.Options, v attrencrypted.Value, n int) {
	t.Helper()
	sealed, iv, salt := n+16, 12, 0
	if opts.AllowCBC {
		sealed, iv = n-n%16+16, 16
	}
	if opts.Mode == attrencrypted.PerAttributeIVAndSalt {
		salt = 16
	}
	if opts.Mode == attrencrypted.SingleIVAndSalt {
		iv = 0
	}
	c := columnsOf(t, opts, v)
	if len(c.encrypted) != sealed || len(c.iv) != iv || len(c.salt) != salt {
		t.Errorf("%d bytes: %d, %d and %d bytes in the columns, want %d, %d and %d",
			n, len(c.encrypted), len(c.iv), len(c.salt), sealed, iv, salt)
	}
	if v.HasIV != (iv > 0) || v.HasSalt != (salt > 0) {
		t.Errorf("%d bytes: HasIV %v, HasSalt %v", n, v.HasIV, v.HasSalt)
	}
	for _, column := range []struct {
		encoding   attrencrypted.Encoding
		text, mark string
		bytes      []byte
	}{
		{opts.Encode, v.Ciphertext, "", c.encrypted}, {opts.EncodeIV, v.IV, "", c.iv}, {opts.EncodeSalt, v.Salt, "_", c.salt},
	} {
		if want := spell(column.encoding, column.mark, column.bytes); column.text != want {
			t.Errorf("%d bytes: a column in %q is spelled %q, want %q", n, column.encoding, column.text, want)
		}
	}
}

// spell is Ruby's pack, with a mark before what is encoded.
func spell(e attrencrypted.Encoding, mark string, b []byte) string {
	if len(b) == 0 || e == attrencrypted.Raw {
		return string(b)
	}
	text := base64.StdEncoding.EncodeToString(b)
	if e == attrencrypted.Strict {
		return mark + text
	}
	var lines strings.Builder
	for len(text) > 60 {
		lines.WriteString(text[:60] + "\n")
		text = text[60:]
	}
	return mark + lines.String() + text + "\n"
}

type choice struct {
	name string
	opts attrencrypted.Options
}

// writable are the options under which values are written: all modes with all algorithms, but GCM under one nonce; and
// all encodings.
func writable() (all []choice) {
	modes := []attrencrypted.Mode{"", attrencrypted.PerAttributeIVAndSalt, attrencrypted.SingleIVAndSalt}
	encodings := []attrencrypted.Encoding{attrencrypted.MIME, attrencrypted.Strict, attrencrypted.Raw}
	for i, mode := range modes {
		for j, algorithm := range []string{
			"", "aes-128-gcm", "aes-192-gcm", "aes-256-gcm", "aes-128-cbc", "aes-192-cbc", "aes-256-cbc",
		} {
			cbc := strings.HasSuffix(algorithm, "cbc")
			if mode == attrencrypted.SingleIVAndSalt && !cbc {
				continue
			}
			e := func(k int) attrencrypted.Encoding { return encodings[(i+j+k)%len(encodings)] }
			opts := attrencrypted.Options{
				Mode: mode, Algorithm: algorithm, AllowCBC: cbc, AllowEmpty: true,
				Encode: e(0), EncodeIV: e(1), EncodeSalt: e(2),
			}
			all = append(all, choice{nameOf(opts) + " " + string(opts.Encode), opts})
		}
	}
	for _, e := range encodings {
		opts := attrencrypted.Options{
			Mode: attrencrypted.PerAttributeIVAndSalt, Encode: e, EncodeIV: e, EncodeSalt: e, AllowEmpty: true,
		}
		all = append(all, choice{"all columns in " + string(e), opts})
	}
	return all
}
