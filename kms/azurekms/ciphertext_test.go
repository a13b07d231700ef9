package azurekms

import (
	"bytes"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// What these files hold must open for ever.
func TestKnownCiphertextsOpen(t *testing.T) {
	k, f := readKnown(t), newFakeKeys(t)
	for id, cases := range map[string][]knownCase{vaultID: k.RSA, hsmID: k.AES} {
		if len(cases) < 4 {
			t.Fatalf("%d cases for %s", len(cases), id)
		}
		s := f.service(t, id)
		for _, c := range cases {
			plaintext, err := open(t.Context(), s, c.Ciphertext, c.Context)
			if err != nil || !bytes.Equal(plaintext, c.Plaintext) {
				t.Errorf("%s, %s: %d bytes, %v", id, c.Name, len(plaintext), err)
			}
			if _, err := open(t.Context(), s, c.Ciphertext, kms.Context{"model_id": "43"}); !errors.Is(err, kms.ErrDecryptionFailed) {
				t.Errorf("%s, %s, under another context: %v", id, c.Name, err)
			}
		}
	}
}

func TestCiphertextsHaveTheDocumentedSizes(t *testing.T) {
	f := newFakeKeys(t)
	for id, overhead := range map[string]int{vaultID: 323, hsmID: 4 + 1 + 32 + 1 + 12 + 16} {
		for _, n := range []int{1, 32, 4096} {
			ciphertext, err := seal(t.Context(), f.service(t, id), make([]byte, n), row)
			if err != nil || len(ciphertext) != n+overhead {
				t.Errorf("%s: %d bytes for %d, want %d more (%v)", id, len(ciphertext), n, overhead, err)
			}
		}
	}
}

func TestSizesOfPlaintexts(t *testing.T) {
	f := newFakeKeys(t)
	for id, sizes := range map[string]struct{ good, bad []int }{
		vaultID: {good: []int{0, 64 << 10}, bad: []int{64<<10 + 1}},
		hsmID:   {good: []int{1, 4096}, bad: []int{0, 4097}},
	} {
		s := f.service(t, id)
		for _, n := range sizes.good {
			ciphertext, err := seal(t.Context(), s, make([]byte, n), row)
			if err != nil {
				t.Fatalf("%s: %d bytes: %v", id, n, err)
			}
			if plaintext, err := open(t.Context(), s, ciphertext, row); err != nil || len(plaintext) != n {
				t.Errorf("%s: %d bytes opened to %d (%v)", id, n, len(plaintext), err)
			}
		}
		asked := f.asked
		for _, n := range sizes.bad {
			if _, err := seal(t.Context(), s, make([]byte, n), row); !errors.Is(err, kms.ErrInvalidRequest) || f.asked != asked {
				t.Errorf("%s: %d bytes: %v after %d requests", id, n, err, f.asked-asked)
			}
		}
	}
}

// A byte more or less, a version that is none: no request is spent on it, and no such version gets into a URL.
func TestMalformedCiphertextsReachNobody(t *testing.T) {
	f, k := newFakeKeys(t), readKnown(t)
	good := map[string][]byte{vaultID: k.RSA[2].Ciphertext, hsmID: k.AES[2].Ciphertext}
	for id, b := range good {
		s := f.service(t, id)
		magic := string(b[:4])
		rest := b[37:]
		malformed := map[string][]byte{
			"nothing":         nil,
			"the magic alone": b[:4],
			"another magic":   append([]byte("RSL1"), b[4:]...),
			"the other form":  good[map[string]string{vaultID: hsmID, hsmID: vaultID}[id]],
			"a cut version":   b[:20],
			"100 MiB":         append(bytes.Clone(b), make([]byte, 100<<20)...),
			"a header alone":  b[:39],
		}
		for _, version := range []string{"..", "a/b", "A", "a?", "%2e", "ä", strings.Repeat("a", 65)} {
			malformed["the version "+version] = append(header(magic, version), rest...)
		}
		for what, b := range malformed {
			if _, err := open(t.Context(), s, b, row); err != kms.ErrDecryptionFailed {
				t.Errorf("%s: %s: %v", id, what, err)
			}
		}
		if f.asked != 0 {
			t.Errorf("%s: %d requests", id, f.asked)
		}
	}
}

func TestEveryTruncationOpensNothing(t *testing.T) {
	f, k := newFakeKeys(t), readKnown(t)
	for id, b := range map[string][]byte{vaultID: k.RSA[2].Ciphertext, hsmID: k.AES[2].Ciphertext} {
		s := f.service(t, id)
		for n := range b {
			for _, cut := range [][]byte{b[:n], b[n+1:], slices.Concat(b[:n], b[n+1:])} {
				if _, err := open(t.Context(), s, cut, k.RSA[2].Context); !errors.Is(err, kms.ErrDecryptionFailed) && !errors.Is(err, kms.ErrKeyNotFound) {
					t.Errorf("%s: cut at %d: %v", id, n, err)
				}
			}
		}
	}
}

// The newest version would open it: but then two ciphertexts would be one.
func TestACiphertextWithoutVersionOpensNothing(t *testing.T) {
	f, k := newFakeKeys(t), readKnown(t)
	for id, b := range map[string][]byte{vaultID: k.RSA[2].Ciphertext, hsmID: k.AES[2].Ciphertext} {
		asked := f.asked
		without := append(header(string(b[:4]), ""), b[37:]...)
		if _, err := open(t.Context(), f.service(t, id), without, row); err != kms.ErrDecryptionFailed || f.asked != asked+1 {
			t.Errorf("%s: %v after %d requests", id, err, f.asked-asked)
		}
	}
}

// Anyone with the public key can make one that is right but for that.
func TestAForgedCiphertextWithoutVersionOpensNothing(t *testing.T) {
	f := newFakeKeys(t)
	s := f.service(t, vaultID)
	fresh := make([]byte, 32)
	wrapped, err := f.wrap(oaep256(fresh))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := newAEAD(fresh)
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]error{f.version: nil, "": kms.ErrDecryptionFailed} {
		c := rsaCiphertext{version: version, wrapped: wrapped.Result}
		c.sealed = aead.Seal(nil, nil, []byte("x"), associatedData(version, nil))
		if _, err := open(t.Context(), s, c.bytes(), nil); err != want {
			t.Errorf("version %q: %v", version, err)
		}
	}
}

func TestMadeUpCiphertextsAreAskedAboutAndOpenNothing(t *testing.T) {
	f := newFakeKeys(t)
	for _, id := range []string{vaultID, hsmID} {
		asked := f.asked
		s := f.service(t, id)
		if err := kms.NewKey(s, nil).CheckDecrypt(t.Context(), row); err != nil || f.asked != asked+1 {
			t.Errorf("%s: %v after %d requests", id, err, f.asked-asked)
		}
		form := s.(service).form
		if bytes.Equal(form.madeUp(), form.madeUp()) {
			t.Errorf("%s: the same again", id)
		}
	}
}

// requireCorpus fails if the committed inputs of a fuzz test have gone missing.
func requireCorpus(f *testing.F, least int) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", f.Name(), "*"))
	if err != nil || len(files) < least {
		f.Fatalf("%d files in the corpus, want at least %d (%v)", len(files), least, err)
	}
}

// Whatever parses is made of its parts, and no version gets into a URL that could mean something there.
func FuzzCiphertext(f *testing.F) {
	requireCorpus(f, 16)
	k := readKnown(f)
	for _, c := range slices.Concat(k.RSA, k.AES) {
		f.Add(c.Ciphertext)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, isRSA := parseRSA(b)
		if isRSA && !bytes.Equal(r.bytes(), b) {
			t.Error("the parts of an RSA ciphertext do not make the whole")
		}
		a, isAES := parseAES(b)
		if isAES && !bytes.Equal(a.bytes(), b) {
			t.Error("the parts of an AES ciphertext do not make the whole")
		}
		if isRSA && isAES {
			t.Error("it has both forms")
		}
		if strings.ContainsFunc(r.version+a.version, func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'z') }) {
			t.Errorf("version %q", r.version+a.version)
		}
		if isRSA && (len(r.wrapped) < 256 || len(r.sealed) < 28) || isAES && (len(a.iv) < 12 || len(a.ciphertext) < 1 || len(a.tag) != 16) {
			t.Error("a part is too short")
		}
	})
}
