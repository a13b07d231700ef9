package rowseal

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// needSeeds fails where the committed corpus is missing, because a fuzz test without seeds tests nothing in `go test`.
func needSeeds(f *testing.F) {
	seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", f.Name(), "*"))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds in testdata/fuzz/%s: %v", f.Name(), err)
	}
	for _, seed := range seeds {
		if b, err := os.ReadFile(seed); err != nil || !bytes.HasPrefix(b, []byte("go test fuzz v1\n")) {
			f.Fatalf("%s is no seed: %v", seed, err)
		}
	}
}

// What parses with a version is written anew as the strict form, which parses to the same.
func FuzzWrappedKey(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		w, err := parseWrapped(s)
		if err != nil {
			if !errors.Is(err, ErrDecryptionFailed) || len(err.Error()) > 300 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if len(w.ciphertext) == 0 || len(w.ciphertext) > len(s) {
			t.Errorf("%q has a ciphertext of %d bytes", s, len(w.ciphertext))
		}
		if versionIn(s) != w.version {
			t.Errorf("%q is of version %d in messages, and %d", s, versionIn(s), w.version)
		}
		if w.version == 0 {
			return
		}
		if w.version < 1 || w.version > maxVersion || w.keyID != "" {
			t.Errorf("%q: version %d, key id %q", s, w.version, w.keyID)
		}
		again, err := parseWrapped(w.String())
		if err != nil || again.version != w.version || !bytes.Equal(again.ciphertext, w.ciphertext) || again.String() != w.String() {
			t.Errorf("%q became %q, %v", s, w.String(), err)
		}
		_, text, _ := strings.Cut(w.String(), ":")
		if _, err := base64.StdEncoding.Strict().DecodeString(text); err != nil {
			t.Errorf("%q is not strict base64: %v", w.String(), err)
		}
	})
}

// The forms from before 1.0 are told apart by their beginning, and only the key that was configured is ever called.
func FuzzLegacy(f *testing.F) {
	needSeeds(f)
	const ours = "projects/my-project/locations/global/keyRings/my-ring/cryptoKeys/my-key"
	f.Fuzz(func(t *testing.T, s string) {
		w, err := parseWrapped(s)
		if err != nil || w.version != 0 {
			return
		}
		switch {
		case strings.HasPrefix(s, "$gc$"):
			if strings.Count(w.keyID, "/") < 7 || !strings.HasPrefix(w.keyID, "projects/") {
				t.Errorf("%q names the key %q", s, w.keyID)
			}
		case strings.HasPrefix(s, "vault:"):
			if string(w.ciphertext) != s || w.keyID != "" {
				t.Errorf("%q: Vault would get %q", s, w.ciphertext)
			}
		default:
			if !bytes.Equal(w.ciphertext, mime64.Decode(s)) || w.keyID != "" {
				t.Errorf("%q: the KMS would get %q", s, w.ciphertext)
			}
		}

		fake := &kmstest.Fake{ID: ours}
		ring, err := NewKeyring(Version{Number: 1, Key: kms.NewKey(fake, nil), Legacy: &Legacy{}})
		if err != nil {
			t.Fatal(err)
		}
		plaintext, err := ring.Decrypt(t.Context(), s, nil)
		if !errors.Is(err, ErrDecryptionFailed) || plaintext != nil {
			t.Errorf("%q opens to %q, %v", s, plaintext, err)
		}
		if foreign := w.keyID != "" && w.keyID != ours; foreign == (fake.Requests() > 0) {
			t.Errorf("%q: %d requests for a row that names %q", s, fake.Requests(), w.keyID)
		}
	})
}

func FuzzTag(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := parseTag(s)
		if err != nil {
			if !reflect.DeepEqual(parsed, tag{}) {
				t.Errorf("%q: %+v came with the error", s, parsed)
			}
			return
		}
		again, err := parseTag(parsed.String())
		if err != nil || !reflect.DeepEqual(again, parsed) {
			t.Errorf("%q became %q: %+v, %+v, %v", s, parsed.String(), parsed, again, err)
		}
	})
}

// A template is a literal, exactly one column, or refused.
func FuzzColumnRef(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, s string) {
		column, ok := columnRef(s)
		err := ContextRule{Names: map[string]string{"name": s}}.validate()
		switch {
		case ok && ("{"+column+"}" != s || column == "" || strings.ContainsAny(column, "{}") || err != nil):
			t.Errorf("%q is the column %q, %v", s, column, err)
		case !ok && (column != s || (err == nil) == strings.ContainsAny(s, "{}")):
			t.Errorf("%q is the literal %q, %v", s, column, err)
		}
	})
}
