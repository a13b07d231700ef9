package lockbox_test

import (
	"bytes"
	"encoding/json"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rowseal/rowseal/internal/mime64"
	"github.com/rowseal/rowseal/lockbox"
)

// The seeds are what the gem sealed under the key of vectors/lockbox_types.json, and damaged forms of it. Nothing else can
// open, since nobody forges a tag.
func FuzzDecrypt(f *testing.F) {
	needSeeds(f)
	var sealed [][]byte
	for _, row := range gemTypes.Values {
		if row.Ciphertext != nil {
			sealed = append(sealed, mime64.Decode(*row.Ciphertext))
		}
	}
	box := newBox(f, gemTypes.Key, &lockbox.Options{Previous: []lockbox.Previous{{Padding: 16}}})
	f.Fuzz(func(t *testing.T, ciphertext, associatedData []byte, padding uint16, raw bool) {
		before := slices.Clone(ciphertext)
		format := lockbox.Format{Padding: int(padding), Raw: raw}
		got, err := box.WithFormat(format).Decrypt(ciphertext, associatedData)
		if !bytes.Equal(ciphertext, before) {
			t.Errorf("Decrypt changed its argument")
		}
		if err != nil {
			wantFailed(t, "a refused ciphertext", got, err)
			return
		}
		if !raw {
			ciphertext = mime64.Decode(string(ciphertext))
		}
		isGems := func(b []byte) bool { return bytes.Equal(b, ciphertext) }
		if len(associatedData) > 0 || !slices.ContainsFunc(sealed, isGems) {
			t.Errorf("%x with associated data %q was never sealed and opens to %q", ciphertext, associatedData, got)
		}
	})
}

// Nobody sealed anything for these boxes.
func FuzzDecryptOfOtherAlgorithms(f *testing.F) {
	needSeeds(f)
	boxes := boxesOfEveryAlgorithm(f)
	f.Fuzz(func(t *testing.T, ciphertext []byte, padding uint16, raw bool) {
		before := slices.Clone(ciphertext)
		for algorithm, box := range boxes {
			box = box.WithFormat(lockbox.Format{Padding: int(padding), Raw: raw})
			got, err := box.Decrypt(ciphertext, nil)
			wantFailed(t, string(algorithm), got, err)
			got, err = box.DecryptFile(bytes.NewReader(ciphertext), 0, nil)
			wantFailed(t, string(algorithm)+", as a file", got, err)
		}
		if !bytes.Equal(ciphertext, before) {
			t.Errorf("Decrypt changed its argument")
		}
	})
}

func FuzzEncrypt(f *testing.F) {
	needSeeds(f)
	boxes := boxesOfEveryAlgorithm(f)
	f.Fuzz(func(t *testing.T, plaintext, associatedData []byte, padding uint16, raw bool) {
		for algorithm, box := range boxes {
			format, ad, overhead := lockbox.Format{Padding: int(padding), Raw: raw}, associatedData, 40
			if algorithm == lockbox.AESGCM {
				overhead = 28
			}
			if !takesAssociatedData(algorithm) {
				ad = nil
			}
			box := box.WithFormat(format)
			ciphertext, err := box.Encrypt(plaintext, ad)
			if err != nil {
				t.Fatalf("%s %+v: %v", algorithm, format, err)
			}
			if want := ciphertextLen(len(plaintext), int(padding), overhead, raw); len(ciphertext) != want {
				t.Errorf("%s %+v: %d bytes are sealed in %d, want %d", algorithm, format, len(plaintext), len(ciphertext), want)
			}
			if got, err := box.Decrypt(ciphertext, ad); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("%s %+v: %x comes back as %x, %v", algorithm, format, plaintext, got, err)
			}
		}
	})
}

// boxesOfEveryAlgorithm are those that may be made: in FIPS 140-3 mode, one.
func boxesOfEveryAlgorithm(f *testing.F) map[lockbox.Algorithm]*lockbox.Box {
	boxes := map[lockbox.Algorithm]*lockbox.Box{}
	for algorithm, boxWith := range everyAlgorithm {
		box, err := boxWith(&lockbox.Options{})
		if !refusedByFIPS(f, algorithm, err) {
			boxes[algorithm] = must(box, err)
		}
	}
	return boxes
}

func FuzzUnpad(f *testing.F) {
	needSeeds(f)
	f.Fuzz(func(t *testing.T, padded []byte, size int) {
		message, err := lockbox.Unpad(padded, size)
		if err != nil {
			return
		}
		again, err := lockbox.Pad(message, size)
		if err != nil {
			t.Fatalf("%x unpads by %d, but %x does not pad: %v", padded, size, message, err)
		}
		// The gem, and so Unpad, also takes what no Pad wrote: a length that is no multiple of size.
		if len(padded)%size == 0 && !bytes.Equal(again, padded) {
			t.Errorf("%x unpads by %d, and pads to %x", padded, size, again)
		}
		if message2, err := lockbox.Unpad(again, size); err != nil || !bytes.Equal(message2, message) {
			t.Errorf("%x, padded to %d, unpads to %x, %v", message, size, message2, err)
		}
	})
}

// What decodes encodes to bytes that mean the same, and that stay the same from then on.
func FuzzCodecs(f *testing.F) {
	needSeeds(f)
	checks := []func(*testing.T, []byte){
		same[string](""), same[email](""), same[[]byte](""), same[digest](""), same[bool](""),
		same[int](""), same[int8](""), same[int16](""), same[int32](""), same[int64](""), same[cents](""),
		same[uint](""), same[uint8](""), same[uint16](""), same[uint32](""), same[uint64](""),
		same[float64](""), stable[float32](""),
		same[time.Time](lockbox.Date), stable[time.Time](lockbox.Datetime), stable[time.Time](lockbox.Time),
		stable[birthday](lockbox.Datetime),
		stable[uuid](""), same[level](lockbox.String), stable[netip.Addr](lockbox.String), stable[celsius](""),
		stable[string](lockbox.Decimal), stable[*big.Rat](lockbox.Decimal), stable[percent](lockbox.Decimal),
		stable[any](lockbox.JSON), stable[map[string]any](lockbox.JSON), stable[json.RawMessage](lockbox.JSON),
		stable[[]float64](lockbox.JSON), stable[string](lockbox.JSON),
		stable[netip.Prefix](""), same[netip.Addr](""), stable[net.IP](""), stable[net.IPNet](""),
	}
	for _, typ := range []lockbox.Type{
		lockbox.String, lockbox.Binary, lockbox.Boolean, lockbox.Integer, lockbox.Float, lockbox.Date, lockbox.Datetime,
		lockbox.Time, lockbox.Decimal, lockbox.Inet,
	} {
		checks = append(checks, stable[any](typ))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, check := range checks {
			check(t, b)
		}
	})
}

// same checks a codec that knows one spelling of each value.
func same[T any](typ lockbox.Type) func(*testing.T, []byte) {
	codec := must(lockbox.CodecOf[T](typ))
	return func(t *testing.T, b []byte) {
		v, err := codec.Decode(b)
		if err != nil {
			return
		}
		if again, err := codec.Append(nil, v); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%T: %x decodes, and encodes to %x, %v", v, b, again, err)
		}
	}
}

// stable checks a codec that reads several spellings, or rounds.
func stable[T any](typ lockbox.Type) func(*testing.T, []byte) {
	codec, respell := must(lockbox.CodecOf[T](typ)), same[T](typ)
	return func(t *testing.T, b []byte) {
		v, err := codec.Decode(b)
		if err != nil {
			return
		}
		again, err := codec.Append(nil, v)
		if err != nil {
			t.Fatalf("%T: %x decodes to what does not encode: %v", v, b, err)
		}
		if _, err := codec.Decode(again); err != nil {
			t.Errorf("%T: %x decodes, and encodes to %x, which does not decode: %v", v, b, again, err)
		}
		respell(t, again)
	}
}

// needSeeds fails where the committed corpus is missing: without seeds, go test would pass and try nothing.
func needSeeds(f *testing.F) {
	f.Helper()
	seeds, err := os.ReadDir(filepath.Join("testdata", "fuzz", f.Name()))
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no committed seeds for %s: %v", f.Name(), err)
	}
}
