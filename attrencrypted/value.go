package attrencrypted

import (
	"encoding/base64"
	"strings"

	"github.com/rowseal/rowseal/internal/mime64"
)

// Value is what the columns of one attribute hold, encoded as the Options say. The attribute ssn has the columns
// encrypted_ssn, encrypted_ssn_iv and encrypted_ssn_salt. A NULL in the first is no Value: it is the caller's to keep.
type Value struct {
	Ciphertext     string
	IV, Salt       string // as good as NULL when ""
	HasIV, HasSalt bool   // false: the column is NULL, or there is none
}

// parts are a Value's columns, decoded.
type parts struct {
	// room is nonceSize bytes for the nonce, and after them the ciphertext with its tag: what cipher.NewGCMWithRandomNonce
	// opens lies in one piece so.
	room     []byte
	iv, salt []byte
}

func (p parts) sealed() []byte { return p.room[nonceSize:] }

// in drops the columns that a mode does not have: the gem does not look at them.
func (v Value) in(m Mode) Value {
	v.HasIV = v.HasIV && m != SingleIVAndSalt
	v.HasSalt = v.HasSalt && m == PerAttributeIVAndSalt
	return v
}

func (o Options) decode(v Value) parts {
	p := parts{room: o.Encode.appendDecode(make([]byte, nonceSize, nonceSize+len(v.Ciphertext)), v.Ciphertext)}
	if v.HasIV {
		p.iv = o.EncodeIV.appendDecode(nil, v.IV)
	}
	if v.HasSalt {
		p.salt = o.EncodeSalt.decodeSalt(v.Salt)
	}
	return p
}

// rule is the trait that says where the key comes from. It follows from the columns that are there (encryptor
// lib/encryptor.rb, crypt).
func (p parts) rule() Form {
	switch {
	case len(p.iv) == 0:
		return Single
	case len(p.salt) > 0:
		return Salted
	default:
		return 0
	}
}

func (e Encoding) encode(b []byte) string {
	switch e {
	case Raw:
		return string(b)
	case Strict:
		return base64.StdEncoding.EncodeToString(b)
	default:
		return mime64.Encode(b)
	}
}

func (e Encoding) appendDecode(dst []byte, s string) []byte {
	if e == Raw {
		return append(dst, s...)
	}
	return mime64.AppendDecode(dst, []byte(s))
}

// saltMark tells an encoded salt from those of attr_encrypted 1.x, which are text and taken as they are (attr_encrypted
// lib/attr_encrypted.rb, decode_salt_if_encoded).
const saltMark = "_"

func (e Encoding) encodeSalt(salt []byte) string {
	if e == Raw {
		return string(salt)
	}
	return saltMark + e.encode(salt)
}

func (e Encoding) decodeSalt(s string) []byte {
	encoded, marked := strings.CutPrefix(s, saltMark)
	if e == Raw || !marked {
		return []byte(s)
	}
	return e.appendDecode(nil, encoded)
}
