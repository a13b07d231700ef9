package e2e

import (
	"bytes"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io/fs"
	"testing"

	"github.com/c2sp/wycheproof"

	"github.com/rowseal/rowseal/lockbox"
)

// hexBytes are bytes that Wycheproof writes in hex.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type aeadFile struct {
	TestGroups []struct {
		IVSize, KeySize, TagSize int // in bits
		Tests                    []aeadCase
	}
}

type aeadCase struct {
	TcID    int
	Comment string
	Key     hexBytes
	IV      hexBytes
	AAD     hexBytes
	Msg     hexBytes
	CT      hexBytes
	Tag     hexBytes
	Result  string
}

// TestWycheproof feeds every case of the AEADs (https://github.com/C2SP/wycheproof) to a Lockbox box as nonce ‖ ciphertext ‖ tag: what
// is valid under a key of 32 bytes and a nonce of Lockbox's length opens, and nothing else does.
func TestWycheproof(t *testing.T) {
	for _, a := range []struct {
		algorithm               lockbox.Algorithm
		file                    string
		nonceSize               int
		wantOpened, wantRefused int
	}{
		{lockbox.AESGCM, "aes_gcm_test.json", 12, 39, 277},
		{lockbox.XChaCha20, "xchacha20_poly1305_test.json", 24, 246, 69},
	} {
		t.Run(string(a.algorithm), func(t *testing.T) {
			if fips140.Enforced() && a.algorithm != lockbox.AESGCM {
				t.Skip("not approved by FIPS 140-3: package lockbox tests that it is refused")
			}
			opened, refused := 0, 0
			for _, c := range aeadCases(t, a.file) {
				sealed := bytes.Join([][]byte{c.IV, c.CT, c.Tag}, nil)
				fits := len(c.Key) == lockbox.KeySize && len(c.IV) == a.nonceSize && c.Result == "valid"
				for name, plaintext := range open(t, a.algorithm, c, sealed) {
					switch {
					case fits && !bytes.Equal(plaintext, c.Msg):
						t.Errorf("case %d (%s), %s: opened to %x, want %x", c.TcID, c.Comment, name, plaintext, c.Msg)
					case !fits && plaintext != nil:
						t.Errorf("case %d (%s), %s: opened, and must not", c.TcID, c.Comment, name)
					}
				}
				if fits {
					opened++
				} else {
					refused++
				}
			}
			if opened < a.wantOpened || refused < a.wantRefused {
				t.Errorf("%d cases opened and %d were refused: are the vectors whole?", opened, refused)
			}
		})
	}
}

func aeadCases(t *testing.T, file string) []aeadCase {
	t.Helper()
	var all []aeadCase
	for _, g := range readWycheproof[aeadFile](t, file).TestGroups {
		all = append(all, g.Tests...)
	}
	return all
}

func readWycheproof[T any](t *testing.T, file string) (v T) {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestWycheproofHKDF tries the HKDF of the standard library, from which the keys of columns, indexes and local wraps come, with the two
// hashes that they use.
func TestWycheproofHKDF(t *testing.T) {
	type hkdfFile struct {
		TestGroups []struct {
			Tests []struct {
				TcID            int
				Comment         string
				IKM, Salt, Info hexBytes
				Size            int
				OKM             hexBytes
				Result          string
			}
		}
	}
	for file, hash := range map[string]func() hash.Hash{"hkdf_sha384_test.json": sha512.New384, "hkdf_sha256_test.json": sha256.New} {
		derived := 0
		for _, g := range readWycheproof[hkdfFile](t, file).TestGroups {
			for _, c := range g.Tests {
				if fips140.Enforced() && len(c.IKM) < 14 {
					continue // SP 800-131A asks for 112 bits, and our keys have 256
				}
				okm, err := hkdf.Key(hash, c.IKM, c.Salt, string(c.Info), c.Size)
				switch valid := c.Result == "valid"; {
				case valid && (err != nil || !bytes.Equal(okm, c.OKM)):
					t.Errorf("%s, case %d (%s): %x, %v; want %x", file, c.TcID, c.Comment, okm, err, c.OKM)
				case !valid && err == nil:
					t.Errorf("%s, case %d (%s): no error", file, c.TcID, c.Comment)
				}
				derived++
			}
		}
		if derived < 50 {
			t.Errorf("%s: %d cases: are the vectors whole?", file, derived)
		}
	}
}

// open opens a message raw and as text; nil is a refusal.
func open(t *testing.T, algorithm lockbox.Algorithm, c aeadCase, sealed []byte) map[string][]byte {
	t.Helper()
	forms := map[string][]byte{"raw": sealed, "text": []byte(base64.StdEncoding.EncodeToString(sealed))}
	for name, message := range forms {
		forms[name] = nil
		box, err := lockbox.New(c.Key, &lockbox.Options{Algorithm: algorithm, Format: lockbox.Format{Raw: name == "raw"}})
		if err != nil {
			if len(c.Key) == lockbox.KeySize {
				t.Errorf("case %d: %v", c.TcID, err)
			}
			continue
		}
		plaintext, err := box.Decrypt(message, c.AAD)
		switch {
		case err == nil:
			forms[name] = plaintext
		case !errors.Is(err, lockbox.ErrDecryptionFailed):
			t.Errorf("case %d, %s: %v, want ErrDecryptionFailed", c.TcID, name, err)
		}
	}
	return forms
}
