package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
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

// TestWycheproof feeds every AES-GCM case (https://github.com/C2SP/wycheproof) to a Lockbox box as nonce ‖ ciphertext ‖ tag: what is
// valid AES-256-GCM with a nonce of 12 bytes opens, and nothing else does.
func TestWycheproof(t *testing.T) {
	opened, refused := 0, 0
	for _, c := range aesGCMCases(t) {
		sealed := bytes.Join([][]byte{c.IV, c.CT, c.Tag}, nil)
		fits := len(c.Key) == lockbox.KeySize && len(c.IV) == 12 && c.Result == "valid"
		for name, plaintext := range open(t, c, sealed) {
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
	if opened < 39 || refused < 277 {
		t.Errorf("%d cases opened and %d were refused: are the vectors whole?", opened, refused)
	}
}

func aesGCMCases(t *testing.T) []aeadCase {
	t.Helper()
	text, err := fs.ReadFile(wycheproof.TestVectors, "aes_gcm_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var file aeadFile
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []aeadCase
	for _, g := range file.TestGroups {
		all = append(all, g.Tests...)
	}
	return all
}

// open opens a message raw and as text; nil is a refusal.
func open(t *testing.T, c aeadCase, sealed []byte) map[string][]byte {
	t.Helper()
	forms := map[string][]byte{"raw": sealed, "text": []byte(base64.StdEncoding.EncodeToString(sealed))}
	for name, message := range forms {
		forms[name] = nil
		box, err := lockbox.New(c.Key, &lockbox.Options{Format: lockbox.Format{Raw: name == "raw"}})
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
