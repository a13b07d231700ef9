package localkms

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/rowseal/rowseal/kms"
)

// requireCorpus fails if the committed inputs of a fuzz test have gone missing.
func requireCorpus(f *testing.F, least int) {
	f.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", f.Name(), "*"))
	if err != nil || len(files) < least {
		f.Fatalf("%d files in the corpus, want at least %d (%v)", len(files), least, err)
	}
}

// Whatever parses is, white space apart, what encode writes, and means the same when that is read again.
func FuzzKeyFile(f *testing.F) {
	requireCorpus(f, 5)
	data, err := os.ReadFile("testdata/known.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parseKeyFile(data, "known")
		if err != nil {
			if parsed != nil {
				t.Error("an error and a key")
			}
			return
		}
		written := encode(t, parsed)
		if !bytes.Equal(compact(t, written), compact(t, data)) {
			t.Error("it is written as something else")
		}
		if again := mustParse(t, written, "known"); !bytes.Equal(encode(t, again), written) {
			t.Error("it means something else when it is read again")
		}
		if _, ok := parsed.version(parsed.Current); !ok {
			t.Error("no current version")
		}
	})
}

// Whatever parses is made of its parts, and whatever opens was sealed: altered in its last bit, it does not open.
func FuzzCiphertext(f *testing.F) {
	requireCorpus(f, 5)
	data, err := os.ReadFile("testdata/known.json")
	if err != nil {
		f.Fatal(err)
	}
	key := mustParse(f, data, "known")
	for _, c := range readKnown(f, "testdata/known_python.json").Cases {
		f.Add(c.Ciphertext)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := parseCiphertext(b); ok && !bytes.Equal(join(c), b) {
			t.Error("the parts do not make the whole")
		}
		if _, err := key.open(b, nil); err != nil {
			if !errors.Is(err, kms.ErrDecryptionFailed) {
				t.Errorf("error %v", err)
			}
			return
		}
		altered := bytes.Clone(b)
		altered[len(b)-1] ^= 1
		if _, err := key.open(altered, nil); !errors.Is(err, kms.ErrDecryptionFailed) {
			t.Errorf("altered: %v", err)
		}
	})
}

func compact(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func join(c ciphertext) []byte {
	b := binary.BigEndian.AppendUint32([]byte(magic), c.version)
	return append(append(b, c.salt...), c.sealed...)
}
