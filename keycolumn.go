package rowseal

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/kms"
)

// maxWrapped is the longest text that is read as a wrapped key or a box, in bytes. The largest that a KMS makes of its
// largest plaintext is well below (Google: 64 KiB of plaintext).
const maxWrapped = 1 << 20

// wrappedKey is the text of a key column, taken apart: "v2:…", or one of the forms of kms_encrypted before 1.0.
type wrappedKey struct {
	version    int    // 0: a form without a version
	keyID      string // the key that a "$gc$" form names, else ""
	ciphertext []byte // the KMS's own
}

// legacyGoogle starts the form of Google keys in kms_encrypted before 1.0: the short name of the key version in MIME
// base64, a dollar sign, and the ciphertext in base64.
const legacyGoogle = "$gc$"

// parseWrapped never calls what it finds a plaintext: text that is none of the forms is an error, or, in the unversioned
// base64 form, a ciphertext that no KMS will open.
func parseWrapped(s string) (wrappedKey, error) {
	if len(s) > maxWrapped {
		return wrappedKey{}, fmt.Errorf("%d bytes is too long for a wrapped key (at most %d): %w", len(s), maxWrapped, ErrDecryptionFailed)
	}
	w, err := parseForm(s)
	if err == nil && len(w.ciphertext) == 0 {
		err = fmt.Errorf("a wrapped key without a ciphertext: %w", ErrDecryptionFailed)
	}
	return w, err
}

func parseForm(s string) (wrappedKey, error) {
	if digits, text, ok := cutVersion(s); ok {
		version := versionNumber(digits)
		if version == 0 {
			return wrappedKey{}, fmt.Errorf("a wrapped key with the version %.20q: %w", digits, ErrDecryptionFailed)
		}
		return wrappedKey{version: version, ciphertext: mime64.Decode(text)}, nil
	}
	if rest, ok := strings.CutPrefix(s, legacyGoogle); ok {
		return parseLegacyGoogle(rest)
	}
	if strings.HasPrefix(s, "vault:") {
		return wrappedKey{ciphertext: []byte(s)}, nil
	}
	return wrappedKey{ciphertext: mime64.Decode(s)}, nil
}

// cutVersion splits "v12:text", as kms_encrypted's /\Av(\d+):/ does.
func cutVersion(s string) (digits, text string, ok bool) {
	rest, ok := strings.CutPrefix(s, "v")
	if !ok {
		return "", "", false
	}
	digits, text, ok = strings.Cut(rest, ":")
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", "", false
	}
	return digits, text, true
}

// versionNumber reads 1 to maxVersion without leading zeros; anything else is 0.
func versionNumber(digits string) int {
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > maxVersion || digits[0] == '0' {
		return 0
	}
	return n
}

// versionIn is the version that a wrapped key names, 0 if none, for messages.
func versionIn(wrapped string) int {
	digits, _, _ := cutVersion(wrapped)
	return versionNumber(digits)
}

func parseLegacyGoogle(rest string) (wrappedKey, error) {
	short, text, ok := strings.Cut(rest, "$")
	parts := strings.Split(string(mime64.Decode(short)), "/") // project, location, ring, key and, last, its version
	if !ok || len(parts) < 4 || len(parts) > 5 {
		return wrappedKey{}, fmt.Errorf("a wrapped key of the form $gc$ that names no key: %w", ErrDecryptionFailed)
	}
	id := fmt.Sprintf("projects/%s/locations/%s/keyRings/%s/cryptoKeys/%s", parts[0], parts[1], parts[2], parts[3])
	return wrappedKey{keyID: id, ciphertext: mime64.Decode(text)}, nil
}

// String is the form that is written today; only a wrappedKey with a version is ever written.
func (w wrappedKey) String() string {
	return "v" + strconv.Itoa(w.version) + ":" + base64.StdEncoding.EncodeToString(w.ciphertext)
}

// item returns what the version v of a Keyring must open, under the context ec.
func (w wrappedKey) item(v Version, ec kms.Context) (kms.Item, error) {
	it := kms.Item{Data: w.ciphertext, Context: ec, Encoding: v.Encoding}
	if w.version != 0 {
		return it, nil
	}
	if w.keyID != "" && w.keyID != v.Key.ID() {
		return it, fmt.Errorf("the wrapped key names %.200q, and version %d is %q: %w", w.keyID, v.Number, v.Key.ID(), ErrDecryptionFailed)
	}
	it.Encoding = v.Legacy.Encoding
	if v.Legacy.EmptyContext {
		it.Context = kms.Context{}
	}
	return it, nil
}
