package attrencrypted

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rowseal/rowseal/internal/errs"
)

// Options say what the gem's options of the attribute say. The zero value is the gem's defaults under Active Record.
type Options struct {
	Mode      Mode   // "" is PerAttributeIV
	Algorithm string // "" is DefaultAlgorithm; the others are aes-128-gcm, aes-192-gcm, and aes-…-cbc behind AllowCBC

	// How the columns of the ciphertext, the IV and the salt hold their bytes; each "" is MIME.
	Encode, EncodeIV, EncodeSalt Encoding

	// AllowEmpty seals an empty plaintext like any other, the gem's allow_empty_value. Without it, "" is stored as "".
	// Where Ruby's OpenSSL binding refuses empty data (https://github.com/ruby/openssl/pull/568 changed that), the gem
	// neither writes nor reads such values.
	AllowEmpty bool
	Marshal    Marshal // "" is MarshalNone

	// AllowCBC lets values be read that nothing authenticates: whoever can write to the column can change what they say.
	// Under an aes-…-cbc Algorithm it is required, and CBC is written too; under aes-…-gcm, values of the same key that
	// the app wrote in CBC before are read as well, but not written.
	AllowCBC bool

	// AllowIgnoredIV lets GCM values be read whose nonce is the same in every row of a key, so that they hide and
	// authenticate next to nothing: those of encryptor 2.0, which ignored the IV (the option v2_gcm_iv of encryptor 3.0),
	// and those of SingleIVAndSalt with GCM. They are never written.
	AllowIgnoredIV bool

	// AllowShortKey lets PerAttributeIVAndSalt derive keys from fewer bytes than the algorithm's own key has, as the gem
	// does under insecure_mode. SingleIVAndSalt, which the gem knows only under insecure_mode, takes any key without this.
	AllowShortKey bool
}

// DefaultAlgorithm is the gem's since 2.0.
const DefaultAlgorithm = "aes-256-gcm"

// Mode says where the IV comes from, and how the AES key comes from the key.
type Mode string

const (
	// PerAttributeIV has a random IV in a column of its own, and takes the key as it is, cut to the length of the
	// algorithm's. The gem's default since 2.0.
	PerAttributeIV Mode = "per_attribute_iv"

	// PerAttributeIVAndSalt has also a random salt of 16 bytes in a third column, and derives a key a value from it, by
	// PBKDF2-HMAC-SHA1 with 2,000 iterations (RFC 8018 §5.2). A value without a salt has the key as it is. Not in FIPS mode.
	PerAttributeIVAndSalt Mode = "per_attribute_iv_and_salt"

	// SingleIVAndSalt has one column only. Key and IV both come from the key, by OpenSSL's EVP_BytesToKey with MD5 and
	// 2,048 iterations, so that equal plaintexts have equal ciphertexts. The gem's default before 2.0. Not in FIPS mode.
	SingleIVAndSalt Mode = "single_iv_and_salt"
)

// Encoding is how a column holds bytes, in the words of Ruby's Array#pack. All base64 is read as leniently as Ruby
// unpacks "m".
type Encoding string

const (
	MIME   Encoding = "m"    // base64 in lines of 60 columns, each ended by "\n", the last one too (RFC 2045 §6.8)
	Strict Encoding = "m0"   // base64 without line ends (RFC 4648 §4)
	Raw    Encoding = "none" // the bytes themselves, for a binary column: the gem's encode: false
)

// algorithm is an AES mode of operation with a key size.
type algorithm struct {
	keySize int // in bytes
	cbc     bool
}

var algorithms = map[string]algorithm{
	"aes-128-gcm": {keySize: 16}, "aes-192-gcm": {keySize: 24}, "aes-256-gcm": {keySize: 32},
	"aes-128-cbc": {16, true}, "aes-192-cbc": {24, true}, "aes-256-cbc": {32, true},
}

// complete checks the options and fills in the defaults.
func (o Options) complete() (Options, error) {
	if o.Mode == "" {
		o.Mode = PerAttributeIV
	}
	if o.Algorithm == "" {
		o.Algorithm = DefaultAlgorithm
	}
	for _, e := range []*Encoding{&o.Encode, &o.EncodeIV, &o.EncodeSalt} {
		if *e == "" {
			*e = MIME
		}
		if err := oneOf("encoding", *e, MIME, Strict, Raw); err != nil {
			return o, err
		}
	}
	if err := oneOf("mode", o.Mode, PerAttributeIV, PerAttributeIVAndSalt, SingleIVAndSalt); err != nil {
		return o, err
	}
	if err := oneOf("marshalling", o.Marshal, MarshalNone, MarshalJSON, MarshalBytes); err != nil {
		return o, err
	}
	if err := o.checkAlgorithm(); err != nil {
		return o, err
	}
	return o, o.checkFIPS()
}

func (o Options) algorithm() algorithm { return algorithms[o.Algorithm] }

func (o Options) checkAlgorithm() error {
	alg, ok := algorithms[o.Algorithm]
	switch {
	case !ok:
		return fmt.Errorf("attrencrypted: unknown algorithm %q: want aes-128, aes-192 or aes-256, and -gcm or -cbc", o.Algorithm)
	case alg.cbc && !o.AllowCBC:
		return fmt.Errorf("attrencrypted: nothing authenticates values of %s: set AllowCBC to read and write them all the same",
			o.Algorithm)
	case !alg.cbc && o.Mode == SingleIVAndSalt && !o.AllowIgnoredIV:
		return fmt.Errorf("attrencrypted: mode %s uses the same nonce of %s for every value: set AllowIgnoredIV to read them, "+
			"or the algorithm that the app really has (before 2.0 the default was aes-256-cbc)", o.Mode, o.Algorithm)
	}
	return nil
}

func (o Options) checkFIPS() error {
	const instead = "mode per_attribute_iv with an aes-…-gcm algorithm"
	if o.Mode == SingleIVAndSalt {
		return errs.CheckFIPS("attrencrypted", "mode single_iv_and_salt (MD5)", instead)
	}
	if o.Mode == PerAttributeIVAndSalt {
		return errs.CheckFIPS("attrencrypted", "mode per_attribute_iv_and_salt (PBKDF2 with SHA-1)", instead)
	}
	if o.AllowIgnoredIV {
		return errs.CheckFIPS("attrencrypted", "AllowIgnoredIV (GCM under a repeated nonce)", instead+", without AllowIgnoredIV")
	}
	return nil
}

// checkKey tells whether the gem would take a key of n bytes.
func (o Options) checkKey(n int) error {
	need := o.algorithm().keySize
	if o.Mode == SingleIVAndSalt || o.Mode == PerAttributeIVAndSalt && o.AllowShortKey {
		need = 1
	}
	if n < need {
		return fmt.Errorf("attrencrypted: a key of %d bytes is too short: mode %s with %s needs %d or more",
			n, o.Mode, o.Algorithm, need)
	}
	return nil
}

func oneOf[T ~string](what string, v T, known ...T) error {
	if slices.Contains(known, v) {
		return nil
	}
	var names []string
	for _, k := range known {
		names = append(names, fmt.Sprintf("%q", string(k)))
	}
	return fmt.Errorf("attrencrypted: unknown %s %q: want %s", what, string(v), strings.Join(names, ", "))
}
