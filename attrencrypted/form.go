package attrencrypted

import "strings"

// Form is how a value was really sealed: a set of traits. The zero Form is unknown.
type Form uint8

// A sealed value is either GCM or CBC, and one more trait or two say where its key and its IV came from; without any, the
// key was taken as it is, and the IV from its column.
const (
	Empty     Form = 1 << iota // "", which was never sealed
	GCM                        // AES-GCM
	CBC                        // AES-CBC, which nothing authenticates
	Salted                     // key by PBKDF2-HMAC-SHA1 from key and salt
	Single                     // key and IV by MD5 from the key: the same in every row
	IgnoredIV                  // the nonce is twelve zero bytes, whatever the IV column says: encryptor 2.0
)

var traits = []string{"empty", "gcm", "cbc", "salted", "single", "ignored-iv"}

// String names the traits, "gcm+salted" for one. The zero Form is "unknown".
func (f Form) String() string {
	var names []string
	for i, name := range traits {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "unknown"
	}
	return strings.Join(names, "+")
}

// MarshalText writes String, so that reports in JSON name the form.
func (f Form) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Insecure tells whether values of this form should be reported, and sealed anew: nothing authenticates them, or every row
// shares an IV.
func (f Form) Insecure() bool { return f&(CBC|Single|IgnoredIV) != 0 }
